"""Which code multiplies trits in this process: the native CPU kernel, Pallas on a TPU, or else XLA.

    kernels.backend().describe()                     # "native avx512-vnni", or "xla (the kernel was not built)"
    kernels.bitlinears(x, [(codes, scale, layer, rows)])     # only where backend().name is "native"

The environment chooses: BITNET_KERNEL is `auto` (the default), `native` (an error where it cannot run) or `xla`;
BITNET_KERNEL_ISA names one of the instruction sets that run here. Results are the same bits whichever runs.
Knows the kernel's layout (engine/kernels/layout.h) and nothing of models; `packing` decides what is multiplied.
"""

import ctypes
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from bitnet_engine.errors import BitnetError, SettingError

LIBRARY = "libbitnet_kernels.so"
CHOICES = ("auto", "native", "xla")
HANDLERS = (
    "bitnet_bitlinears",
    "bitnet_ternary_matmul",
    "bitnet_attend_decode",
    "bitnet_attend_prompt",
    "bitnet_lm_head",
    "bitnet_zeros",
)

Storage = Literal["trits", "HF_PACKED", "I2_S A", "I2_S B", "TQ2_0", "TQ1_0"]
STORED: tuple[Storage, ...] = get_args(Storage)
"""What the kernel's layout is packed from, in the order of pack.cpp: int8 trits `[out, in]`, or a file's own bytes."""

BLOCK_ROWS, LANES, LINE_COLUMNS, FIELDS = 64, 16, 4, 4
COLUMN_STEP = 16
RECORD_STEP = 64
"""As layout.h names them: a weight block's rows; columns are padded to a step; a row of activations takes whole
records of 64 bytes, the first of them a header."""
CHUNK_POSITIONS, PART_TAIL, HEAD_STEP = 32, 16, 16
"""As layout.h names them: positions that attention takes together, and floats behind what it mixed from them. A head's
dimension is a multiple of the last."""


@dataclass(frozen=True)
class Backend:
    """What multiplies, and where it is not the native kernel, why."""

    name: Literal["native", "pallas", "xla"]
    isa: str | None = None
    why: str = ""
    missed: bool = False
    """Whether the native kernel would have been the faster one here."""

    def describe(self) -> str:
        """Return it in words, for stamps and narration."""
        return f"{self.name} {self.isa}" if self.isa else f"{self.name} ({self.why})"


@cache
def backend() -> Backend:
    """Return what multiplies trits in this process, for good: weights are laid out for it.

    Raises:
        SettingError: BITNET_KERNEL or BITNET_KERNEL_ISA is none of the names allowed.
        BitnetError: BITNET_KERNEL is native, and the kernel cannot run.
    """
    choice = os.environ.get("BITNET_KERNEL") or "auto"
    if choice not in CHOICES:
        raise SettingError(f"BITNET_KERNEL is '{choice}'. {', '.join(CHOICES)} are allowed.")
    if choice == "xla":
        return Backend("xla", why="chosen by BITNET_KERNEL")
    obstacle = _obstacle()
    if obstacle is None:
        return Backend("native", _isa())
    if choice == "native":
        raise BitnetError(
            f"BITNET_KERNEL is native, but {obstacle}. Install a C++ compiler and bitnet-tui again, or unset it."
        )
    platform = jax.default_backend()
    return Backend("pallas" if platform == "tpu" else "xla", why=obstacle, missed=platform == "cpu")


def isas() -> tuple[str, ...]:
    """Return the instruction sets of the native kernel that run here, best first; none where it cannot run."""
    library = shared_library()
    if library is None:
        return ()
    library.bitnet_isas.restype = ctypes.c_char_p
    return tuple(library.bitnet_isas().decode().split(","))


def _isa() -> str:
    asked = os.environ.get("BITNET_KERNEL_ISA") or isas()[0]
    if asked not in isas():
        raise SettingError(f"BITNET_KERNEL_ISA is '{asked}'. {', '.join(isas())} run on this machine.")
    return asked


@cache
def shared_library() -> ctypes.CDLL | None:
    """Return what CMake built of engine/kernels; None where it was not built, or for another machine."""
    # An editable install leaves the package in the source tree and puts what was built into site-packages.
    folders = [Path(__file__).parent]
    with suppress(PackageNotFoundError):
        folders.append(Path(str(distribution("bitnet-tui").locate_file("bitnet_engine"))))
    found = [path for folder in folders if (path := folder / LIBRARY).exists()]
    with suppress(OSError):  # built for another machine
        return ctypes.CDLL(str(found[0])) if found else None
    return None


@cache
def _obstacle() -> str | None:
    """Register the kernel with jax; return what stands in the way, None where nothing does."""
    if (library := shared_library()) is None:
        return "the kernel was not built, or not for this machine"
    if (platform := jax.default_backend()) != "cpu":
        return f"jax runs on {platform}"
    built = library.bitnet_ffi_api_major(), library.bitnet_ffi_api_minor()
    if built[0] != (runtime := _runtime_api())[0] or built > runtime:
        return f"the kernel was built for XLA FFI {_dotted(built)}, and this jaxlib has {_dotted(runtime)}"
    try:
        # The backend is up by now, so that jaxlib refuses here what would otherwise break its start.
        for name in HANDLERS:
            jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(getattr(library, name)), platform="cpu")
    except Exception as refusal:  # of whatever type this jaxlib raises, or a handler that an older build lacks
        return f"the kernel could not be registered: {str(refusal).splitlines()[0]}"
    return None


def _runtime_api() -> tuple[int, int]:
    """The FFI version of the jaxlib that runs, from the header that it ships."""
    header = Path(jax.ffi.include_dir(), "xla", "ffi", "api", "c_api.h").read_text(encoding="utf-8")
    major, minor = (re.search(rf"#define XLA_FFI_API_{part} (\d+)", header) for part in ("MAJOR", "MINOR"))
    return (int(major[1]), int(minor[1])) if major and minor else (-1, -1)


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def tiles_shape(rows: int, columns: int) -> tuple[int, int]:
    """Return the shape of a matrix in the kernel's layout: blocks, bytes of a block."""
    lines = -(-columns // COLUMN_STEP) * (COLUMN_STEP // LINE_COLUMNS)
    return -(-rows // BLOCK_ROWS), lines * BLOCK_ROWS


def pack(
    stored: Storage, data: np.ndarray, shape: tuple[int, int], tiles: np.ndarray, order: np.ndarray | None = None
) -> bool:
    """Fill `tiles`, uint8 of `tiles_shape`, from the bytes of a matrix as they are stored, or from int8 trits.

    Row n of the tiles is stored row `order[n]`. Returns whether every code was a trit's; where not, the tiles are worth
    nothing. The caller has checked that `data` holds a matrix of that shape. Lets other threads run.
    """
    library = shared_library()
    assert library is not None  # the caller asked backend()
    assert data.flags.c_contiguous
    assert tiles.flags.c_contiguous
    rows = None if order is None else np.ascontiguousarray(order, np.int64)
    pointers = [None if array is None else array.ctypes.data_as(ctypes.c_void_p) for array in (data, rows, tiles)]
    sizes = ctypes.c_int64(shape[0]), ctypes.c_int64(shape[1])
    return library.bitnet_pack(STORED.index(stored), pointers[0], *sizes, *pointers[1:]) == 0


def unpack(codes: UInt8[Array, "*stack blocks bytes"], rows: int, columns: int) -> Int[Array, "*stack rows columns"]:
    """Return the int8 trits of packed matrices, by XLA."""
    stack, blocks = codes.shape[:-2], codes.shape[-2]
    lines = codes.reshape(*stack, blocks, -1, LANES, LINE_COLUMNS)
    planes = jnp.stack([(lines >> 2 * field & 3).astype(jnp.int8) - jnp.int8(1) for field in range(FIELDS)], axis=-3)
    # From [line, field, lane, column] to [field, lane, line, column]: the first pair are rows, the second columns.
    trits = jnp.moveaxis(planes, -4, -2).reshape(*stack, blocks * BLOCK_ROWS, -1)
    return trits[..., :rows, :columns]


Tiles = tuple[UInt8[Array, "... _ bytes"], Float[Array, ""], Int[Array, ""], int]
"""A matrix in the kernel's layout, or a stack of them: codes, the scale and the layer of the one meant, its rows."""


def bitlinears(x: Float[Array, "seq features"], matrices: Sequence[Tiles]) -> list[Float[Array, "seq _"]]:
    """Return `packing.bitlinear` of x and each matrix, by one call of the native kernel, which quantises x once."""
    results = [jax.ShapeDtypeStruct((x.shape[0], rows), jnp.float32) for *_, rows in matrices]
    call = jax.ffi.ffi_call("bitnet_bitlinears", [_records(x), *results], vmap_method="sequential")
    operands = [operand for *operands, _ in matrices for operand in operands]
    _, *products = call(x, *operands, isa=backend().isa)
    return products


def ternary_matmul(
    q: Int[Array, "seq features"], codes: UInt8[Array, "*stack blocks bytes"], layer: Int[Array, ""], rows: int
) -> Int[Array, "seq rows"]:
    """Return `packing.ternary_matmul` of q and matrix `layer` of the stack, by the native kernel."""
    result = jax.ShapeDtypeStruct((q.shape[0], rows), jnp.int32)
    call = jax.ffi.ffi_call("bitnet_ternary_matmul", (result, _records(q)), vmap_method="sequential")
    return call(q, codes, layer, isa=backend().isa)[0]


def attend_decode(
    q: Float[Array, "heads head_dim"],
    k: Float[Array, "kv_heads head_dim"],
    v: Float[Array, "kv_heads head_dim"],
    all_k: Float[Array, "layer kv_seq kv_heads head_dim"],
    all_v: Float[Array, "layer kv_seq kv_heads head_dim"],
    layer: Int[Array, ""],
    position: Int[Array, ""],
) -> tuple[Float[Array, "heads head_dim"], Array, Array]:
    """Write k and v of one position into the caches of `layer`, attend with q to all up to it; return mixed, caches.

    k, v and the caches are all float32 or all float16. The caches are written in place: whoever jits this donates them.
    `head_dim` is a multiple of HEAD_STEP. Sums have an order of their own, the same for every instruction set and
    number of threads; `layers.attention` has XLA's.
    """
    heads, head_dim = q.shape
    parts = (-(-all_k.shape[1] // CHUNK_POSITIONS), heads, head_dim + PART_TAIL)
    results = [(q.shape, jnp.float32), (all_k.shape, all_k.dtype), (all_v.shape, all_v.dtype), (parts, jnp.float32)]
    call = jax.ffi.ffi_call(
        "bitnet_attend_decode",
        [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in results],
        vmap_method="sequential",
        input_output_aliases={3: 1, 4: 2},
    )
    mixed, all_k, all_v, _ = call(q, k, v, all_k, all_v, layer, position, isa=backend().isa)
    return mixed, all_k, all_v


def attend_prompt(
    q: Float[Array, "seq heads head_dim"],
    k: Float[Array, "seq kv_heads head_dim"],
    v: Float[Array, "seq kv_heads head_dim"],
) -> Float[Array, "seq heads head_dim"]:
    """Return what each position's q mixes of itself and the positions before it.

    k and v are both float32 or both float16. Each row is to the bit what `attend_decode` gives for it. `head_dim` is a
    multiple of HEAD_STEP.
    """
    call = jax.ffi.ffi_call(
        "bitnet_attend_prompt", jax.ShapeDtypeStruct(q.shape, jnp.float32), vmap_method="sequential"
    )
    return call(q, k, v, isa=backend().isa)


def zeros(shape: tuple[int, ...], dtype: np.dtype) -> Array:
    """Return zeros on huge pages where the system grants them, which a step finds faster than as many small ones."""
    return jax.ffi.ffi_call("bitnet_zeros", jax.ShapeDtypeStruct(shape, dtype))()


def lm_head(hidden: Float[Array, " embed"], table: Float[Array, "vocab embed"]) -> Float[Array, " vocab"]:
    """Return table · hidden in float32, of a table in float32, float16 or bfloat16 that is widened as it is read.

    Sums have an order of their own, as those of `attend_decode`.
    """
    result = jax.ShapeDtypeStruct((table.shape[0],), jnp.float32)
    call = jax.ffi.ffi_call("bitnet_lm_head", result, vmap_method="sequential")
    return call(hidden, table, isa=backend().isa)


def _records(x: Array) -> jax.ShapeDtypeStruct:
    """The kernel's scratch, as a result: so XLA plans its memory, and no step allocates any."""
    seq, features = x.shape
    return jax.ShapeDtypeStruct((seq, RECORD_STEP + -(-features // RECORD_STEP) * RECORD_STEP), jnp.uint8)
