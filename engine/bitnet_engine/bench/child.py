"""The process that measures: one engine, one model, one number of threads; cases in, samples out.

    python -m bitnet_engine.bench.child        # JSON lines: first what to load, then a case a line

Fresh, so that loading and memory are its own; quiet between cases, so that another can measure meanwhile. Ends when
standard input does. `process` is the parent's side.
"""

import json
import os
import sys
from dataclasses import asdict
from typing import Any, BinaryIO

from bitnet_engine.bench import probes
from bitnet_engine.bench.cases import Case, Settings
from bitnet_engine.bench.llama import Llama
from bitnet_engine.bench.ours import Ours
from bitnet_engine.bench.timing import Sampler
from bitnet_engine.environment import environment
from bitnet_engine.errors import BitnetError


def main() -> None:
    """Answer the requests on standard input."""
    # What libraries print goes to stderr; file descriptor 1 is for answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        environment().apply()
        _serve(json.loads(sys.stdin.readline()), answers)
    except BitnetError as error:
        _answer(answers, {"error": {"message": str(error), "exit_code": error.exit_code}})


def _serve(request: dict[str, Any], answers: BinaryIO) -> None:
    settings = Settings(**request["settings"])
    used = request["threads"]
    if request["engine"] == "llama.cpp":
        engine = Llama.load(request["path"], settings, used)
        _answer(answers, {"facts": engine.facts})
    else:
        engine = Ours.load(request["path"], settings, used, request["numerics"], request["cache"], request["reading"])
        said = {"facts": asdict(engine.facts), "started": asdict(engine.started), "stamp": engine.stamp}
        _answer(answers, said)
    samplers: dict[Case, Sampler] = {}
    options = {"warmup": settings.warmup, "seconds": settings.seconds, "used": used, "clock": probes.clock_mhz}
    for line in sys.stdin:
        asked = json.loads(line)
        case = Case(**asked["case"])
        if case not in samplers:
            samplers[case] = Sampler(engine.operation(case), **options)
        sample, each = samplers[case].sample(asked["round"])
        made = samplers[case].operation
        least = {"tokens": made.tokens, "bytes": made.bytes, "operations": made.operations}
        _answer(answers, {"sample": asdict(sample), "each": each, **least})


def _answer(answers: BinaryIO, value: dict[str, Any]) -> None:
    answers.write(json.dumps(value).encode() + b"\n")
    answers.flush()


if __name__ == "__main__":
    main()
