"""The shape and the choices of a model, read from a checkpoint's metadata.

    config = Config.from_checkpoint(checkpoint)

Metadata that changes the computation and that this engine does not compute is refused by name; nothing is
defaulted. Both formats give equal configs for one model, so they share one compiled program.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bitnet_engine.errors import FormatError, UnsupportedError
from bitnet_engine.formats import Checkpoint

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
    "qwen3": Family("silu", False, True, False),
}
HF_FAMILIES = {
    "BitNetForCausalLM": Family(None, True, False, True),
    "BitnetForCausalLM": Family(None, True, False, True),  # 1bitLLM's, with another n
    "LlamaForCausalLM": Family("silu", False, False, None),
    "Qwen3ForCausalLM": Family("silu", False, True, False),
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
PROJECTIONS = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")


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
        config = read(_Keys(checkpoint.path, checkpoint.metadata), checkpoint)
        config._check(checkpoint.path)
        return config

    def _check(self, path: Path) -> None:
        if self.heads % self.kv_heads:
            raise FormatError(
                f"{path}: {self.heads} attention heads are not a multiple of {self.kv_heads} key/value heads. "
                f"The metadata is damaged; convert the model again."
            )
        if self.head_dim % 2:
            raise UnsupportedError(
                f"{path}: head_dim is {self.head_dim}; rotary embedding needs an even number of dimensions."
            )


def _from_gguf(keys: "_Keys", checkpoint: Checkpoint) -> Config:
    architecture = keys.text("general.architecture")
    if architecture not in GGUF_FAMILIES:
        raise _unsupported(checkpoint.path, architecture, GGUF_FAMILIES)
    family, prefix = GGUF_FAMILIES[architecture], f"{architecture}."
    embed, heads = keys.count(prefix + "embedding_length"), keys.count(prefix + "attention.head_count")
    head_dim = keys.count(prefix + "attention.key_length", embed // heads)
    keys.require(prefix + "rope.dimension_count", (None, head_dim))
    keys.require(prefix + "attention.value_length", (None, head_dim))
    for key, allowed in NEUTRAL.items():
        keys.require(prefix + key, allowed)
    for key in keys.values:
        if key.startswith(f"{prefix}rope.") and key.removeprefix(prefix) not in ROPE_KEYS | NEUTRAL.keys():
            keys.require(key, (None,))
    return Config(
        vocab=_embedding_rows(checkpoint, "token_embd.weight"),
        embed=embed,
        layers=keys.count(prefix + "block_count"),
        heads=heads,
        kv_heads=keys.count(prefix + "attention.head_count_kv", heads),
        head_dim=head_dim,
        ffn=keys.count(prefix + "feed_forward_length"),
        max_positions=keys.count(prefix + "context_length"),
        rope_theta=keys.real(prefix + "rope.freq_base"),
        rms_eps=keys.real(prefix + "attention.layer_norm_rms_epsilon"),
        activation=_known(family.activation),
        sub_norms=family.sub_norms,
        qk_norm=family.qk_norm,
        activation_quant=_ternary_types(checkpoint) if family.activation_quant is None else family.activation_quant,
    )


def _known(activation: Activation | None) -> Activation:
    assert activation is not None  # every row of GGUF_FAMILIES has one
    return activation


def _ternary_types(checkpoint: Checkpoint) -> bool:
    """Whether any matrix of a block is stored as trits. TriLM's are too: its several scales tell it on loading."""
    names = (f"blk.0.{part}.weight" for part in PROJECTIONS)
    return any(name in checkpoint.tensors and checkpoint.is_ternary(name) for name in names)


def _from_hf(keys: "_Keys", checkpoint: Checkpoint) -> Config:
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
    keys.require("rope_scaling", (None,))
    keys.require("partial_rotary_factor", (None, 1.0))
    keys.require("weight_bits", (None, 1))
    keys.require("input_bits", (None, 8))
    quantised = _quantization(keys)
    embed, heads = keys.count("hidden_size"), keys.count("num_attention_heads")
    return Config(
        vocab=_embedding_rows(checkpoint, "model.embed_tokens.weight"),
        embed=embed,
        layers=keys.count("num_hidden_layers"),
        heads=heads,
        kv_heads=keys.count("num_key_value_heads", heads),
        head_dim=keys.count("head_dim", embed // heads),
        ffn=keys.count("intermediate_size"),
        max_positions=keys.count("max_position_embeddings"),
        rope_theta=_rope_theta(keys),
        rms_eps=keys.real("rms_norm_eps"),
        activation="relu2" if activation == "relu2" else "silu",
        sub_norms=family.sub_norms,
        qk_norm=family.qk_norm,
        activation_quant=quantised if family.activation_quant is None else family.activation_quant,
    )


def _quantization(keys: "_Keys") -> bool:
    """Whether quantization_config is BitNet's; one that asks for another computation is refused."""
    nested = keys.nested("quantization_config")
    nested.require("use_rms_norm", (None, False))
    nested.require("quant_method", (None, "bitnet"))
    excluded = nested.values.get("modules_to_not_convert") or []
    if excluded != ["lm_head"] and excluded != []:
        raise UnsupportedError(
            f"{keys.path}: quantization_config.modules_to_not_convert is {excluded!r}; "
            f"this engine leaves lm_head alone in floats."
        )
    return nested.values.get("quant_method") == "bitnet"


def _rope_theta(keys: "_Keys") -> float:
    """rope_theta of a config.json: a top-level key, or in `rope_parameters` since transformers 5."""
    if keys.values.get("rope_parameters") is None:
        return keys.real("rope_theta")
    nested = keys.nested("rope_parameters")
    for key in ("rope_type", "type"):
        nested.require(key, (None, "default"))
    for key in ("factor", "partial_rotary_factor"):
        nested.require(key, (None, 1))
    return nested.real("rope_theta")


def _embedding_rows(checkpoint: Checkpoint, name: str) -> int:
    # The tensor decides the vocabulary: several files declare a size that leaves out added tokens.
    if name not in checkpoint.tensors:
        raise FormatError(f"{checkpoint.path}: there is no tensor '{name}'; every model needs its token embedding.")
    return checkpoint.tensors[name].shape[0]


def _unsupported(path: Path, architecture: object, known: Any) -> UnsupportedError:
    return UnsupportedError(
        f"{path}: architecture {architecture!r} is not run by this engine, which runs {', '.join(known)}. "
        f"`bitnet-tui info` shows what the file holds."
    )


@dataclass(frozen=True)
class _Keys:
    """Metadata with the questions a config asks of it; every refusal names the file and the key."""

    path: Path
    values: Mapping[str, Any]
    prefix: str = ""

    def _get(self, key: str) -> Any:
        if (value := self.values.get(key)) is None:
            raise FormatError(f"{self.path}: the metadata has no '{key}', which the model cannot be run without.")
        return value

    def nested(self, key: str) -> "_Keys":
        """Return the keys inside `key`; none where it is absent or null."""
        values = self.values.get(key)
        if values is not None and not isinstance(values, Mapping):
            raise FormatError(f"{self.path}: metadata '{key}' is {values!r}; an object was expected.")
        return _Keys(self.path, values or {}, f"{key}.")

    def text(self, key: str) -> str:
        value = self._get(key)
        if not isinstance(value, str):
            raise FormatError(f"{self.path}: metadata '{key}' is {value!r}; text was expected.")
        return value

    def count(self, key: str, absent: int | None = None) -> int:
        if absent is not None and self.values.get(key) is None:
            return absent
        value = self._get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**31:
            raise FormatError(f"{self.path}: metadata '{key}' is {value!r}; a whole number from 1 to 2^31 is allowed.")
        return value

    def real(self, key: str) -> float:
        value = self._get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < np.float32(value) < 1e30:
            raise FormatError(f"{self.path}: metadata '{key}' is {value!r}; a positive number was expected.")
        return float(np.float32(value))

    def require(self, key: str, allowed: tuple[Any, ...]) -> None:
        value = self.values.get(key)
        if value not in allowed:
            raise UnsupportedError(
                f"{self.path}: metadata '{self.prefix}{key}' is {value!r} and changes the computation; "
                f"this engine computes {' or '.join(repr(a) for a in allowed if a is not None) or 'models without it'}."
            )
