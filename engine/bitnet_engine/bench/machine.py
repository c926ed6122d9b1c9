"""What else goes on in the machine while something is timed: time stolen, other processes, load, the clock.

    watch = Watch(used=2)
    ...                                   # the work
    watch.conditions(clock_mhz)           # Conditions(steal=0.0, foreign=0.004, load=1.1, clock_mhz=3829.0)

Linux tells all of it in /proc; elsewhere the fields are None, and nothing is called undisturbed for that. Knows no
engine.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

_STAT = Path("/proc/stat")
_BUSY = (0, 1, 2, 5, 6)
"""Fields of /proc/stat in which a processor works: user, nice, system, irq, softirq."""
_STOLEN = 7

MOST_STEAL = 0.02
MOST_FOREIGN = 0.05
LEAST_CLOCK = 0.9
"""A sample is disturbed over the first two, and under the third, as a share of the median clock of its case.

One tick of the counter for stolen time is 1.7 % of a sample of 0.3 s on two processors, and no proof of anything.
"""

LEAST_SECONDS = 0.1
"""The counters tick 100 times a second: of a shorter sample they say nothing."""


@dataclass(frozen=True)
class Conditions:
    """The machine during one sample; None where this system does not tell, or the sample was too short to."""

    steal: float | None
    """Processor time that the hypervisor gave to other machines, as a share of the processors used."""
    foreign: float | None
    """Processor time of other processes, likewise."""
    load: float | None
    """Load average of a minute, at the end."""
    clock_mhz: float | None

    def disturbances(self, usual_mhz: float | None) -> list[str]:
        """Name what disturbed a sample, `usual_mhz` being the median clock of its case."""
        found = []
        if self.steal is not None and self.steal > MOST_STEAL:
            found.append(f"steal {self.steal:.1%}")
        if self.foreign is not None and self.foreign > MOST_FOREIGN:
            found.append(f"other processes {self.foreign:.1%}")
        if self.clock_mhz is not None and usual_mhz is not None and self.clock_mhz < LEAST_CLOCK * usual_mhz:
            found.append(f"clock {self.clock_mhz:.0f} MHz")
        return found


class Watch:
    """Counters at the beginning of a sample, for a process that uses `used` processors."""

    def __init__(self, used: int) -> None:
        self._used = used
        self._counters, self._own, self._begun = _counters(), time.process_time(), time.perf_counter()

    def conditions(self, clock_mhz: float | None) -> Conditions:
        """Return what happened since."""
        elapsed = time.perf_counter() - self._begun
        available = elapsed * self._used
        counters, own = _counters(), time.process_time() - self._own
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        if counters is None or self._counters is None or elapsed < LEAST_SECONDS:
            return Conditions(None, None, load, clock_mhz)
        busy, stolen = (after - before for after, before in zip(counters, self._counters, strict=True))
        # The counters tick, so that our own time may be ahead of them.
        return Conditions(stolen / available, max(0.0, busy - own) / available, load, clock_mhz)


def _counters() -> tuple[float, float] | None:
    """Return the seconds that all processors worked, and that were stolen, since the system started."""
    try:
        fields = [int(field) for field in _STAT.read_text().split("\n", 1)[0].split()[1:]]
    except (OSError, ValueError):
        return None
    tick = os.sysconf("SC_CLK_TCK")
    return sum(fields[i] for i in _BUSY) / tick, fields[_STOLEN] / tick


def resident_bytes() -> tuple[int, int] | None:
    """Return this process's resident set and its peak; None where /proc does not tell.

    Not getrusage: its peak begins with that of the process that started this one.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    fields = {name: value for name, _, value in (line.partition(":") for line in lines)}
    try:
        now, peak = (int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
    except (KeyError, ValueError, IndexError):
        return None
    return now, peak
