"""The diagnosis against the fault library: every fault, seed, graph family and form, scored.

    PYTHONPATH=. python docs/measure_diagnosis.py --write rows.jsonl      # all of it: most of an hour
    PYTHONPATH=. python docs/measure_diagnosis.py --render rows.jsonl     # the artifact, and the page
    PYTHONPATH=. python docs/measure_diagnosis.py --only scale-inverse --seeds 1

A fault goes into a file (SafeTensors and GGUF, each against the sound packed folder) and, where an engine can have it,
into the numpy model, whose results are diagnosed as another engine's. A row is written as soon as it is known; the same
command goes on where it was stopped, and rendered rows join those of the artifact, in place of older ones. Scored from
outside: the diagnosis knows nothing of the library, and this table alone says which of its names mean which fault.
"""

import argparse
import functools
import json
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bitnet_engine.errors import SettingError
from bitnet_engine.files import write_atomic
from bitnet_engine.formats import QuantType
from bitnet_engine.loading import load
from bitnet_engine.provenance import stamp
from bitnet_parity import faults
from bitnet_parity.diagnosis.causes import Cause, Finding
from bitnet_parity.diagnosis.diagnosing import diagnose
from bitnet_parity.faults.fault import Fault
from tests.engine import families

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs" / "measurements" / "diagnosis.json"
PAGE, BEGIN, END = ROOT / "docs" / "diagnose.md", "<!-- measured -->\n", "<!-- end -->"
FORMS = ("SafeTensors", "GGUF", "activations")
FAMILIES = ("bitnet", "llama")
SEEDS = (1, 2, 3)
TOKENS = 48
SAFETENSORS = (QuantType.HF_PACKED, QuantType.F32)
GGUF = (QuantType.I2_S, QuantType.TQ2_0, QuantType.TQ1_0)

NAMES: dict[str, tuple[str, ...]] = {
    "scale-double-absmean": ("scale-absmean-twice",),
    "signs-flipped": ("signs-flipped", "scale-negative"),
    "head-ternary": ("head-ternary", "ternary-head"),
    "activation-relu": ("activation-relu", "activation-other"),
    "scale-max": ("scale-of-largest",),
    "head-scale": ("head-scaled",),
    "trits-dropped": ("weights-zeroed",),
    "chunk-misplaced": ("rows-of-others",),
    "layer-repeated": ("tensor-of-another",),
    "qk-swapped": ("tensors-swapped",),
    "kv-swapped": ("tensors-swapped",),
    "gate-up-swapped": ("tensors-swapped",),
    "norms-swapped": ("tensors-swapped",),
    "qk-permuted": ("rope-permuted",),
    "qk-permuted-twice": ("rope-permuted",),
    "q-permuted": ("rope-permuted",),
    "softmax-padded": ("keys-padded",),
    "attn-branch-dropped": ("branch-dropped",),
    "ffn-branch-dropped": ("branch-dropped",),
    "ffn-float16": ("activation-float16",),
    "bos-doubled": ("file-refused",),
    "pre-missing": ("tokenizer-pre", "text-split-otherwise"),
    "pre-unknown": ("tokenizer-pre-name", "file-refused"),
    "template-wrong": ("chat-template",),
    "file-type-wrong": ("file-type",),
    "i2s-silently-f16": ("file-type",),
    "architecture-edited": ("file-refused",),
    "divide-for-multiply": ("scale-inverse",),
    "sub-norms-dropped": ("sub-norms", "file-refused"),
    "weight-scale-dropped": ("file-refused",),
    "fallback-q4-0": ("fallback-type", "file-refused"),
    "type-id-other": ("file-refused",),
    "zero-tail": ("zero-filled", "file-refused", "rows-minus-one", "gain-zero", "not-finite", "all-zero", "scale-zero"),
    "file-cut": ("file-refused",),
    "code-3": ("code-3", "file-refused"),
    "scale-of-block": ("scale-of-block", "several-scales", "file-refused"),
    "scales-f16": ("scale-rounded",),
    "scales-bf16": ("scale-rounded",),
    "embedding-f16": ("embedding-rounded",),
    "embedding-q8-0": ("embedding-rounded",),
    "embedding-q6-k": ("embedding-rounded",),
    "activations-bf16": ("bfloat16", "embedding-rounded", "gain-rounded"),
    "ffn-permuted": ("features-permuted", "rows-permuted", "gain-other", "tensor-of-another"),
    "matrix-as-floats": ("fallback-type",),
    "architecture-old-name": ("architecture-name",),
}
"""Fault → names of the diagnosis that are right; a fault that is not listed has its own name."""

AFTERMATH = ("fallback-type", "density", "zero-filled", "file-refused", "scale-rounded", "head-differs")
"""Further things that are true of a broken file beside its fault."""


for _skipped in ("attn-norm", "attn-sub-norm", "ffn-norm", "ffn-sub-norm", "output-norm"):
    NAMES[f"{_skipped}-skipped"] = ("norm-skipped",)


@dataclass(frozen=True)
class Row:
    """One fault in one form."""

    fault: str
    seed: int
    family: str
    form: str
    harmless: bool
    verdict: str
    located: bool
    named: bool
    wrongly: tuple[str, ...]
    """Names that are neither the fault's nor what follows of it."""
    causes: tuple[str, ...]
    truth: str
    seconds: float
    commit: str | None
    """That it was measured at."""


Key = tuple[str, int, str, str]
"""Fault, seed, family, form: what a row is about."""


def rows(
    only: str | None, seeds: tuple[int, ...], chosen: tuple[str, ...], forms: tuple[str, ...], known: Collection[Key]
) -> Iterator[Row]:
    """Yield a row for each fault in each form but the known; one that the model has no place for has none."""
    tokenizer = ROOT / "samples" / "nano" / "packed" / "tokenizer.json"
    for family in chosen:
        with tempfile.TemporaryDirectory(prefix="bitnet-diagnosis-") as scratch:
            sound = families.write_hf(families.make(family), Path(scratch) / "sound", tokenizer)
            model = load(sound)
            ids = np.random.default_rng(5).integers(0, model.config.vocab, TOKENS).tolist()
            for name in faults.names():
                fault = faults.get(name)
                if only is not None and only not in name:
                    continue
                for seed in seeds:
                    for form in forms:
                        if (name, seed, family, form) in known:
                            continue
                        try:
                            yield from _row(fault, seed, family, form, sound, model, ids, Path(scratch))
                        except SettingError:
                            continue


def _row(
    fault: Fault, seed: int, family: str, form: str, sound: Path, model: Any, ids: list[int], scratch: Path
) -> Iterator[Row]:
    begun = time.monotonic()
    if form == "activations":
        if "numpy" not in fault.targets:
            return
        broken, truth = faults.inject_numpy(model, fault.name, seed)
        finding = diagnose(reference=sound, candidate=faults.Traced(broken, tuple(ids), fault.name))
    else:
        kinds = SAFETENSORS if form == "SafeTensors" else GGUF
        allowed = [kind for kind in kinds if kind in fault.storages]
        if "file" not in fault.targets or not allowed:
            return
        target = scratch / ("broken" if form == "SafeTensors" else "broken.gguf")
        truth = faults.inject_file(sound, target, fault.name, seed, allowed[0])
        try:
            finding = diagnose(reference=sound, candidate=target, tokens=ids)
        finally:
            _remove(target)
    yield _scored(fault, seed, family, form, finding, truth, time.monotonic() - begun)


def _remove(path: Path) -> None:
    if path.is_dir():
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def _scored(
    fault: Fault, seed: int, family: str, form: str, finding: Finding, truth: faults.Injected, seconds: float
) -> Row:
    right = NAMES.get(fault.name, (fault.name,))
    harmful = [cause for cause in finding.causes if not cause.harmless]
    considered = finding.causes if fault.harmless else harmful
    named = any(cause.name in right for cause in considered)
    located = any(_there(cause, truth) for cause in considered)
    located |= any(one.operation == truth.operation and truth.layer in (None, one.layer) for one in finding.unexplained)
    if fault.harmless:
        named, located = named or finding.verdict in ("SAME",), True
    wrongly = tuple(
        sorted({c.name for c in harmful if c.name not in right and (c.name not in AFTERMATH or fault.harmless)})
    )
    return Row(
        fault.name,
        seed,
        family,
        form,
        fault.harmless,
        finding.verdict.value,
        located,
        named,
        wrongly,
        tuple(cause.sentence() for cause in finding.causes),
        f"layer {truth.layer}, {truth.operation}, {truth.tensor}: {truth.detail}",
        round(seconds, 2),
        _commit(),
    )


def _there(cause: Cause, truth: faults.Injected) -> bool:
    """Whether a cause points to where the fault is: its weight, or its layer and operation."""
    if set(cause.tensors) & {truth.tensor, *truth.changed}:
        return True
    spoken = {truth.operation, "file"} if truth.operation in ("file", "tokenizer") else {truth.operation}
    if cause.operation not in spoken:
        return truth.operation == "file" and truth.tensor is None and cause.name != "file-refused"
    return truth.layer is None or truth.layer in (cause.layer, *cause.layers) or cause.operation == "file"


def summary(found: list[Row]) -> dict[str, Any]:
    """Return the shares that the goals are about."""
    faulty, harmless = [r for r in found if not r.harmless], [r for r in found if r.harmless]
    count = max(1, len(faulty))
    return {
        "faults": len(faulty),
        "located": sum(r.located for r in faulty) / count,
        "named": sum(r.named for r in faulty) / count,
        "wrongly_named": sum(bool(r.wrongly) for r in faulty) / count,
        "harmless": len(harmless),
        "false_alarms": sum(r.verdict not in ("SAME", "HARMLESS") for r in harmless),
    }


def table(found: list[Row]) -> str:
    """Return a line a fault: how many were named of how many, by form; harmless ones: of how many nothing was said."""
    lines = ["| fault | SafeTensors | GGUF | activations |", "|---|---|---|---|"]
    for name in dict.fromkeys(row.fault for row in found):
        cells = [_cell([row for row in found if (row.fault, row.form) == (name, form)]) for form in FORMS]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(found: list[Row]) -> str:
    if not found:
        return "–"
    good = sum(r.verdict in ("SAME", "HARMLESS") if r.harmless else r.named and not r.wrongly for r in found)
    return f"{good}/{len(found)}"


def render(parts: list[Path]) -> None:
    """Write the artifact and the table of docs/diagnose.md from the rows of several runs."""
    order = {name: index for index, name in enumerate(faults.names())}
    known = {_key(row): row for row in json.loads(TARGET.read_bytes())["rows"]}
    known |= {_key(row): row for part in parts for row in _read(part)}
    found = sorted(
        (Row(**{**_PLAIN, **row}) for row in known.values() if row["fault"] in order),
        key=lambda row: (order[row.fault], row.form, row.family, row.seed),
    )
    # What was said of each is kept where it is not what was due; the rest can be made again.
    kept = [asdict(row) if _cell([row]) != "1/1" else _short(row) for row in found]
    artifact = {"tokens": TOKENS, "families": FAMILIES, "summary": summary(found), "stamp": stamp(), "rows": kept}
    write_atomic(TARGET, json.dumps(artifact, indent=1, ensure_ascii=False).encode() + b"\n")
    page = PAGE.read_text()
    before, after = page[: page.index(BEGIN) + len(BEGIN)], page[page.index(END) :]
    numbers = summary(found)
    seeds = ", ".join(str(seed) for seed in sorted({row.seed for row in found}))
    words = (
        f"Seeds {seeds}; {numbers['faults']:,} broken models: located {numbers['located']:.1%}, rightly named "
        f"{numbers['named']:.1%}, wrongly named {numbers['wrongly_named']:.1%}. {numbers['harmless']} harmless ones: "
        f"{numbers['false_alarms']} false alarms.\n"
    )
    write_atomic(PAGE, f"{before}\n{words}\n{table(found)}{after}".encode())


_PLAIN: dict[str, Any] = {"wrongly": (), "causes": (), "truth": "", "seconds": 0.0, "commit": None}
"""What a row of the artifact leaves out where there is nothing to say."""


def _read(part: Path) -> list[dict[str, Any]]:
    """Return the rows of a run; the last line may have been cut off."""
    lines = part.read_text().splitlines(keepends=True) if part.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _key(row: dict[str, Any]) -> Key:
    return row["fault"], row["seed"], row["family"], row["form"]


def _short(row: Row) -> dict[str, Any]:
    fields = ("fault", "seed", "family", "form", "harmless", "verdict", "located", "named", "commit")
    return {name: getattr(row, name) for name in fields}


def _say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


@functools.cache
def _commit() -> str | None:
    return stamp()["git_commit"]


def _go_on(path: Path) -> set[Key]:
    """Return what a file has rows of, and leave a line that was cut off out of it."""
    kept = _read(path)
    write_atomic(path, "".join(json.dumps(row) + "\n" for row in kept).encode())
    return {_key(row) for row in kept}


def _append(path: Path, row: Row) -> None:
    with path.open("a") as file:
        file.write(json.dumps(asdict(row)) + "\n")


def main() -> None:
    """Measure and keep what was measured, or render it; print what is not as it should be."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only")
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    parser.add_argument("--families", nargs="*", default=FAMILIES)
    parser.add_argument("--forms", nargs="*", default=FORMS)
    parser.add_argument("--write", type=Path, help="append the rows to this file, and measure none that it has")
    parser.add_argument("--render", type=Path, nargs="*", help="make artifact and page of such files, and run nothing")
    given = parser.parse_args()
    if given.render:
        render(given.render)
        return
    found: list[Row] = []
    known = _go_on(given.write) if given.write else set()
    for row in rows(given.only, tuple(given.seeds), tuple(given.families), tuple(given.forms), known):
        found.append(row)
        if given.write:
            _append(given.write, row)
        bad = row.verdict not in ("SAME", "HARMLESS") if row.harmless else not (row.located and row.named)
        if bad or row.wrongly or given.only:
            _say(
                row.fault, row.seed, row.family, row.form, row.verdict, row.located, row.named, row.wrongly, row.seconds
            )
            _say("    truth:", row.truth)
            for cause in row.causes[:6]:
                _say("    found:", cause[:200])
    _say(json.dumps(summary(found)))


if __name__ == "__main__":
    main()
