"""What llama.cpp computes on the way to its logits, node by node, as a capture: through its own evaluation callback.

    source = LlamaCapture(peer, tokens)                 # peer: a `peers.LlamaCpp`
    finding = diagnose(reference="samples/nano/packed", candidate=source)
    write_capture(folder, source.tokens, source.parts(), facts)

llama.cpp calls back after every node of its graph, which its llama-eval-callback prints, shortened; here the nodes are
kept whole, in float32. They are known by their names and operations (docs/formats.md §4.2), and those without a name in
our graph are passed over. A `llama` file has its rows of q and k in another order, which is undone. Diagnoses nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from bitnet_engine.capturing import Captured
from bitnet_engine.errors import BitnetError
from bitnet_engine.matrices import hf_order
from bitnet_engine.model import RESULTS
from bitnet_parity.diagnosis.graph import head_ops

ALIASES = {
    "embd": "inp_embd",
    "ffn_sub_out": "ffn_gate_par",
    "ffn_swiglu": "ffn_gate_par",
    "ffn_silu": "ffn_gate_par",
    "ffn_out": "ffn_down",
}
"""llama.cpp's names of what has another one here; by version and graph there are several."""
ROTATED = {"Qcur": "q_rope", "Kcur": "k_rope", "Qcur_normed": "q_rope", "Kcur_normed": "k_rope"}
"""A rotated query goes by the name of what it was made from."""
VIEWS = ("RESHAPE", "VIEW", "PERMUTE", "TRANSPOSE", "CPY")
"""Operations that compute nothing, under the name of what they look at."""
_NORMS = ("attn_norm", "Qcur_normed", "Kcur_normed", "attn_sub_norm", "ffn_norm", "ffn_sub_norm", "result_norm")
_SUMS = ("kqv_out", "ffn_inp", "l_out", "result_output")
KNOWN = {*ALIASES.values(), *ROTATED.values(), *RESULTS.values(), *_NORMS, *_SUMS}
"""Results of our graph (`bitnet_engine.capturing`); llama.cpp's others have no counterpart."""
PAIRED = ("Qcur", "Kcur", "q_rope", "k_rope")


@runtime_checkable
class NodeSource(Protocol):
    """An engine whose graph can be watched: `peers.LlamaCpp`."""

    @property
    def name(self) -> str:
        """As it was named."""
        ...

    @property
    def paired_head_dim(self) -> int | None:
        """Features of a head whose neighbours are rotated; None where its halves are."""
        ...

    def evaluate(self, tokens: Sequence[int], see: Callable[[str, str, np.ndarray], object]) -> None:
        """Run `tokens` and hand every node to `see`."""
        ...


class LlamaCapture:
    """A source for `diagnose`: llama.cpp on some ids. Run once, when it is made; all its results are in memory."""

    def __init__(self, peer: NodeSource, tokens: Sequence[int]) -> None:
        """Run `tokens`.

        Raises:
            BitnetError: llama.cpp fails, or names none of the nodes that end a graph.
        """
        self.tokens, self.name = tuple(tokens), peer.name
        self._found: dict[int | None, dict[str, np.ndarray]] = {}
        width = peer.paired_head_dim

        def see(node: str, operation: str, values: np.ndarray) -> None:
            layer, name = place(node, operation)
            if name is not None and len(values) == len(self.tokens):
                own = values if width is None or name not in PAIRED else _unpaired(values, width)
                self._found.setdefault(layer, {})[name] = own

        peer.evaluate(self.tokens, see)
        if (last := head_ops()[-1].output) not in self._found.get(None, {}):
            nodes = ", ".join(self._found.get(None, {})) or "none"
            raise BitnetError(f"{self.name}: llama.cpp has no node '{last}' outside its layers, but {nodes}")
        self.count = len(list(self.parts()))
        """Parts: the embedding, the layers, the head."""

    def parts(self) -> Iterator[Captured]:
        """Yield the embedding, each layer, and the head."""
        ends, first = self._found[None], "inp_embd"
        if first in ends:
            yield Captured(None, {first: ends[first]})
        for layer in sorted(layer for layer in self._found if layer is not None):
            yield Captured(layer, self._found[layer])
        yield Captured(None, {name: values for name, values in ends.items() if name != first})


def place(node: str, operation: str) -> tuple[int | None, str | None]:
    """Return the layer and our name of a node, `Qcur-3` and `ROPE`; no name for one that is nothing of ours."""
    stem, dash, number = node.rpartition("-")
    stem, layer = (stem, int(number)) if dash and number.isdecimal() else (node, None)
    if operation in VIEWS or " (" in stem:
        return layer, None
    if operation == "ROPE":
        return layer, ROTATED.get(stem)
    name = ALIASES.get(stem, stem)
    return layer, name if name in KNOWN else None


def _unpaired(values: np.ndarray, head_dim: int) -> np.ndarray:
    """Put the features of each head into Hugging Face's order (docs/formats.md §2.11), of [seq, …]."""
    flat = values.reshape(len(values), -1)
    return flat[:, hf_order(flat.shape[1], flat.shape[1] // head_dim)].reshape(values.shape)
