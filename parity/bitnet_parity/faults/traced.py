"""The numpy model as another engine: its operations under the names that `bitnet_engine.capture` gives them.

    broken, where = inject_numpy(model, "mask-missing", seed=1)
    diagnose(reference="packed", candidate=Traced(broken, tokens, "mask-missing"))

What it hands on is float32, as what another engine writes would be. Computed anew each time it is asked.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bitnet_engine.capturing import Captured
from bitnet_parity.faults.numpy_model import NumpyModel

RESULTS: dict[str, str] = {
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
"""Operation → its result's name, where that is another."""


@dataclass(frozen=True, slots=True, eq=False)
class Traced:
    """A source for `diagnose`: a NumpyModel on some ids."""

    model: NumpyModel
    tokens: tuple[int, ...]
    name: str

    def parts(self) -> Iterator[Captured]:
        """Yield the results of the embedding, each layer, and the head."""
        layer: int | None = None
        values: dict[str, np.ndarray] = {}
        for operation in self.model.trace(self.tokens):
            pieces = operation.name.split(".")
            now = int(pieces[1]) if pieces[0] == "blk" else None
            if now != layer and values:
                yield Captured(layer, values)
                values = {}
            layer = now
            values[RESULTS.get(pieces[-1], pieces[-1])] = operation.output.astype(np.float32)
        yield Captured(layer, values)
