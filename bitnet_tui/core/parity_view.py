"""What the parity screen shows, built from the events of one run; live and replay feed the same class.

    view = ParityView()
    for event in events:
        view.feed(event)
    view.finish()                       # the stream is over, with or without `run.end`
    view.median_tau, view.worst(), view.funnel()

Every number is exact at any moment: medians are taken over the whole column when asked for. Knows nothing
of colours, widths or clocks; the screen passes the time in.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from bitnet_tui.core.events import Event
from bitnet_tui.core.measures import TAU, Measure
from bitnet_tui.core.run_state import RunState, RunView, Stage, active, take_stage
from bitnet_tui.core.text import number, safe
from bitnet_tui.core.token_table import TokenTable

BELIEF_LIMITS = {"lossless": 1.0, "nightly": 0.99, "fp32": 0.95, "quantized": 0.60}
"""The median tau-b a profile asks for (docs, parity §1), until the run's own `gate` event states it."""

WEIGHTS = "weights"
FUNNEL = ("tokenizer", "belief", "probability", WEIGHTS)
"""Gates in the order in which a failure makes the later ones meaningless; weights mean what they mean in any case."""


class TokenStatus(Enum):
    """How well the two sides' rankings agree at a token; a flipped top-1 is independent of it."""

    AGREE = "agree"
    DRIFT = "drift"
    """Above the limit, but nearer to it than to 1."""
    DIVERGE = "diverge"
    UNDEFINED = "undefined"
    """tau-b does not exist: a constant or non-finite vector of logits. Counts as failing."""


@dataclass(frozen=True)
class GateLine:
    """A gate as the verdict bar shows it. `status` is None until it is judged."""

    name: str
    status: str | None
    text: str
    blocked: bool = False
    """An earlier gate failed, so this one's number means little."""


@dataclass(frozen=True)
class RankRow:
    """Row `rank` of the two top-k lists, side by side.

    `moved` is how many ranks the candidate's token rose (negative: fell) against the reference's list;
    None when the reference's list does not hold it.
    """

    rank: int
    reference: tuple[str, float] | None
    candidate: tuple[str, float] | None
    moved: int | None


class ParityView(RunView):
    """The state of one parity run."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = TokenTable()
        self.reference = ""
        self.candidate = ""
        self.profile = ""
        self.request: dict[str, Any] = {}
        """What was asked for, as `core.session.run` takes it; empty where the stream does not say."""
        self.planned: int | None = None
        self.stages: list[Stage] = []
        self.verdict: str | None = None
        self.warnings: list[str] = []
        """What the run says before its numbers: the settings in which the two files differ, say."""
        self.measure: Measure = TAU
        """By which tokens are told apart: coloured, marked, called the worst."""
        self.thresholds: dict[Measure, float] = {}
        """What a person has set; the profile's limit of tau-b where there is none."""
        self.bookmarks: set[int] = set()
        self._gates: dict[str, Event] = {}
        self._median: tuple[int, float] = (0, float("nan"))

    # ---- events -------------------------------------------------------------------------------------

    def feed(self, event: Event) -> None:
        """Take in one event; kinds it does not know are ignored."""
        super().feed(event)
        kind = event["event"]
        if kind == "token":
            self.state = RunState.RUNNING
            self.tokens.append(event)
        elif kind == "run.start":
            self._start(event)
        elif kind == "stage":
            self.state = RunState.RUNNING
            take_stage(self.stages, event)
        elif kind == "plan":
            tokens = event.get("tokens")
            self.planned = tokens if isinstance(tokens, int) else None
        elif kind == "gate":
            self._gates[str(event.get("gate"))] = event
        elif kind == "warn":
            self.warnings.append(safe(str(event.get("message", "")), 300))
        elif kind == "run.end":
            verdict = event.get("verdict")
            self.verdict = verdict if isinstance(verdict, str) else None

    def _start(self, event: Event) -> None:
        self.profile = str(event.get("profile", ""))
        self.reference, self.candidate = (_side(event.get(side)) for side in ("reference", "candidate"))
        request = event.get("request")
        self.request = dict(request) if isinstance(request, dict) and _names_sides(request) else {}

    # ---- numbers ------------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """How many tokens have arrived."""
        return len(self.tokens)

    @property
    def active_stage(self) -> str | None:
        """The stage that has begun and not ended: loading, compiling, scoring."""
        return active(self.stages)

    @property
    def limit(self) -> float | None:
        """The tau-b under which a token diverges; None when neither a gate nor the profile names one."""
        stated = self._gates.get("belief", {}).get("limit")
        return float(stated) if isinstance(stated, int | float) else BELIEF_LIMITS.get(self.profile)

    @property
    def threshold(self) -> float | None:
        """The value of `measure` beyond which a token diverges; None where nobody has named one."""
        return self.thresholds.get(self.measure, self.limit if self.measure is TAU else None)

    def values(self) -> np.ndarray:
        """Return `measure` of every token, float64 [tokens], NaN where undefined."""
        return self.tokens.column(self.measure.column)

    @property
    def median_tau(self) -> float:
        """The median tau-b over all tokens so far, an undefined one counting as the lowest.

        Not finite without a token, and where half of them are undefined.
        """
        count = len(self.tokens)
        if self._median[0] != count:
            # As the belief gate counts them: an undefined tau is a failing value, never left out. Where
            # half of them are undefined, so is the median.
            filled = np.nan_to_num(self.tokens.tau_b, nan=-np.inf)
            self._median = (count, float(np.median(filled)))
        return self._median[1]

    @property
    def delta_nll(self) -> float:
        """Mean NLL of the candidate minus the reference's, in nats a token; NaN without a token."""
        if not len(self.tokens):
            return float("nan")
        return float(np.mean(self.tokens.column("nll_candidate") - self.tokens.column("nll_reference")))

    @property
    def typical_shift(self) -> float:
        """The run's median |Δlogit|: over tokens, of each token's median over the ids both top-k hold."""
        shifts = self.tokens.column("shift")
        defined = shifts[np.isfinite(shifts)]
        return float(np.median(defined)) if defined.size else float("nan")

    def diverging(self) -> np.ndarray:
        """Return whether each token's measure is beyond the threshold or undefined, bool [tokens]."""
        return self.measure.beyond(self.values(), self.threshold)

    def marked(self) -> np.ndarray:
        """Return whether each token diverges or flips its top-1, bool [tokens]: what `n` and `N` visit."""
        return self.diverging() | self.tokens.flips

    def status(self, index: int) -> TokenStatus:
        """Return the status of one token."""
        value, limit = self.tokens.value(self.measure.column, index), self.threshold
        if value != value:
            return TokenStatus.UNDEFINED
        if limit is None:
            return TokenStatus.AGREE
        if value > limit if self.measure.rising else value < limit:
            return TokenStatus.DIVERGE
        return TokenStatus.DRIFT if self.measure.drifts(value, limit) else TokenStatus.AGREE

    # ---- places -------------------------------------------------------------------------------------

    def first(self) -> int | None:
        """Return the first marked token."""
        return self.next_marked(-1)

    def next_marked(self, index: int) -> int | None:
        """Return the nearest marked token after `index`, or None."""
        after = np.flatnonzero(self.marked()[index + 1 :])
        return index + 1 + int(after[0]) if after.size else None

    def previous_marked(self, index: int) -> int | None:
        """Return the nearest marked token before `index`, or None."""
        before = np.flatnonzero(self.marked()[: max(index, 0)])
        return int(before[-1]) if before.size else None

    def worst(self) -> int | None:
        """Return the token with the worst measure, an undefined one below all; ties go to the larger KL."""
        if not len(self.tokens):
            return None
        values = self.measure.worst_first(self.values())
        lowest = np.flatnonzero(values == values.min())
        kl = np.nan_to_num(self.tokens.column("kl")[lowest], nan=np.inf)
        return int(lowest[int(np.argmax(kl))])

    # ---- sentences ----------------------------------------------------------------------------------

    def funnel(self) -> list[GateLine]:
        """Return the gates in funnel order; the ones not judged yet show the number so far.

        That of weights is shown where the run has one: a recording has none to compare.
        """
        lines: list[GateLine] = []
        blocked = False
        for name in FUNNEL:
            event = self._gates.get(name)
            if name == WEIGHTS and event is None:
                continue
            status = str(event.get("status")) if event else None
            text = self._judged(name, event) if event else self._so_far(name)
            lines.append(GateLine(name, status, text, blocked and name != WEIGHTS))
            # Another tokenizer, another question: whatever follows compares different things.
            blocked = blocked or (name == "tokenizer" and status == "FAIL")
        return lines

    def why(self) -> tuple[str, str] | None:
        """Return the detail of the first gate that did not pass, whole and in its last clause alone."""
        for name in FUNNEL:
            event = self._gates.get(name)
            if event is not None and event.get("status") != "PASS" and event.get("detail"):
                detail = safe(str(event["detail"]), 300)
                return f"{name}: {detail}", f"{name}: {detail.rsplit('; ', 1)[-1]}"
        return None

    def counts(self) -> str:
        """Return how many tokens diverge, are undefined or flip, as one phrase."""
        total = len(self.tokens)
        if not total:
            return ""
        undefined = int(np.isnan(self.values()).sum())
        diverging, flips = int(self.diverging().sum()), int(self.tokens.flips.sum())
        side = f"{self.measure.name} over" if self.measure.rising else "under"
        parts = [] if self.threshold is None else [f"{diverging} {side} {number(self.threshold, 2)}"]
        parts.append(f"{flips} flip{'s' * (flips != 1)}")
        return " · ".join([*parts, f"{undefined} undefined"] if undefined else parts)

    def rank_rows(self, index: int) -> list[RankRow]:
        """Return the top-k lists of both sides at a token, row by row."""
        reference, candidate = self.tokens.top(index)
        rank_of = {row.id: rank for rank, row in enumerate(reference)}
        rows = []
        for rank in range(max(len(reference), len(candidate))):
            left = reference[rank] if rank < len(reference) else None
            right = candidate[rank] if rank < len(candidate) else None
            moved = rank_of[right.id] - rank if right and right.id in rank_of else None
            rows.append(
                RankRow(
                    rank + 1,
                    (left.text, left.logit) if left else None,
                    (right.text, right.logit) if right else None,
                    moved,
                )
            )
        return rows

    def near_tie(self, index: int) -> str:
        """Say whether the reference's own preference at a token is smaller than the usual difference."""
        margin, shift = self.tokens.value("margin", index), self.typical_shift
        if not (np.isfinite(margin) and np.isfinite(shift)):
            return ""
        if margin < shift:
            return f"≈ near-tie: ref margin {number(margin)} < typical |Δlogit| {number(shift)}"
        return f"ref margin {number(margin)} ≥ typical |Δlogit| {number(shift)}: no near-tie"

    def is_near_tie(self, index: int) -> bool:
        """Return whether the reference's top-1 margin is under the run's median |Δlogit|."""
        return bool(self.tokens.value("margin", index) < self.typical_shift)

    def summary(self) -> list[str]:
        """Return at most three lines that stay in the scrollback after the program."""
        if self.state is RunState.WAITING:
            return []
        head = f"parity {safe(self.id)}: {safe(self.reference)} → {safe(self.candidate)}"
        state = f"{self.state.value}, {len(self.tokens)} tokens"
        numbers = f"median τ-b {number(self.median_tau)}, Δ mean NLL {number(self.delta_nll, 4)}, {self.counts()}"
        lines = [head, f"{self.verdict or 'no verdict'} ({state})"]
        if self.errors:
            return [*lines, safe(self.errors[-1][1], 400)]
        return [*lines, numbers] if len(self.tokens) else lines

    def _judged(self, name: str, event: Event) -> str:
        value, limit = (_known(event.get(field)) for field in ("value", "limit"))
        if name == "belief":
            return f"τ-b {number(value)} ≥ {number(limit, 2)}"
        if name == "probability":
            return f"|ΔNLL| {number(value, 4)} ≤ {number(limit, 2)}"
        return f"{'tensors' if name == WEIGHTS else 'ids'} {_percent(value)}"

    def _so_far(self, name: str) -> str:
        if name == "tokenizer" or not len(self.tokens):
            return "…"
        if name == "belief":
            limit = "" if self.limit is None else f" ≥ {number(self.limit, 2)}"
            return f"τ-b {number(self.median_tau)}{limit}?"
        return f"ΔNLL {number(self.delta_nll, 4)}?"


def _names_sides(request: dict[str, Any]) -> bool:
    return all(isinstance(request.get(side), str) for side in ("reference", "candidate"))


def _known(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _percent(value: float | None) -> str:
    return "—" if value is None else f"{100 * value:.4g} %"


def _side(value: object) -> str:
    """Return what names a side: its path, whether it is given alone or inside a description."""
    if isinstance(value, dict):
        value = value.get("path", "")
    return value if isinstance(value, str) else ""
