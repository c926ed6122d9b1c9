"""Every known way to break a ternary model, by name and seed: the test bed of the diagnosis.

    from bitnet_parity import faults

    faults.names()                                                      # ("scale-inverse", "scale-lost", …)
    faults.get("mask-missing").summary
    broken, where = faults.inject_model(model, "scale-inverse", seed=1)     # an engine Model
    broken, where = faults.inject_numpy(model, "mask-missing", seed=1)      # an independent float64 forward
    where = faults.inject_file("packed", "broken.gguf", "zero-tail", 1, QuantType.I2_S)
    where.layer, where.operation, where.tensor, where.rows, where.detail    # the ground truth

Kinds: `scale`, `codes` and `weights` change weights; `setting` and `computation` what is done with them; `tokenizer`
and `header` a file; `harmless` nothing that matters. docs/diagnose.md lists all, with the bugs of docs/formats.md §5
that each is. Knows how to break a model and never how to find it: the diagnosis is written apart from this.

    fault.py     what a fault is         draft.py        a model being broken
    registry.py  all faults by name      memory.py       into models in memory
    scales.py    wrong scales            files.py        into files
    codes.py     wrong trits             rewrite.py      a file being broken
    moved.py     weights out of place    encoding.py     weights to bytes, wrong ones too
    computations.py  wrong operations    numpy_model.py  the graph in plain numpy
    headers.py   wrong files             harmless.py     what is no fault
    traced.py    numpy results as a capture
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bitnet_parity.faults.draft import Injected, Place
from bitnet_parity.faults.fault import Fault, Fingerprint
from bitnet_parity.faults.files import inject_file
from bitnet_parity.faults.numpy_model import NumpyModel, Operation
from bitnet_parity.faults.registry import get, names, table

if TYPE_CHECKING:
    from bitnet_parity.faults.memory import as_numpy, inject_model, inject_numpy
    from bitnet_parity.faults.traced import Traced

__all__ = [
    "Fault",
    "Fingerprint",
    "Injected",
    "NumpyModel",
    "Operation",
    "Place",
    "Traced",
    "as_numpy",
    "get",
    "inject_file",
    "inject_model",
    "inject_numpy",
    "names",
    "table",
]

_OF_MEMORY = {**dict.fromkeys(("as_numpy", "inject_model", "inject_numpy"), "memory"), "Traced": "traced"}


def __getattr__(name: str) -> Any:
    # Breaking a file, and listing what there is, starts no jax.
    if name not in _OF_MEMORY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_OF_MEMORY[name]}"), name)
