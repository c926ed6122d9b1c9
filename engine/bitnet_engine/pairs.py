"""Two files of one model, opened together: what one leaves open the other may prove.

    with open_pair("packed", "model-i2_s.gguf") as (reference, candidate):
        candidate.reading                    # Reading(i2s_layout=B, i2s_basis="detected", i2s_evidence="share of ...")

No I2_S file states its layout. Where neither side was told it, the other side's codes decide (i2s_detection.py); where
they decide nothing, layout A stays assumed, and the reading says why. Compares nothing else.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from bitnet_engine.errors import FormatError, SettingError, UnsupportedError
from bitnet_engine.formats import Checkpoint, I2SLayout, QuantType, open_checkpoint
from bitnet_engine.formats.checkpoint import LOOKUP_TYPES
from bitnet_engine.i2s_detection import detect_i2s_layout

T = TypeVar("T")


@contextmanager
def open_pair(
    reference: str | os.PathLike[str],
    candidate: str | os.PathLike[str],
    *,
    i2s_layout: I2SLayout | None = None,
    kernel_config: Path | None = None,
    candidate_i2s_layout: I2SLayout | None = None,
    candidate_kernel_config: Path | None = None,
) -> Iterator[tuple[Checkpoint, Checkpoint]]:
    """Open both sides; `i2s_layout` and `kernel_config` are of each that needs them, unless the candidate has its own.

    Raises:
        FormatError, StorageError: as `open_checkpoint`.
        SettingError: a layout or a kernel config that neither side has a tensor for.
    """
    with open_checkpoint(reference) as first, open_checkpoint(candidate) as second:
        layouts = _shared("I2_S layout", i2s_layout, candidate_i2s_layout, (first, second), (QuantType.I2_S,))
        kernels = _shared("kernel config", kernel_config, candidate_kernel_config, (first, second), tuple(LOOKUP_TYPES))
        first = first.read_as(i2s_layout=layouts[0], kernel_config=kernels[0])
        second = second.read_as(i2s_layout=layouts[1], kernel_config=kernels[1])
        # A reference of assumed layout can still place the candidate: official files are A. Not the other way round.
        first = first if second.reading.i2s_basis == "assumed" else _detected(first, second)
        yield first, _detected(second, first)


def _shared(
    what: str, shared: T | None, own: T | None, sides: tuple[Checkpoint, Checkpoint], kinds: tuple[QuantType, ...]
) -> tuple[T | None, T | None]:
    """Return what of `shared` and the candidate's `own` each side gets."""
    first, second = (side.holds(*kinds) for side in sides)
    if shared is not None and not first and (own is not None or not second):
        others = "" if own is not None else f" and {sides[1].path}"
        held = " or ".join(sorted(kinds))
        raise SettingError(f"{sides[0].path}{others}: no {held} tensor, so no {what} ({shared}) either; leave it out")
    return (shared if first else None), own if own is not None else shared if second else None


def _detected(one: Checkpoint, other: Checkpoint) -> Checkpoint:
    """Return `one` in the layout that `other` proves, where it was only assumed."""
    if one.reading.i2s_basis != "assumed":
        return one
    try:
        match = detect_i2s_layout(one, other)
    except (FormatError, UnsupportedError) as error:
        # Nothing to compare it with. What is wrong with the other file is told by whoever reads it in earnest.
        return replace(one, reading=replace(one.reading, i2s_evidence=f"not detected: {error}"))
    if match.layout is None:
        return replace(one, reading=replace(one.reading, i2s_evidence=match.describe()))
    reading = replace(one.reading, i2s_layout=match.layout, i2s_basis="detected", i2s_evidence=match.evidence())
    return replace(one, reading=reading)
