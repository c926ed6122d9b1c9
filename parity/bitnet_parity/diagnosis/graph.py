"""The operations of a model in order: what each takes, what it gives, and how closely two engines must agree on it.

    for op in layer_ops(config): op.name, op.inputs, op.output, op.tolerance

Values have the names that `bitnet_engine.capture` gives them; `l_inp` is what the layer takes. Tolerances are relative
errors of one operation on the same input (docs/parity.md §5), of float32 engines. Computes nothing.
"""

from dataclasses import dataclass
from typing import Literal

from bitnet_engine.config import Config
from bitnet_engine.model import RESULTS
from bitnet_engine.naming import NORM_IN, PROJECTIONS

Kind = Literal["embedding", "norm", "product", "rope", "attention", "sum", "gated", "head"]

TOLERANCES: dict[Kind, float] = {
    "embedding": 0.0,
    "norm": 2e-6,
    "product": 2e-5,
    "rope": 5e-6,
    "attention": 5e-6,
    "sum": 2e-6,
    "gated": 2e-6,
    "head": 2e-6,
}
"""Largest ‖found − expected‖ / ‖expected‖ that rounding explains."""

SPOKEN = {
    "rope_q": "rope of queries",
    "rope_k": "rope of keys",
    "attn_residual": "attention residual",
    "ffn_residual": "ffn residual",
    "ffn_activation": "ffn activation",
}


@dataclass(frozen=True, slots=True)
class Op:
    """One operation of the graph."""

    name: str
    """That of its weight, or rope_q, rope_k, attention, attn_residual, ffn_activation, ffn_residual."""
    kind: Kind
    inputs: tuple[str, ...]
    output: str

    @property
    def tolerance(self) -> float:
        """The largest relative error that is no difference."""
        return TOLERANCES[self.kind]

    @property
    def spoken(self) -> str:
        """The name as a person says it."""
        return SPOKEN.get(self.name, self.name)


def embedding_op() -> Op:
    """Return the first operation."""
    return Op("token_embd", "embedding", ("tokens",), "inp_embd")


def layer_ops(config: Config) -> tuple[Op, ...]:
    """Return the operations of one layer, in order."""
    qk = ("Qcur_normed", "Kcur_normed") if config.qk_norm else ("Qcur", "Kcur")
    mixed, gated = ("attn_sub_norm", "ffn_sub_norm") if config.sub_norms else ("kqv_out", "ffn_gate_par")
    ops = [Op("attn_norm", "norm", ("l_inp",), "attn_norm")]
    ops += [op for part in ("attn_q", "attn_k", "attn_v") for op in _product(config, part, "attn_norm")]
    if config.qk_norm:
        ops += [Op("attn_q_norm", "norm", ("Qcur",), qk[0]), Op("attn_k_norm", "norm", ("Kcur",), qk[1])]
    ops += [Op("rope_q", "rope", qk[:1], "q_rope"), Op("rope_k", "rope", qk[1:], "k_rope")]
    ops.append(Op("attention", "attention", ("q_rope", "k_rope", "Vcur"), "kqv_out"))
    if config.sub_norms:
        ops.append(Op("attn_sub_norm", "norm", ("kqv_out",), mixed))
    ops += [*_product(config, "attn_output", mixed), Op("attn_residual", "sum", ("l_inp", "attn_out"), "ffn_inp")]
    ops.append(Op("ffn_norm", "norm", ("ffn_inp",), "ffn_norm"))
    ops += [op for part in ("ffn_gate", "ffn_up") for op in _product(config, part, "ffn_norm")]
    ops.append(Op("ffn_activation", "gated", ("ffn_gate", "ffn_up"), "ffn_gate_par"))
    if config.sub_norms:
        ops.append(Op("ffn_sub_norm", "norm", ("ffn_gate_par",), gated))
    return (*ops, *_product(config, "ffn_down", gated), Op("ffn_residual", "sum", ("ffn_inp", "ffn_down"), "l_out"))


def head_ops() -> tuple[Op, ...]:
    """Return the operations behind the last layer."""
    return (
        Op("output_norm", "norm", ("l_inp",), "result_norm"),
        Op("output", "head", ("result_norm",), "result_output"),
    )


def _product(config: Config, part: str, source: str) -> list[Op]:
    """Return the product of a matrix, and before it the norm of its own input where it has one."""
    assert part in PROJECTIONS
    if config.input_norm_eps is None:
        return [Op(part, "product", (source,), RESULTS[part])]
    own = f"{part}{NORM_IN}"
    return [Op(own, "norm", (source,), own), Op(part, "product", (own,), RESULTS[part])]


def weight_name(op: Op, layer: int | None) -> str:
    """Return the canonical name of an operation's weight."""
    return f"{op.name}.weight" if layer is None else f"blk.{layer}.{op.name}.weight"
