"""One model over several devices: every matrix and table split by its rows, along one axis of a jax Mesh.

    split = Split.over(mesh_of(devices), config)
    placed = split.place(weights)                       # a device holds its share of every matrix, and no more
    split.run(program, WHOLE, placed, tokens)           # program runs on every device, with that device's part

Each device computes some output features of a matrix from the whole input, and the parts are gathered: no sum is
ever taken over devices, so that the float operations, their operands and their order are those of one device, and
logits of ternary matrices are the same bits. Norms and the residual are computed by every device. Attention is split
by key and value heads where each device gets some, and is else computed by every device.
Knows the names of the weights and no operation on them; `model` says where a part must become whole.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import zip_longest
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, Shaped

from bitnet_engine import kernels
from bitnet_engine.config import Config
from bitnet_engine.naming import PROJECTIONS
from bitnet_engine.packing import PackedTernary

AXIS = "model"
"""The axis of the mesh that rows are split along."""
WHOLE = PartitionSpec()
_MATRIX, _TABLE, _CACHE = PartitionSpec(None, AXIS), PartitionSpec(AXIS), PartitionSpec(None, None, AXIS)
_CACHE_RANK = 4
_TABLES, _ATTENTION = ("token_embd", "output"), ("attn_q", "attn_k", "attn_v")
TABLE_STEP = 64
"""Rows of a table: a device has whole steps of it, so that its products are computed as those of all rows are."""
_RESIDUAL = ("attn_output", "ffn_down")
"""Matrices whose results are added to the residual stream, which every device has whole."""


def mesh_of(devices: Sequence[Any]) -> Mesh:
    """Return the mesh of some of `jax.devices()` that a model can be split over."""
    return Mesh(np.asarray(devices, object), (AXIS,))


@dataclass(frozen=True)
class Split:
    """How one model lies on a mesh, or on one device where there is none; hashable, to key a compiled program."""

    mesh: Mesh | None = None
    by_heads: bool = False
    """Whether attention and its cache are split too."""

    @classmethod
    def over(cls, mesh: Mesh, config: Config) -> "Split":
        """Return the split of a model over `mesh`.

        A device takes whole key and value heads whose rows fill its kernel's tiles, two or more: an axis of one is
        dropped by XLA, which then orders the sums otherwise. Where the heads do not divide so (5 on 2 devices),
        attention stays whole.
        """
        devices = mesh.shape[AXIS]
        tile = kernels.BLOCK_ROWS if kernels.backend().name == "native" else 1
        heads, left = divmod(config.kv_heads, devices)
        return cls(mesh, devices > 1 < heads and left == 0 and heads * config.head_dim % tile == 0)

    @property
    def devices(self) -> int:
        """How many devices share the model."""
        return 1 if self.mesh is None else self.mesh.shape[AXIS]

    def describe(self) -> str:
        """Return it in words, for narration."""
        attention = "attention by heads" if self.by_heads else "attention whole on each"
        if self.mesh is None:
            return "one device"
        count = "1 device" if self.devices == 1 else f"{self.devices} devices"
        return f"{count}, matrices by rows, {attention}"

    def place(self, weights: Any) -> Any:
        """Return `Weights` that lie on the mesh, rows padded with zero bytes to a number that divides.

        Every process that takes part calls this with the same weights, and keeps what its own devices hold.
        """
        return jax.tree.map(self._put, weights, _weight_specs(weights))

    def place_table(self, rows: Shaped[Array, "rows embed"]) -> Shaped[Array, "padded embed"]:
        """Return an embedding table of any number of rows, split as that of the weights."""
        return rows if self.mesh is None else self._put(rows, _TABLE)

    def local(self, config: Config) -> Config:
        """Return the config of what one device computes: it may have some of the heads."""
        if not self.by_heads:
            return config
        return replace(config, heads=config.heads // self.devices, kv_heads=config.kv_heads // self.devices)

    def run(self, program: Callable[..., Any], out: Any, weights: Any, *inputs: Any) -> Any:
        """Run `program(weights, *inputs)` on every device, with its part of the weights and of a cache.

        `out` is a spec for each output: WHOLE, or `cache_specs`.
        """
        if self.mesh is None:
            return program(weights, *inputs)
        specs = (_weight_specs(weights), *(self.cache_specs(given) for given in inputs))
        # What was gathered is the same everywhere, which the check of replication cannot tell.
        part = jax.shard_map(
            lambda weights, *inputs: program(_of_this_device(weights), *inputs),
            mesh=self.mesh,
            in_specs=specs,
            out_specs=out,
            check_vma=False,
        )
        return part(weights, *inputs)

    def cache_specs(self, tree: Any) -> Any:
        """Return where the arrays of a cache lie; anything but its keys and values is whole."""
        return jax.tree.map(lambda leaf: _CACHE if self.by_heads and leaf.ndim == _CACHE_RANK else WHOLE, tree)

    def gathers(self, matrix: str) -> bool:
        """Return whether the result of `matrix` is needed whole at once: what follows works feature by feature."""
        return matrix in _RESIDUAL or (matrix in _ATTENTION and not self.by_heads)

    def whole(self, part: Shaped[Array, "seq part"], features: int) -> Shaped[Array, "seq features"]:
        """Return all features of a result of which this device has computed a part."""
        found = part if self.mesh is None else jax.lax.all_gather(part, AXIS, axis=1, tiled=True)
        return found[:, :features]

    def whole_heads(self, mixed: Shaped[Array, "seq part"]) -> Shaped[Array, "seq heads_x_dim"]:
        """Return the results of all heads."""
        return self.whole(mixed, mixed.shape[1] * self.devices) if self.by_heads else mixed

    def rows(self, table: Float[Array, "rows embed"], ids: Int[Array, " seq"]) -> Float[Array, "seq embed"]:
        """Return rows of a table of which this device has a part, float32."""
        if self.mesh is None:
            return table[ids].astype(jnp.float32)
        owner, place = jnp.divmod(ids, table.shape[0])
        mine = (owner == jax.lax.axis_index(AXIS))[:, None]
        # Sums of bits, all zero but one: a float sum would turn -0.0 into 0.0.
        bits = jax.lax.bitcast_convert_type(table[place], _unsigned(table.dtype))
        found = jax.lax.bitcast_convert_type(jax.lax.psum(jnp.where(mine, bits, 0), AXIS), table.dtype)
        return found.astype(jnp.float32)

    def _put(self, array: Array, spec: PartitionSpec) -> Array:
        assert self.mesh is not None
        host = np.asarray(array)  # on CPU a view
        step = self.devices * (TABLE_STEP if spec == _TABLE else 1)
        shape = [size + (-size % step if name else 0) for size, name in zip_longest(host.shape, spec)]
        sharding = NamedSharding(self.mesh, spec)
        return jax.make_array_from_callback(tuple(shape), sharding, partial(_share, host, shape))


ONE_DEVICE = Split()


def _share(host: np.ndarray, shape: Sequence[int], index: Any) -> np.ndarray:
    """Return the part `index`, a slice for each axis, of an array that is padded with zeros to `shape`."""
    found = host[index]
    wanted = [len(range(*part.indices(size))) for part, size in zip(index, shape, strict=True)]
    return np.pad(found, [(0, want - have) for want, have in zip(wanted, found.shape, strict=True)])


def _weight_specs(weights: Any) -> Any:
    """Return where each array of `Weights` lies: matrices and tables by rows, what has no rows on every device."""
    return jax.tree_util.tree_map_with_path(_weight_spec, weights)


def _weight_spec(path: tuple[Any, ...], leaf: Array) -> PartitionSpec:
    names = [getattr(key, "name", None) for key in path]
    if names[0] in _TABLES:
        return _TABLE
    # Rows follow the layer; the scales of whole matrices have none.
    return _MATRIX if names[1:2] and names[1] in PROJECTIONS and leaf.ndim > 1 else WHOLE


def _of_this_device(weights: Any) -> Any:
    """Return weights whose matrices know that they have this device's rows only."""

    def packed(node: Any) -> bool:
        return isinstance(node, PackedTernary)

    return jax.tree.map(lambda node: node.cut() if packed(node) else node, weights, is_leaf=packed)


def _unsigned(dtype: np.dtype) -> np.dtype:
    return np.dtype(f"u{dtype.itemsize}")
