"""How fast a model runs on this machine, and how fast the machine would let it.

    from bitnet_engine.bench import Settings, bench_steps, compare

    for step in bench_steps("model.gguf", Settings(iterations=5), command="…"): ...
    compare(baseline, report)                        # two artifacts: did it get slower?

| file | what |
|---|---|
| cases.py | what is measured, by name |
| machine.py | what disturbs a sample |
| timing.py, statistics.py | samples; medians, ratios, intervals |
| probes.py | the machine's own limits |
| parts.py, ours.py, llama.py | operations of this engine, and of llama.cpp |
| child.py, process.py | the process that measures, and its other end |
| running.py | the order of it all |
| subject.py, limits.py, report.py, assembling.py | answers into an artifact |
| regression.py | an artifact against an older one |
| turns.py | two files of one model against each other |
"""

from bitnet_engine.bench.cases import Settings
from bitnet_engine.bench.regression import Change, Comparison, changes, compare, load_report, refuse_another
from bitnet_engine.bench.report import SCHEMA, SCHEMA_VERSION, BenchReport
from bitnet_engine.bench.running import Progress, Stage, bench_steps
from bitnet_engine.bench.turns import turns_steps

__all__ = [
    "SCHEMA",
    "SCHEMA_VERSION",
    "BenchReport",
    "Change",
    "Comparison",
    "Progress",
    "Settings",
    "Stage",
    "bench_steps",
    "changes",
    "compare",
    "load_report",
    "refuse_another",
    "turns_steps",
]
