"""The numpy model of the fault library as another engine: its operations, under the names that a capture has."""

from collections.abc import Iterator

import numpy as np

from bitnet_engine.capturing import Captured
from bitnet_parity.faults import NumpyModel

RESULTS = {
    "token_embd": "inp_embd",
    "attn_q": "Qcur",
    "attn_k": "Kcur",
    "attn_v": "Vcur",
    "attn_q_norm": "Qcur_normed",
    "attn_k_norm": "Kcur_normed",
    "rope_q": "q_rope",
    "rope_k": "k_rope",
    "attention": "kqv_out",
    "attn_output": "attn_out",
    "attn_residual": "ffn_inp",
    "ffn_activation": "ffn_gate_par",
    "ffn_residual": "l_out",
    "output_norm": "result_norm",
    "output": "result_output",
}


class Traced:
    """A source for `diagnose`, computed by a NumpyModel as it is asked."""

    def __init__(self, model: NumpyModel, tokens: tuple[int, ...], name: str = "numpy") -> None:
        self._model, self._tokens, self._name = model, tokens, name

    @property
    def tokens(self) -> tuple[int, ...]:
        return self._tokens

    @property
    def name(self) -> str:
        return self._name

    def parts(self) -> Iterator[Captured]:
        layer, values = None, {}
        for operation in self._model.trace(self._tokens):
            pieces = operation.name.split(".")
            now = int(pieces[1]) if pieces[0] == "blk" else None
            if now != layer and values:
                yield Captured(layer, values)
                values = {}
            layer = now
            # What another engine writes is float32.
            values[RESULTS.get(pieces[-1], pieces[-1])] = operation.output.astype(np.float32)
        yield Captured(layer, values)
