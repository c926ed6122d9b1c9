"""Injecting into the numpy model: any fault of weights and computation, and no jax.

broken, where = inject_tensors(config, tensors, "mask-missing", seed=1)
broken.logits(tokens)
"""

from collections.abc import Mapping

import numpy as np

from bitnet_engine.config import Config
from bitnet_engine.errors import UnsupportedError
from bitnet_engine.formats import Trits
from bitnet_parity.faults.draft import Draft, Injected, Tensor, Tensors, seeded
from bitnet_parity.faults.numpy_model import NumpyModel, Shape, Ternary
from bitnet_parity.faults.registry import finished, targeted


def inject_tensors(
    config: Config, tensors: Tensors, name: str, seed: int, *, everywhere: bool = False
) -> tuple[NumpyModel, Injected]:
    """Return the model of these weights as a NumpyModel with fault `name` in it, and where.

    The seed picks layer, matrix, rows and columns; `everywhere` puts it into every place it fits.

    Raises:
        SettingError: there is no such fault, it is one of files alone, or the model has no place for it.
        UnsupportedError: the numpy model has not this graph.
    """
    fault = targeted(name, "numpy")
    draft = Draft(config, tensors, seeded(name, seed), everywhere=everywhere or fault.whole)
    where = finished(draft, fault)
    return built(draft), where


def built(draft: Draft) -> NumpyModel:
    """Return a draft as a model.

    Raises:
        UnsupportedError: its graph has norms of single matrices or rotary factors, which the numpy model has not.
    """
    c = draft.config
    if c.input_norm_eps is not None or c.rope_factors:
        raise UnsupportedError(
            "Norms of single matrices and scaled rotary frequencies are not computed in numpy. Put the fault into the "
            "model's file, or into the model as it is loaded."
        )
    tensors: Mapping[str, np.ndarray | Ternary] = {name: _plain(draft.tensors[name]) for name in draft.tensors}
    return NumpyModel(tensors, Shape(c.heads, c.kv_heads, c.head_dim), draft.choices)


def _plain(tensor: Tensor) -> np.ndarray | Ternary:
    return (tensor.values, tensor.scale) if isinstance(tensor, Trits) else tensor
