"""What transformers computes on the way to its logits, module by module, as a capture: through torch's forward hooks.

    source = HfCapture(peer, tokens)                    # peer: a `peers.Transformers`
    finding = diagnose(reference="samples/nano/packed", candidate=source)
    write_capture(folder, source.tokens, source.parts(), facts)

A module is known by its name, which is that of its weight (`bitnet_engine.naming`): BitNet, Llama and Qwen3 have one
vocabulary. What no module gives is what the next one takes: attention's result, the sum with the layer's input, the
gated product. The model runs while the parts are read, and waits for the reader after each: one layer is in memory.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Protocol, runtime_checkable

import numpy as np

from bitnet_engine.capturing import Captured
from bitnet_engine.errors import BitnetError
from bitnet_engine.model import RESULTS
from bitnet_engine.naming import NORM_IN, canonical
from bitnet_parity.diagnosis.graph import embedding_op, head_ops
from bitnet_parity.hf_modules import End, See
from bitnet_parity.pulling import pulled

FIRST, LAST = embedding_op().output, head_ops()[-1].output
LAYER_END = "l_out"
OUTPUTS = RESULTS | {
    "token_embd": FIRST,
    "attn_norm": "attn_norm",
    "attn_q_norm": "Qcur_normed",
    "attn_k_norm": "Kcur_normed",
    "attn_sub_norm": "attn_sub_norm",
    "ffn_norm": "ffn_norm",
    "ffn_sub_norm": "ffn_sub_norm",
    "output_norm": "result_norm",
    "output": LAST,
}
"""What the module of a weight gives."""
INPUTS = {
    "attn_sub_norm": "kqv_out",
    "attn_output": "kqv_out",
    "ffn_norm": "ffn_inp",
    "ffn_sub_norm": "ffn_gate_par",
    "ffn_down": "ffn_gate_par",
}
"""What a module takes that no module gives. Of two, the first that runs: the other takes what the first made of it."""
ATTENTION: dict[End, str] = {"query": "q_rope", "key": "k_rope"}
BLOCK = re.compile(r"model\.layers\.(\d+)(\.self_attn)?")


@runtime_checkable
class ModuleSource(Protocol):
    """An engine whose modules can be watched: `peers.Transformers`."""

    @property
    def name(self) -> str:
        """As it was named."""
        ...

    @property
    def layers(self) -> int:
        """How many blocks there are."""
        ...

    def evaluate(self, tokens: Sequence[int], wanted: Callable[[str, End], bool], see: See) -> None:
        """Run `tokens` and hand the ends of modules that are `wanted` to `see`."""
        ...


class HfCapture:
    """A source for `diagnose`: transformers on some ids, run each time that its parts are read."""

    def __init__(self, peer: ModuleSource, tokens: Sequence[int]) -> None:
        self.tokens, self.name, self._peer = tuple(tokens), peer.name, peer
        self.count = peer.layers + 2
        """Parts: the embedding, the layers, the head."""

    def parts(self) -> Iterator[Captured]:
        """Yield the embedding, each layer, and the head.

        Raises:
            BitnetError: the model fails, or a module that ends a part has another name.
        """
        number = 0
        with closing(pulled(self._run)) as parts:
            for part in parts:
                number += 1
                yield part
        if number != self.count:
            raise BitnetError(
                f"{self.name}: {number} of {self.count} parts were seen; modules are known by the names that "
                f"transformers gives them in BitNet, Llama and Qwen3 (model.embed_tokens, model.layers.0, lm_head)"
            )

    def _run(self, hand: Callable[[Captured], None]) -> None:
        values: dict[str, np.ndarray] = {}

        def see(module: str, end: End, found: np.ndarray) -> None:
            layer, name = place(module, end)
            assert name is not None
            values.setdefault(name, found)
            if name in (FIRST, LAYER_END, LAST):
                hand(Captured(layer, dict(values)))
                values.clear()

        self._peer.evaluate(self.tokens, lambda module, end: place(module, end)[1] is not None, see)


def place(module: str, end: End) -> tuple[int | None, str | None]:
    """Return the layer and our name of a module's end, `model.layers.3.mlp.up_proj`; no name for what is not ours."""
    if block := BLOCK.fullmatch(module):
        names = {"output": LAYER_END} if block[2] is None else ATTENTION
        return int(block[1]), names.get(end)
    *where, part = canonical(f"{module}.weight").removesuffix(".weight").split(".")
    layer = int(where[1]) if where[:1] == ["blk"] else None
    if where and layer is None:
        return None, None
    if end == "output" and part.endswith(NORM_IN):
        return layer, part
    return layer, {"input": INPUTS, "output": OUTPUTS}.get(end, {}).get(part)
