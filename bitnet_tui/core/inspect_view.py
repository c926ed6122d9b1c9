"""What the inspect screen shows, built from the Summary of a file and the `stats` events that follow.

    view = InspectView(summary)                  # session.inspect(path): the header only
    view.facts()                                 # one line about the whole file
    view.groups("attn")                          # the tree, filtered
    view.feed({"event": "stats", "tensor": …})   # numbers of one tensor, as they are computed
    view.feed_scan({"event": "report", …})       # findings that only the weights show
    view.tensor("blk.0.attn_q.weight")           # rows of the right-hand pane

Strings it returns for display are safe; names it returns as keys are the file's own. Knows nothing of
widgets, and computes nothing from weights.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from statistics import median
from typing import Any

from bitnet_tui.core.events import Event
from bitnet_tui.core.readings import reading_text
from bitnet_tui.core.text import counted, human_bytes, human_count, number, safe, safe_lines

MAX_ENTROPY = 1.584962500721156
"""log2(3): bits a trit can carry."""

_BLOCK = re.compile(r"((?:blk|model\.layers)\.\d+)\.(.+)")

_SCALE_MEANINGS = {"multiply": "weight = trit × stored scale", "divide": "weight = trit ÷ stored scale"}

ORDERS = ("file", "size", "unusual")
"""In blocks as the file has them; largest first; or first those whose share of zeros is farthest from the usual."""

Row = tuple[str, str]
"""A label and a value, both safe to display; an empty label continues the value above."""


@dataclass(frozen=True)
class Group:
    """Tensors of one block, or a single tensor outside any block (`name` is then its own name)."""

    name: str
    tensors: tuple[str, ...]
    is_block: bool


@dataclass(frozen=True)
class Shares:
    """How the trits of a tensor divide, as fractions of all its elements, and what they carry."""

    negative: float
    zero: float
    positive: float
    entropy: float | None


class InspectView:
    """The state of one opened model file."""

    def __init__(self, summary: Mapping[str, Any]) -> None:
        self.summary = summary
        self.path = str(summary.get("path", ""))
        self._tensors: dict[str, Mapping[str, Any]] = {t["name"]: t for t in summary.get("tensors", [])}
        self._stats: dict[str, Event] = {}
        self.stats_error: str | None = None
        self.scan = ""
        """What a scan of the weights has come to, in words; empty before there is one."""
        self.scanned = False
        self._found: list[Mapping[str, Any]] = []
        self.order = ORDERS[0]
        """How the tree lists the tensors."""

    # ---- the whole file -----------------------------------------------------------------------------

    def facts(self) -> str:
        """Return the file's facts in one line: format, tensors, parameters, size, bits per weight."""
        of = self.summary.get
        parts = [f"{str(of('format', '')).upper()} {safe(str(of('version', '')), 20)}".strip()]
        if architecture := of("architecture"):
            parts.append(safe(str(architecture), 40))
        parts.append(counted(len(self._tensors), "tensor"))
        parts.append(human_count(int(of("parameters") or 0)))
        parts.append(human_bytes(int(of("bytes") or 0)))
        parts.append(self._bits())
        return " · ".join(part for part in parts if part)

    def _bits(self) -> str:
        whole, body = self.summary.get("bits_per_weight"), self.summary.get("body_bits_per_weight")
        if whole is None:
            return ""
        return f"{whole:.2f} bpw" if body is None else f"{whole:.2f} bpw (body {body:.2f})"

    def overview(self, scan_key: str = "") -> list[Row]:
        """Return the details of the file itself: what a reader wants before any tensor.

        `scan_key` is the key that scans the weights, where there is one.
        """
        of = self.summary.get
        ternary, parameters = int(of("ternary_parameters") or 0), int(of("parameters") or 0)
        rows: list[Row] = [("path", safe(self.path, 400)), ("format", self.facts())]
        if parameters:
            rows.append(("ternary", f"{human_count(ternary)} of {human_count(parameters)} weights"))
        if meaning := of("scale_meaning"):
            rows.append(("scale", _SCALE_MEANINGS.get(meaning, safe(str(meaning), 40))))
        if reading := reading_text(of("reading", {})):
            rows.append(("read as", reading))
        hint = f"; {scan_key} scans the weights too" if scan_key else ""
        where = "header and weights" if self.scanned else f"header{hint}"
        rows.append(("findings", f"{len(self.findings())}, {where}"))
        for kind in of("types", []):
            label = safe(str(kind["type"]), 30)
            rows.append((label, f"{counted(kind['tensors'], 'tensor')}, {human_bytes(int(kind['bytes']))}"))
        return rows

    # ---- the tree -----------------------------------------------------------------------------------

    def groups(self, needle: str = "") -> list[Group]:
        """Return blocks and lone tensors in file order, only those whose name holds `needle`, any case."""
        order: dict[str, list[str]] = {}
        blocks: set[str] = set()
        if self.order != ORDERS[0]:
            return [Group(name, (name,), False) for name in self._sorted(needle)]
        for name in self._matching(needle):
            match = _BLOCK.fullmatch(name)
            key = match[1] if match else name
            if match:
                blocks.add(key)
            order.setdefault(key, []).append(name)
        return [Group(key, tuple(names), key in blocks) for key, names in order.items()]

    def _matching(self, needle: str) -> Iterator[str]:
        wanted = needle.casefold()
        return (name for name in self._tensors if wanted in name.casefold())

    def _sorted(self, needle: str) -> list[str]:
        names = list(self._matching(needle))
        if self.order == "size":
            return sorted(names, key=lambda name: -int(self._tensors[name].get("nbytes", 0)))
        return sorted(names, key=lambda name: -(self.distance(name) or -1.0))

    def distance(self, name: str) -> float | None:
        """Return how far a tensor's share of zeros is from the median of all; None where it has none yet."""
        zeros = self._zero_shares()
        return abs(zeros[name] - median(zeros.values())) if name in zeros else None

    def _zero_shares(self) -> dict[str, float]:
        """Return the share of zeros of each ternary tensor that is known by now."""
        return {name: found.zero for name in self._stats if (found := self.shares(name)) is not None}

    def names(self) -> Iterable[str]:
        """Return the names of all tensors."""
        return self._tensors.keys()

    def short_name(self, name: str) -> str:
        """Return a tensor's name without its block, for a label inside the block."""
        match = _BLOCK.fullmatch(name)
        return safe(match[2] if match else name, 80)

    def label(self, name: str) -> str:
        """Return a tensor's name as the tree has room for: without its block, and without the half of the block."""
        if self.order != ORDERS[0]:
            return safe(name, 80)
        return self.short_name(name).removeprefix("self_attn.").removeprefix("mlp.")

    def type_of(self, name: str) -> str:
        """Return a tensor's on-disk type."""
        return safe(str(self._tensors[name].get("type", "")), 16)

    def metadata_keys(self, needle: str = "") -> list[str]:
        """Return the metadata keys that hold `needle`, in file order."""
        wanted = needle.casefold()
        return [key for key in self.summary.get("metadata", {}) if wanted in key.casefold()]

    def findings(self) -> Sequence[Mapping[str, Any]]:
        """Return what is wrong or odd: as the header shows it, and after a scan as the weights do."""
        return [*self.summary.get("findings", []), *self._found]

    # ---- details ------------------------------------------------------------------------------------

    def tensor(self, name: str) -> list[Row]:
        """Return the details of a tensor, statistics included once they have arrived."""
        info = self._tensors[name]
        shape = [int(size) for size in info.get("shape", [])]
        elements, nbytes = prod(shape), int(info.get("nbytes", 0))
        rows = [
            ("name", safe(name)),
            ("type", self.type_of(name)),
            ("shape", " × ".join(map(str, shape)) or "scalar"),
            (
                "size",
                human_bytes(nbytes) + (f", {8 * nbytes / elements:.3g} bits a weight" if elements else ""),
            ),
            ("place", f"{safe(str(info.get('file', '')), 120)} @ 0x{int(info.get('offset', 0)):x}"),
        ]
        return rows + self._stat_rows(self._stats.get(name)) + (self._unusual(name) if self.order == "unusual" else [])

    def _unusual(self, name: str) -> list[Row]:
        """Return by what the tensor was put where it is in the list."""
        zeros = self._zero_shares()
        if name not in zeros:
            return []
        of = f"the median of {counted(len(zeros), 'tensor')} is {median(zeros.values()):.1%}"
        return [("unusual", f"zeros {zeros[name]:.1%}; {of}")]

    def block(self, name: str) -> list[Row]:
        """Return what a block holds: its size, and each tensor with its type and shape."""
        inside = next((group.tensors for group in self.groups() if group.name == name), ())
        nbytes = sum(int(self._tensors[tensor].get("nbytes", 0)) for tensor in inside)
        rows: list[Row] = [("holds", f"{counted(len(inside), 'tensor')}, {human_bytes(nbytes)}")]
        for tensor in inside:
            shape = " × ".join(map(str, self._tensors[tensor].get("shape", [])))
            rows.append((self.short_name(tensor), f"{self.type_of(tensor)}  {shape}"))
        return rows

    def all_metadata(self) -> list[Row]:
        """Return every metadata entry on one line."""
        return [(safe(key, 60), _brief(value)) for key, value in self.summary.get("metadata", {}).items()]

    def _stat_rows(self, stats: Event | None) -> list[Row]:
        if stats is None:
            return []
        if not _is_ternary(stats):
            rows = [("rms", _plain(stats.get("rms")))]
            rows.append(("range", f"{_plain(stats.get('min'))} … {_plain(stats.get('max'))}"))
            nan = int(stats.get("nan") or 0)
            return [*rows, ("NaN", f"{nan} values")] if nan else rows
        shares = self._shares(stats)
        rows = [("scale", _plain(stats.get("scale")) if stats.get("scale") is not None else "not uniform")]
        if shares.entropy is not None:
            rows.append(("entropy", f"{shares.entropy:.3f} of {MAX_ENTROPY:.3f} bits a trit"))
        for field, what in (("dead_rows", "rows"), ("dead_columns", "columns")):
            if dead := int(stats.get(field) or 0):
                rows.append((what, f"{dead} of zeros alone"))
        code3 = int(stats.get("code3") or 0)
        return [*rows, ("code 3", f"{code3} packed values that are no trit")] if code3 else rows

    def shares(self, name: str) -> Shares | None:
        """Return how a ternary tensor's trits divide; None while unknown, or for a dense tensor."""
        stats = self._stats.get(name)
        return self._shares(stats) if stats is not None and _is_ternary(stats) else None

    def zeros(self, name: str) -> Sequence[Sequence[float]]:
        """Return the share of zeros by block of rows and columns; empty while unknown, or for a dense tensor."""
        return self._stats.get(name, {}).get("zeros") or ()

    def histogram(self, name: str) -> tuple[Sequence[int], float, float] | None:
        """Return counts, and the values at both ends; None while unknown, or for a ternary tensor."""
        stats = self._stats.get(name, {})
        counts = stats.get("histogram")
        return (counts, float(stats["min"]), float(stats["max"])) if counts else None

    def _shares(self, stats: Event) -> Shares:
        counts = [int(stats.get(key) or 0) for key in ("neg", "zero", "pos", "code3")]
        total = sum(counts) or 1
        entropy = stats.get("entropy")
        real = float(entropy) if isinstance(entropy, int | float) else None
        return Shares(counts[0] / total, counts[1] / total, counts[2] / total, real)

    def metadata(self, key: str) -> list[Row]:
        """Return a metadata entry: its lines, or the head of an array and its true length."""
        value = self.summary.get("metadata", {})[key]
        if isinstance(value, Mapping) and {"array", "count"} <= value.keys():
            head = list(value.get("head", []))
            rows = [("type", f"array of {safe(str(value['array']), 20)}"), ("count", str(value["count"]))]
            rows += [(f"[{index}]", safe(str(item))) for index, item in enumerate(head)]
            left = int(value["count"]) - len(head)
            return [*rows, ("", f"… {left} more")] if left > 0 else rows
        lines = safe_lines(value if isinstance(value, str) else repr(value))
        return [("value" if index == 0 else "", line) for index, line in enumerate(lines)]

    def tokenizer(self) -> list[Row]:
        """Return what the file says about its tokenizer."""
        known = self.summary.get("tokenizer") or {}
        return [(safe(str(key), 40), "—" if value is None else safe(str(value))) for key, value in known.items()]

    def finding(self, index: int) -> list[Row]:
        """Return one finding: what, where, why it matters, what to do."""
        entry = self.findings()[index]
        fields = ("severity", "subject", "message", "advice", "code")
        return [(field, safe(str(entry.get(field) or "—"), 600)) for field in fields]

    # ---- statistics ---------------------------------------------------------------------------------

    def feed(self, event: Event) -> str | None:
        """Take in one event of a `stats` job; return the tensor it is about, if any."""
        if event["event"] == "error":
            self.stats_error = safe(str(event.get("message", "")), 300)
        name = event.get("tensor") if event["event"] == "stats" else None
        if not isinstance(name, str) or name not in self._tensors:
            return None
        self._stats[name] = event
        return name

    def feed_scan(self, event: Event) -> bool:
        """Take in one event of a `scan` job; return whether there are findings to show."""
        kind = event["event"]
        if kind == "tensor":
            self.scan = f"scan {event['index']}/{event['count']} {safe(str(event['name']), 60)}"
        elif kind == "report":
            self.scanned = True
            self._found = list(event["report"]["findings"])
            self.scan = f"scanned, {len(self._found)} finding{'s' * (len(self._found) != 1)} in the weights"
        elif kind == "error":
            self.scan = f"not scanned: {safe(str(event.get('message', '')), 300)}"
        elif kind == "run.end" and event.get("status") == "cancelled":
            self.scan = "not scanned: stopped"
        return kind == "report"

    @property
    def measured(self) -> int:
        """How many tensors have statistics."""
        return len(self._stats)

    @property
    def coverage(self) -> float:
        """Which part of the tensors' bytes has been read for statistics, 0 to 1."""
        total = sum(int(info.get("nbytes", 0)) for info in self._tensors.values())
        done = sum(int(self._tensors[name].get("nbytes", 0)) for name in self._stats)
        return done / total if total else 1.0


def _brief(value: object) -> str:
    if isinstance(value, Mapping) and {"array", "count"} <= value.keys():
        return f"{value['count']} × {safe(str(value['array']), 20)}"
    return safe(str(value), 80)


def _is_ternary(stats: Event) -> bool:
    return stats.get("neg") is not None


def _plain(value: object) -> str:
    """Return a measured number in six digits, or — where it does not exist."""
    return f"{value:.6g}" if isinstance(value, int | float) else number(None)
