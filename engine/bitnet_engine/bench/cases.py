"""What is measured: the cases of a benchmark, by name.

    chosen = Settings(iterations=10, warmup=2, threads=(1, 2))
    [case.key for case in chosen.cases(max_positions=2048)]    # ["read", "peak avx512-vnni", "decode@64", …]

A case is one operation that can be repeated. Knows no engine: `ours` and `llama` each make operations of cases.

| kind | one operation |
|---|---|
| read | plain reading of as many bytes as the ternary body has |
| peak | products of bytes by one unit of the processor, on registers |
| decode | `batch` tokens, one of each of so many sequences, `position` tokens behind them |
| prefill | a prompt of `rows` tokens, to the logits after its last |
| ttft | the same, to the id of the most probable next token on the host |
| body | every ternary matrix of every block times `rows` rows, and nothing else |
| attention | of one row, in every block, over `position` rows of the cache |
| head | the logits of one row |
| norms | every norm of every block, of one row |
| fallback | one packed matrix of the shape of ffn_up times one row, by what runs where there is no native kernel |
| int8-dot | the same product by XLA's dot of unpacked int8, which the fallback is there to beat |
| load, compile, first-token, memory, peak-memory | once in a fresh process |
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

Kind = Literal[
    "read",
    "peak",
    "decode",
    "prefill",
    "ttft",
    "body",
    "attention",
    "head",
    "norms",
    "fallback",
    "int8-dot",
    "load",
    "compile",
    "first-token",
    "memory",
    "peak-memory",
]

SEED = 1
ROOM = 64
"""Tokens that a sequence decodes before it goes back to the position of its case."""


@dataclass(frozen=True)
class Case:
    """One thing to measure; the table above says what the fields mean for its kind."""

    kind: Kind
    rows: int = 1
    position: int = 0
    batch: int = 1
    unit: str = ""

    @property
    def key(self) -> str:
        """The name of the case in artifacts, by which two of them are compared."""
        batch = f"x{self.batch}" if self.batch > 1 else ""
        shown = {
            "peak": f"peak {self.unit}",
            "decode": f"decode@{self.position}{batch}",
            "attention": f"attention@{self.position}",
        }
        rows = f"{self.kind}[{self.rows}]" if self.kind in ("prefill", "ttft", "body") else self.kind
        return shown.get(self.kind, rows)


def prompt(vocab: int, rows: int) -> list[int]:
    """Return the ids of a prompt: the same for every engine, run and machine."""
    return np.random.default_rng(SEED).integers(0, vocab, rows).tolist()


STARTS = tuple(Case(kind) for kind in ("load", "compile", "first-token", "memory", "peak-memory"))
"""What every fresh process measures of itself."""


@dataclass(frozen=True)
class Settings:
    """How much is measured. Lengths and positions that the model has no room for are left out."""

    iterations: int = 10
    """Samples of each case."""
    warmup: int = 2
    """Operations of a case that nobody times, before its first sample."""
    threads: tuple[int, ...] = ()
    """Processors to run on, a child process each; the last count runs every case, the others those that scale."""
    starts: int = 3
    """Fresh processes in which loading is measured."""
    seconds: float = 0.3
    """A sample repeats its operation for at least so long: the system's counters tick 100 times a second."""
    prompts: tuple[int, ...] = (32, 128, 512)
    positions: tuple[int, ...] = (64, 512, 1024, 1900)
    batches: tuple[int, ...] = (2, 4, 8)
    rows: tuple[int, ...] = (1, 8, 128, 512)
    allow_noise: bool = False
    """Let disturbed samples count."""

    def quick(self) -> "Settings":
        """Return the same with little of everything."""
        return replace(self, starts=1, prompts=(32,), positions=(64,), batches=(), rows=(1, 128), seconds=0.2)

    def cases(self, max_positions: int, units: tuple[str, ...]) -> tuple[Case, ...]:
        """Return every case of a model with so many positions, on a machine with these units."""
        positions = self._positions(max_positions)
        prompts = [rows for rows in self.prompts if rows <= max_positions] or [max_positions]
        return (
            *self.limits(units),
            *(Case("decode", position=position) for position in positions),
            *(Case("decode", position=positions[0], batch=batch) for batch in self.batches),
            Case("ttft", rows=prompts[0]),
            *(Case("prefill", rows=rows) for rows in prompts),
            *(Case("body", rows=rows) for rows in self.rows),
            *(Case("attention", position=position) for position in dict.fromkeys((positions[0], positions[-1]))),
            Case("head"),
            Case("norms"),
            Case("fallback"),
            Case("int8-dot"),
        )

    def limits(self, units: tuple[str, ...]) -> tuple[Case, ...]:
        """Return the cases that measure the machine."""
        return (Case("read"), *(Case("peak", unit=unit) for unit in units))

    def scaling(self, max_positions: int, units: tuple[str, ...]) -> tuple[Case, ...]:
        """Return the cases of a lesser number of threads."""
        ends = (Case("body"), Case("body", rows=max(self.rows)))
        return (*self.limits(units), *self.peers(max_positions), *ends)

    def peers(self, max_positions: int) -> tuple[Case, ...]:
        """Return the cases that two engines take turns at: the first position and the longest prompt."""
        prompts = [case for case in self.cases(max_positions, ()) if case.kind == "prefill"]
        return (Case("decode", position=self._positions(max_positions)[0]), prompts[-1])

    def _positions(self, max_positions: int) -> tuple[int, ...]:
        fitting = tuple(position for position in self.positions if position + ROOM <= max_positions)
        return fitting or (max(1, max_positions - ROOM),)
