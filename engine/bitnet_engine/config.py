"""The shape and the choices of a model, read from a checkpoint's metadata.

    config = Config.from_checkpoint(checkpoint)

Metadata that changes the computation and that this engine does not compute is refused by name; nothing is
defaulted. Both formats give equal configs for one model, so they share one compiled program.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bitnet_engine.config_keys import Keys
from bitnet_engine.errors import FormatError, UnsupportedError
from bitnet_engine.formats import Checkpoint
from bitnet_engine.naming import NORM_IN, PROJECTIONS, tensor_name
from bitnet_engine.rope_scaling import Llama3Scaling

Activation = Literal["relu2", "silu"]
LinearClass = Literal["float", "bitlinear", "autobitlinear"]


@dataclass(frozen=True)
class Family:
    """What an architecture's name decides about its graph."""

    activation: Activation | None
    """What is applied to the gate; None where config.json says it."""
    sub_norms: bool
    qk_norm: bool
    activation_quant: bool | None
    """None where the architecture is also that of models without it, and the weights tell."""


# The architecture name is all a GGUF says about its activation (llama.cpp's model files and microsoft/BitNet#602:
# running `bitnet-b1.58` with SiLU is the best-known bug of the field).
GGUF_FAMILIES = {
    "bitnet": Family("silu", True, False, True),
    "bitnet-25": Family("relu2", True, False, True),
    "bitnet-b1.58": Family("relu2", True, False, True),
    "llama": Family("silu", False, False, None),
    "qwen3": Family("silu", False, True, None),
}
HF_FAMILIES = {
    "BitNetForCausalLM": Family(None, True, False, True),
    "BitnetForCausalLM": Family(None, True, False, True),  # 1bitLLM's, with another n
    "LlamaForCausalLM": Family("silu", False, False, None),
    "Qwen3ForCausalLM": Family("silu", False, True, None),
    "Qwen3Model": Family("silu", False, True, None),  # saved without its head: embedding models
}
NEUTRAL: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("attention.scale", "embedding_scale", "residual_scale", "logit_scale"), (None, 0, 1)),
    **dict.fromkeys(("rope.scale_linear", "rope.scaling.factor", "rope.scaling.attn_factor"), (None, 0, 1)),
    **dict.fromkeys(("attn_logit_softcapping", "final_logit_softcapping"), (None, 0)),
    "rope.scaling.type": (None, "none", "linear"),
    "attention.sliding_window": (None, 0),
    "attention.causal": (None, True),
    "expert_count": (None, 0),
}
"""GGUF's keys that change the computation, and the values with which they don't."""
ROPE_KEYS = {"rope.dimension_count", "rope.freq_base", "rope.scaling.original_context_length", "rope.scaling.finetuned"}
ACTIVATION_QUANT = "bitnet_tui.activation_quant"
"""Our own key of GGUF: false in a ternary file of a model trained without int8 activations, which no other key says."""
ROPE_FREQS = "rope_freqs.weight"
LARGEST_HEAD = 1 << 16
"""Of models whose rotary factors are computed, one a pair of dimensions, before any tensor is compared with it."""


@dataclass(frozen=True)
class Config:
    """Hyperparameters of a decoder of the BitNet or Llama kind; hashable, so that it can key a compiled program.

    rms_eps and rope_theta are rounded to float32, the precision they are used in: GGUF stores 1e-5 as
    9.99999975e-06, and the two must not count as different models.
    """

    vocab: int
    embed: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    max_positions: int
    rope_theta: float
    rms_eps: float
    activation: Activation
    sub_norms: bool
    """Norms before attn_output and ffn_down, BitNet's mark."""
    qk_norm: bool
    """Norms of each query and key head before they are rotated, Qwen3's mark."""
    activation_quant: bool
    """Trained with activations quantised to int8 a row, before every matrix but the head."""
    input_norm_eps: float | None = None
    """Epsilon of the norms of each matrix's own input, which some BitLinear have; None where there are none."""
    rope_factors: tuple[float, ...] = ()
    """What each rotary frequency is divided by, Llama 3.1's mark; empty where all are left as they are."""

    def block_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the weights of a block in the order of the graph: canonical part → shape, matrices `(out, in)`."""
        q, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        shapes: dict[str, tuple[int, ...]] = {
            "attn_norm": (self.embed,),
            "attn_q": (q, self.embed),
            "attn_q_norm": (self.head_dim,),
            "attn_k": (kv, self.embed),
            "attn_k_norm": (self.head_dim,),
            "attn_v": (kv, self.embed),
            "attn_sub_norm": (q,),
            "attn_output": (self.embed, q),
            "ffn_norm": (self.embed,),
            "ffn_gate": (self.ffn, self.embed),
            "ffn_up": (self.ffn, self.embed),
            "ffn_sub_norm": (self.ffn,),
            "ffn_down": (self.embed, self.ffn),
        }
        absent = () if self.sub_norms else ("attn_sub_norm", "ffn_sub_norm")
        absent += () if self.qk_norm else ("attn_q_norm", "attn_k_norm")
        kept = {part: shape for part, shape in shapes.items() if part not in absent}
        if self.input_norm_eps is not None:
            kept |= {f"{part}{NORM_IN}": shapes[part][1:] for part in PROJECTIONS}
        return kept

    @property
    def linear_class(self) -> LinearClass:
        """Which linear layer of transformers this model's are: Llama graphs come with BitLinear only."""
        if not self.activation_quant:
            return "float"
        return "autobitlinear" if self.sub_norms else "bitlinear"

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> "Config":
        """Read the config of `checkpoint`.

        Raises:
            FormatError: a required key is missing or is not a number of the right kind.
            UnsupportedError: the architecture, or a setting that changes the computation, is not computed here.
        """
        read = _from_gguf if checkpoint.format == "gguf" else _from_hf
        config = read(Keys(checkpoint.path, checkpoint.metadata), checkpoint)
        config._check(checkpoint.path)
        if config.layers > len(checkpoint.tensors):
            # A declared number is compared with what is there before anything counts up to it.
            raise FormatError(
                f"{checkpoint.path}: the metadata declares {config.layers} layers, the file holds "
                f"{len(checkpoint.tensors)} tensors. The metadata is damaged; convert the model again."
            )
        return config

    def _check(self, path: Path) -> None:
        if self.heads % self.kv_heads:
            raise FormatError(
                f"{path}: {self.heads} attention heads are not a multiple of {self.kv_heads} key/value heads. "
                f"The metadata is damaged; convert the model again."
            )
        if not self.head_dim:
            raise FormatError(
                f"{path}: {self.heads} attention heads share an embedding of {self.embed}, which leaves none a "
                f"dimension. The metadata is damaged; convert the model again."
            )
        if self.head_dim % 2:
            raise UnsupportedError(
                f"{path}: head_dim is {self.head_dim}; rotary embedding needs an even number of dimensions."
            )


def _from_gguf(keys: Keys, checkpoint: Checkpoint) -> Config:
    architecture = keys.text("general.architecture")
    if architecture not in GGUF_FAMILIES:
        raise _unsupported(checkpoint.path, architecture, GGUF_FAMILIES)
    family, prefix = GGUF_FAMILIES[architecture], f"{architecture}."
    embed, heads = keys.count(prefix + "embedding_length"), keys.count(prefix + "attention.head_count")
    rms_eps = keys.real(prefix + "attention.layer_norm_rms_epsilon")
    input_norms = architecture == "qwen3" and _has_input_norms(checkpoint)
    head_dim = keys.count(prefix + "attention.key_length", embed // heads)
    keys.require(prefix + "rope.dimension_count", (None, head_dim))
    keys.require(prefix + "attention.value_length", (None, head_dim))
    for key, allowed in NEUTRAL.items():
        keys.require(prefix + key, allowed)
    for key in keys.values:
        if key.startswith(f"{prefix}rope.") and key.removeprefix(prefix) not in ROPE_KEYS | NEUTRAL.keys():
            keys.require(key, (None,))
    return Config(
        vocab=_embedding_rows(checkpoint),
        embed=embed,
        layers=keys.count(prefix + "block_count"),
        heads=heads,
        kv_heads=keys.count(prefix + "attention.head_count_kv", heads),
        head_dim=head_dim,
        ffn=keys.count(prefix + "feed_forward_length"),
        max_positions=keys.count(prefix + "context_length"),
        rope_theta=keys.real(prefix + "rope.freq_base"),
        rms_eps=rms_eps,
        activation=_known(family.activation),
        sub_norms=family.sub_norms,
        qk_norm=family.qk_norm,
        activation_quant=_gguf_activation_quant(keys, family, checkpoint, input_norms=input_norms),
        input_norm_eps=rms_eps if input_norms else None,
        rope_factors=_gguf_rope_factors(checkpoint, head_dim) if architecture == "llama" else (),
    )


def states_activation_quant(checkpoint: Checkpoint) -> bool:
    """Return whether the file or its architecture says if activations are quantised.

    Where neither does, as in GGUF's `llama`, matrices stored as trits are taken for a hint of it.
    """
    if checkpoint.format != "gguf" or ACTIVATION_QUANT in checkpoint.metadata:
        return True
    family = GGUF_FAMILIES[checkpoint.metadata["general.architecture"]]
    return family.activation_quant is not None or _has_input_norms(checkpoint)


def _gguf_activation_quant(keys: Keys, family: Family, checkpoint: Checkpoint, *, input_norms: bool) -> bool:
    if family.activation_quant is not None:
        return family.activation_quant
    keys.require(ACTIVATION_QUANT, (None, True, False))
    if (stated := keys.values.get(ACTIVATION_QUANT)) is not None:
        return bool(stated)
    return input_norms or _ternary_types(checkpoint)


def _gguf_rope_factors(checkpoint: Checkpoint, head_dim: int) -> tuple[float, ...]:
    if ROPE_FREQS not in checkpoint.tensors:
        return ()
    factors = checkpoint.read_dense(ROPE_FREQS)
    if factors.shape != (head_dim // 2,) or not np.all((factors > 0) & np.isfinite(factors)):
        raise FormatError(
            f"{checkpoint.path}: tensor '{ROPE_FREQS}' must hold {head_dim // 2} positive numbers, half of head_dim; "
            f"it has shape {list(factors.shape)}. Convert the model again."
        )
    return () if np.all(factors == 1) else tuple(factors.tolist())


def _has_input_norms(checkpoint: Checkpoint) -> bool:
    return tensor_name(checkpoint, f"attn_q{NORM_IN}", 0) in checkpoint.tensors


def _known(activation: Activation | None) -> Activation:
    assert activation is not None  # every row of GGUF_FAMILIES has one
    return activation


def _ternary_types(checkpoint: Checkpoint) -> bool:
    """Whether any matrix of a block is stored as trits. TriLM's are too: its several scales tell it on loading."""
    names = (f"blk.0.{part}.weight" for part in PROJECTIONS)
    return any(name in checkpoint.tensors and checkpoint.is_ternary(name) for name in names)


def _from_hf(keys: Keys, checkpoint: Checkpoint) -> Config:
    names = keys.values.get("architectures")
    architecture = names[0] if isinstance(names, list) and names else None
    if not isinstance(architecture, str) or architecture not in HF_FAMILIES:
        raise _unsupported(checkpoint.path, architecture, HF_FAMILIES)
    family, activation = HF_FAMILIES[architecture], keys.text("hidden_act")
    allowed = (family.activation,) if family.activation else ("relu2", "silu")
    if activation not in allowed:
        raise UnsupportedError(
            f"{checkpoint.path}: hidden_act is {activation!r}; this engine computes {' and '.join(allowed)}."
        )
    for key in ("attention_bias", "mlp_bias", "use_bias", "use_sliding_window"):
        keys.require(key, (None, False))
    if "use_sliding_window" not in keys.values:
        keys.require("sliding_window", (None,))
    keys.require("partial_rotary_factor", (None, 1.0))
    keys.require("weight_bits", (None, 1))
    keys.require("input_bits", (None, 8))
    quantised = _quantization(keys)
    rms_eps = keys.real("rms_norm_eps")
    input_norm_eps = _input_norm_eps(keys, checkpoint, rms_eps)
    embed, heads = keys.count("hidden_size"), keys.count("num_attention_heads")
    head_dim = keys.count("head_dim", embed // heads)
    rope_theta, rope_factors = _rope(keys, head_dim)
    return Config(
        vocab=_embedding_rows(checkpoint),
        embed=embed,
        layers=keys.count("num_hidden_layers"),
        heads=heads,
        kv_heads=keys.count("num_key_value_heads", heads),
        head_dim=head_dim,
        ffn=keys.count("intermediate_size"),
        max_positions=keys.count("max_position_embeddings"),
        rope_theta=rope_theta,
        rms_eps=rms_eps,
        activation="relu2" if activation == "relu2" else "silu",
        sub_norms=family.sub_norms,
        qk_norm=family.qk_norm,
        activation_quant=family.activation_quant or quantised or input_norm_eps is not None,
        input_norm_eps=input_norm_eps,
        rope_factors=rope_factors,
    )


def _quantization(keys: Keys) -> bool:
    """Whether quantization_config is BitNet's; one that asks for another computation is refused."""
    nested = keys.nested("quantization_config")
    nested.require("use_rms_norm", (None, False, True))
    nested.require("quant_method", (None, "bitnet"))
    excluded = nested.values.get("modules_to_not_convert") or []
    if excluded != ["lm_head"] and excluded != []:
        raise UnsupportedError(
            f"{keys.path}: quantization_config.modules_to_not_convert is {excluded!r}; "
            f"this engine leaves lm_head alone in floats."
        )
    return nested.values.get("quant_method") == "bitnet"


def _input_norm_eps(keys: Keys, checkpoint: Checkpoint, rms_eps: float) -> float | None:
    nested = keys.nested("quantization_config")
    if nested.values.get("use_rms_norm"):
        # What transformers' BitNetQuantConfig takes where the file says nothing.
        return nested.real("rms_norm_eps", 1e-6)
    # Microsoft's embedding models say it by their tensors alone; their converter applies the model's own epsilon.
    name = tensor_name(checkpoint, f"attn_q{NORM_IN}", 0)
    return rms_eps if name in checkpoint.tensors and name.endswith("q_proj.norm.weight") else None


def _rope(keys: Keys, head_dim: int) -> tuple[float, tuple[float, ...]]:
    """Return theta and what frequencies are divided by, of `rope_parameters` (transformers 5) or `rope_scaling`."""
    old = keys.values.get("rope_parameters") is None
    name = "rope_scaling" if old else "rope_parameters"
    if not old:
        keys.require("rope_scaling", (None,))
    nested = keys.nested(name)
    for key in ("rope_type", "type"):
        nested.require(key, (None, "default", "llama3"))
    nested.require("partial_rotary_factor", (None, 1))
    scaled = (nested.values.get("rope_type") or nested.values.get("type")) == "llama3"  # as transformers chooses
    if not scaled:
        nested.require("factor", (None, 1))
    theta = (keys if old else nested).real("rope_theta")
    if not scaled:
        return theta, ()
    low, high = nested.real("low_freq_factor"), nested.real("high_freq_factor")
    if low >= high:
        raise FormatError(
            f"{keys.path}: metadata '{name}.low_freq_factor' is {low:g}; a number below high_freq_factor, "
            f"{high:g}, is allowed."
        )
    if head_dim > LARGEST_HEAD:
        raise FormatError(
            f"{keys.path}: a head of {head_dim} dimensions is asked for; up to {LARGEST_HEAD} are allowed. The "
            f"metadata is damaged; convert the model again."
        )
    positions = nested.count("original_max_position_embeddings")
    return theta, Llama3Scaling(nested.real("factor"), low, high, positions).factors(head_dim, theta)


def _embedding_rows(checkpoint: Checkpoint) -> int:
    # The tensor decides the vocabulary: several files declare a size that leaves out added tokens.
    name = tensor_name(checkpoint, "token_embd")
    if name not in checkpoint.tensors:
        raise FormatError(f"{checkpoint.path}: there is no tensor '{name}'; every model needs its token embedding.")
    shape = checkpoint.tensors[name].shape
    if len(shape) != 2 or not shape[0]:
        raise FormatError(f"{checkpoint.path}: tensor '{name}' has shape {list(shape)}; a row a token was expected.")
    return shape[0]


def _unsupported(path: Path, architecture: object, known: Any) -> UnsupportedError:
    return UnsupportedError(
        f"{path}: architecture {architecture!r} is not run by this engine, which runs {', '.join(known)}. "
        f"`bitnet-tui info` shows what the file holds."
    )
