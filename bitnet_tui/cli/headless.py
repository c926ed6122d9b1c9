"""Running a request without the app: its events narrated on stderr, its report returned.

    report = run_headless(request)

Ctrl-C stops the worker first and then this process, with exit code 130.
"""

from collections.abc import Callable
from typing import Any

from bitnet_tui.cli.ending import JobError
from bitnet_tui.core.events import Event
from bitnet_tui.core.jobs import Job
from bitnet_tui.display.plain import Narrator


def run_headless(
    request: dict[str, Any], each: Callable[[Event], object] = lambda _: None, hold: tuple[int, ...] = ()
) -> dict[str, Any]:
    """Run `request` to its end and return its report, calling `each` with every event on the way.

    `hold` are file descriptors that the worker keeps open while it lives.

    Raises:
        JobError: the worker reported an error, or died.
    """
    job, narrator, report = Job.start(request, hold), Narrator(), None
    try:
        for event in job.events():
            narrator.feed(event)
            each(event)
            if event["event"] == "report":
                report = event["report"]
            elif event["event"] == "error":
                raise JobError(event["message"], event["exit_code"], event.get("traceback"))
    finally:
        narrator.close()
        if job.running:
            job.cancel()
    if report is None:
        raise JobError("the worker ended without a report", 6)
    return report
