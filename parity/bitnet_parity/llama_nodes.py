"""llama.cpp's graph, watched node by node through its evaluation callback.

    evaluate(llama, tokens, lambda node, operation, values: ...)      # "Qcur-3", "ROPE", float32 [seq, heads, head_dim]

`llama` is a llama_cpp.Llama. Its Python has no word for this, so ggml's tensors are read by their C layout (ggml.h,
ggml_tensor: type, buffer, ne[4], nb[4]), and their numbers by ggml's own function. Logits are asked for on every row,
or the last layer would compute one. Knows no name of a node.
"""

import ctypes
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np

_F32, _ITEM = 0, 4
"""ggml's number of the type, and its bytes."""


class _Tensor(ctypes.Structure):
    """The beginning of a ggml_tensor."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("buffer", ctypes.c_void_p),
        ("ne", ctypes.c_int64 * 4),
        ("nb", ctypes.c_size_t * 4),
    )

    @property
    def is_read(self) -> bool:
        """Whether it is float32 of at most three axes, without a gap."""
        ne, nb = self.ne, self.nb
        packed = nb[0] == _ITEM and nb[1] == ne[0] * nb[0] and nb[2] == ne[1] * nb[1]
        return self.type == _F32 and ne[3] == 1 and packed


class _Ggml:
    """The functions of ggml that a node is read by."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._name, self._operation = library.ggml_get_name, library.ggml_op_desc
        self._name.restype = self._operation.restype = ctypes.c_char_p
        self._name.argtypes = self._operation.argtypes = [ctypes.c_void_p]
        self._get = library.ggml_backend_tensor_get
        self._get.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]
        self._get.restype = None

    def node(self, address: int) -> tuple[str, str, np.ndarray]:
        ne = _Tensor.from_address(address).ne
        shape = (ne[2], ne[1], ne[0]) if ne[2] > 1 else (ne[1], ne[0])
        values = np.empty(shape, np.float32)
        self._get(address, values.ctypes.data, 0, values.nbytes)
        return self._name(address).decode(), self._operation(address).decode(), values


def evaluate(llama: Any, tokens: Sequence[int], see: Callable[[str, str, np.ndarray], object]) -> None:
    """Run `tokens` and hand `see` each float32 node: its name, its operation, its values [seq, …].

    Raises:
        RuntimeError: llama.cpp makes no context, or ends with an error.
        Exception: what `see` raised.
    """
    api = import_module("llama_cpp.llama_cpp")  # of an extra: type checkers find it in some places only
    ggml, raised = _Ggml(api._lib), []

    @api.ggml_backend_sched_eval_callback
    def called(address: int, asking: bool, _data: Any) -> bool:
        if not _Tensor.from_address(address).is_read:
            return not asking
        if asking:
            return True
        try:
            see(*ggml.node(address))
        except Exception as error:  # one that leaves a callback is printed and lost
            raised.append(error)
        return not raised

    settings = api.llama_context_default_params()
    settings.n_ctx = settings.n_batch = settings.n_ubatch = max(len(tokens), 32)
    settings.cb_eval = called
    # Fused, attention is one node that starts from keys rounded to float16.
    settings.flash_attn_type = api.LLAMA_FLASH_ATTN_TYPE_DISABLED
    settings.type_k = settings.type_v = api.GGML_TYPE_F32
    context = api.llama_init_from_model(llama.model, settings)
    if not context:
        raise RuntimeError("no context could be made")
    try:
        code = api.llama_decode(context, _batch(api, tokens))
    finally:
        api.llama_free(context)
    if raised:
        raise raised[0]
    if code:
        raise RuntimeError(f"llama_decode ended with {code}")


def _batch(api: Any, tokens: Sequence[int]) -> Any:
    """Return one sequence, every row of which is to have logits."""
    count = len(tokens)
    batch = api.llama_batch()
    # The arrays live as long as the batch, which holds them; positions and sequence are llama.cpp's defaults, 0 on.
    batch.token = (api.llama_token * count)(*tokens)
    batch.logits = (ctypes.c_int8 * count)(*[1] * count)
    batch.n_tokens = count
    return batch
