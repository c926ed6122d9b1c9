"""Causes that are parts of one: two weights that changed places, two whole layers that did.

combined(causes, config)            # q is k and k is q: one cause, "tensors-swapped"
"""

from dataclasses import replace

from bitnet_engine.config import Config
from bitnet_parity.diagnosis.causes import Cause

MOVED = ("tensor-of-another", "gain-of-another")


def combined(causes: list[Cause], config: Config) -> list[Cause]:
    """Return the causes in graph order, swaps as one."""
    moved = {cause.tensors[0]: cause for cause in causes if cause.name in MOVED and cause.source is not None}
    swapped = {name: c for name, c in moved.items() if c.source in moved and moved[c.source].source == name}
    kept = [cause for cause in causes if not (cause.tensors and swapped.get(cause.tensors[0]) is cause)]
    kept = _free(kept)
    return _ordered([*kept, *_swaps(swapped, config)], config)


def _free(causes: list[Cause]) -> list[Cause]:
    """Return the causes with an order of features that the whole feed-forward shares as one harmless cause."""
    free = {cause.layer for cause in causes if cause.name == "features-permuted" and cause.operation == "ffn_down"}
    found: list[Cause] = []
    for cause in causes:
        if cause.layer in free and cause.operation == "ffn_gate" and cause.name == "rows-permuted":
            parts = [c for c in causes if c.layer == cause.layer and c.name == "features-permuted"]
            names = (*cause.tensors, *(name for part in parts for name in part.tensors))
            words = f"{cause.says}, as all its layer's feed-forward has"
            found.append(replace(parts[0], operation="ffn_gate", tensors=names, says=words))
        elif cause.name != "features-permuted" or cause.layer not in free or len(cause.tensors) > 1:
            found.append(cause)
    return found


def _swaps(swapped: dict[str, Cause], config: Config) -> list[Cause]:
    """Return one cause for each pair of weights, or of layers whose weights are all in a pair."""
    layers = {tuple(sorted((_layer(name), _layer(cause.source or "")))) for name, cause in swapped.items()}
    found: list[Cause] = []
    whole: set[str] = set()
    for a, b in sorted(layers):
        parts = [part for part in config.block_shapes() if a != b and a >= 0]
        names = [f"blk.{layer}.{part}.weight" for layer in (a, b) for part in parts]
        if names and all(name in swapped for name in names):
            whole |= set(names)
            found.append(
                _swap(swapped[names[0]], tuple(names), f"has layers {a} and {b} in each other's place", "layers")
            )
    for name, cause in swapped.items():
        if name not in whole and name < (cause.source or ""):
            pair = (name, cause.source or "")
            found.append(_swap(cause, pair, f"has {pair[0]} and {pair[1]} in each other's place", "tensors"))
    return found


def _swap(cause: Cause, names: tuple[str, ...], says: str, what: str) -> Cause:
    remedy = f"put {names[0]} and {cause.source} into each other's place"
    return replace(cause, name=f"{what}-swapped", tensors=names, says=says, remedy=remedy, source=None)


def _layer(name: str) -> int:
    pieces = name.split(".")
    return int(pieces[1]) if pieces[0] == "blk" else -1


def _ordered(causes: list[Cause], config: Config) -> list[Cause]:
    from bitnet_parity.diagnosis.graph import layer_ops

    order = {op.name: index for index, op in enumerate(layer_ops(config))}
    end = 1 << 31

    def place(cause: Cause) -> tuple[int, int]:
        before = -1 if cause.operation in ("tokenizer", "file", "token_embd") else end
        return before if cause.layer is None else cause.layer, order.get(cause.operation, end)

    return sorted(causes, key=place)
