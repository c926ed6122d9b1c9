"""Injecting into a model in memory: the engine's own, or the same weights under the numpy model.

    broken, place = inject_model(model, "scale-inverse", seed=1)           # an engine Model
    broken, place = inject_numpy(model, "mask-missing", seed=1)            # a NumpyModel: any fault of the graph

The model that is given is left as it is; what is not changed is shared with it.
"""

from dataclasses import fields, replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from bitnet_engine.config import Activation
from bitnet_engine.errors import SettingError
from bitnet_engine.formats import Trits
from bitnet_engine.model import Model, Weights
from bitnet_engine.numerics import Numerics
from bitnet_engine.packing import BlockTernary, Linear, PackedTernary, stack
from bitnet_parity.faults.draft import Draft, Injected, Tensor, Tensors, original, seeded, split
from bitnet_parity.faults.numpy_injection import built, inject_tensors
from bitnet_parity.faults.numpy_model import NumpyModel
from bitnet_parity.faults.registry import finished, targeted

TOP = ("token_embd", "output_norm", "output")
NUMERICS = {"row": Numerics.EXACT_INT8, "none": Numerics.FLOAT, "block": Numerics.LLAMACPP_Q8K}
"""The numpy model's quantisers that the engine has too."""


def tensors_of(model: Model) -> Tensors:
    """Return the weights of an engine's model by GGUF name, unpacked as they are read."""
    layers = model.weights.layers
    parts = [f.name for f in fields(layers) if isinstance(getattr(layers, f.name), _KINDS)]
    body = [f"blk.{layer}.{part}.weight" for layer in range(model.config.layers) for part in parts]
    top = [f"{part}.weight" for part in TOP if getattr(model.weights, part) is not None]
    return Tensors([*top, *body], lambda name: _read(model, name))


_KINDS = (jax.Array, PackedTernary, BlockTernary)


def _read(model: Model, name: str) -> Tensor:
    if name.startswith("blk."):
        layer, part = split(name)
        leaf = jax.tree.map(lambda stacked: stacked[layer], getattr(model.weights.layers, part))
    else:
        leaf = getattr(model.weights, name.removesuffix(".weight"))
    if isinstance(leaf, PackedTernary | BlockTernary):
        return Trits(leaf.to_trits(), np.asarray(leaf.scale))
    return np.asarray(leaf)


def inject_model(model: Model, name: str, seed: int, *, everywhere: bool = False) -> tuple[Model, Injected]:
    """Return the model with fault `name` in it, and where.

    The seed picks layer, matrix, rows and columns; `everywhere` puts it into every place it fits. Settings are
    one for all layers in this engine, so they are everywhere in any case.

    Raises:
        SettingError: there is no such fault, the engine cannot compute it, or the model has no place for it.
    """
    fault = targeted(name, "model")
    settings = fault.kind in ("setting", "computation") or fault.whole
    draft = Draft(model.config, tensors_of(model), seeded(name, seed), everywhere=everywhere or settings)
    place = finished(draft, fault)
    choices = draft.choices[0]
    config = replace(
        model.config,
        activation=_activation(choices.activation, name),
        rms_eps=float(np.float32(choices.eps)),
        rope_theta=float(np.float32(choices.theta)),
    )
    weights = _without(_edited(model, draft.tensors), choices.skipped)
    if draft.drops_bos and model.tokenizer.bos is None:
        raise SettingError("The model's tokenizer puts no BOS before a text; there is none to lose.")
    tokenizer = replace(model.tokenizer, bos=None) if draft.drops_bos else model.tokenizer
    changed = choices.quantiser != original(model.config).quantiser
    numerics = draft.numerics or (NUMERICS[choices.quantiser] if changed else model.numerics)
    return Model(config, weights, tokenizer, numerics), place


def _activation(name: str, fault: str) -> Activation:
    if name not in ("relu2", "silu"):
        raise SettingError(f"The engine does not compute {name}, which fault '{fault}' needs; use inject_numpy.")
    return name


def inject_numpy(model: Model, name: str, seed: int, *, everywhere: bool = False) -> tuple[NumpyModel, Injected]:
    """Return the model as a NumpyModel with fault `name` in it, and where; raises as `inject_model`."""
    return inject_tensors(model.config, tensors_of(model), name, seed, everywhere=everywhere)


def as_numpy(model: Model) -> NumpyModel:
    """Return the same model, unbroken, as a NumpyModel: the reference that its broken ones are compared with."""
    return built(Draft(model.config, tensors_of(model), seeded("", 0)))


def _edited(model: Model, tensors: Tensors) -> Weights:
    weights = model.weights
    for name in tensors.edits:
        if not name.startswith("blk."):
            part, tensor = name.removesuffix(".weight"), tensors[name]
            table = jnp.asarray(tensor.dense() if isinstance(tensor, Trits) else tensor, jnp.float32)
            weights = eqx.tree_at(lambda w, part=part: getattr(w, part), weights, table, is_leaf=lambda x: x is None)
    for part in dict.fromkeys(split(name)[1] for name in tensors.edits if name.startswith("blk.")):
        matrices = [_leaf(tensors[f"blk.{layer}.{part}.weight"]) for layer in range(model.config.layers)]
        weights = eqx.tree_at(lambda w, part=part: getattr(w.layers, part), weights, stack(matrices))
    return weights


def _leaf(tensor: Tensor) -> Linear:
    if not isinstance(tensor, Trits):
        return jnp.asarray(tensor)
    one = tensor.scale.ndim == 0
    trits = tensor.values
    return PackedTernary.from_trits(trits, float(tensor.scale)) if one else BlockTernary.from_trits(trits, tensor.scale)


def _without(weights: Weights, skipped: frozenset[str]) -> Weights:
    """Return the weights without the sub norms that are skipped: the engine's graph then hands on their input."""
    for part in skipped:
        weights = eqx.tree_at(lambda w, part=part: getattr(w.layers, part), weights, None)
    return weights
