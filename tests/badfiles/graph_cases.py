"""Files that a header explains and no engine can run: config.json and GGUF metadata that lie, lack or ask too much.

`info` opens every one of them; the commands that run or convert a model give the answer below.
"""

import json
import struct
from typing import Any

from tests.badfiles.builders import (
    Tensor,
    array_header,
    entry,
    f32,
    gguf_file,
    safetensors_file,
    string,
    strings,
    u32,
)
from tests.badfiles.case import BAD, RUNNING, UNSUPPORTED, Build, Case, file, files

CONFIG: dict[str, Any] = {
    "architectures": ["BitNetForCausalLM"],
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "hidden_act": "relu2",
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
    "quantization_config": {"quant_method": "bitnet", "linear_class": "autobitlinear"},
}
"""All that a graph needs to be told; every case changes one key."""

EMBEDDING = safetensors_file({"model.embed_tokens.weight": entry("F32", [4, 8], 0, 128)}, bytes(128))

ARCH = "bitnet-b1.58"
PAIRS = {
    "general.architecture": string(ARCH),
    f"{ARCH}.embedding_length": u32(8),
    f"{ARCH}.attention.head_count": u32(2),
    f"{ARCH}.block_count": u32(1),
    f"{ARCH}.feed_forward_length": u32(16),
    f"{ARCH}.context_length": u32(64),
    f"{ARCH}.rope.freq_base": f32(10000.0),
    f"{ARCH}.attention.layer_norm_rms_epsilon": f32(1e-5),
    "tokenizer.ggml.model": string("gpt2"),
    "tokenizer.ggml.pre": string("gpt-2"),
    "tokenizer.ggml.tokens": strings(["a", "b", "ab"]),
    "tokenizer.ggml.merges": strings(["a b"]),
    "tokenizer.ggml.token_type": array_header(5, 3) + struct.pack("<3i", 1, 1, 1),
}
"""The same of GGUF, with a tokenizer of three tokens."""

ROWS = Tensor("token_embd.weight", 0, (8, 4), 0)


def changed(**changes: Any) -> dict[str, Any]:
    """Return CONFIG with `changes`; None takes a key away."""
    return {key: value for key, value in {**CONFIG, **changes}.items() if value is not None}


def model_folder(config: dict[str, Any] = CONFIG, **extra: bytes) -> dict[str, bytes]:
    """Return the files of a folder; `extra` by name, with _ for the dot."""
    own = {"config.json": json.dumps(config).encode(), "model.safetensors": EMBEDDING}
    return own | {name.replace("_json", ".json").replace("_model", ".model"): data for name, data in extra.items()}


def gguf(embedding: Tensor = ROWS, **changes: bytes | None) -> Build:
    """Return the builder of a GGUF; `changes` by key, `__` for a dot, `arch` for its name; None takes a key away."""
    pairs: dict[str, bytes | None] = dict(PAIRS)
    pairs |= {key.replace("__", ".").replace("arch.", f"{ARCH}."): value for key, value in changes.items()}
    kept = [(key, value) for key, value in pairs.items() if value is not None]
    return file("model.gguf", gguf_file(kept, [embedding], bytes(128)))


def _config(name: str, exit_code: int, says: str, **changes: Any) -> Case:
    return Case(f"config-{name}", files(model_folder(changed(**changes))), exit_code, says, RUNNING)


def _keys(name: str, exit_code: int, says: str, embedding: Tensor = ROWS, **changes: bytes | None) -> Case:
    return Case(f"gguf-{name}", gguf(embedding, **changes), exit_code, says, RUNNING)


def _without(key: str) -> Case:
    return _config(f"no-{key}", BAD, f"the metadata has no '{key}'", **{key: None})


def _f32s(*values: float) -> bytes:
    return array_header(6, len(values)) + struct.pack(f"<{len(values)}f", *values)


CONFIGS = [
    *map(_without, ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")),
    *map(_without, ("hidden_act", "max_position_embeddings", "rms_norm_eps", "rope_theta")),
    _config("no-architecture", UNSUPPORTED, "architecture None is not run", architectures=[]),
    _config("other-architecture", UNSUPPORTED, "architecture 'MambaForCausalLM'", architectures=["MambaForCausalLM"]),
    _config("size-zero", BAD, "'hidden_size' is 0; a whole number from 1", hidden_size=0),
    _config("size-negative", BAD, "'hidden_size' is -1; a whole number", hidden_size=-1),
    _config("size-large", BAD, "'hidden_size' is 9223372036854775808; a whole number", hidden_size=2**63),
    _config("size-fraction", BAD, "'hidden_size' is 1.5; a whole number", hidden_size=1.5),
    _config("size-text", BAD, "'hidden_size' is '8'; a whole number", hidden_size="8"),
    _config("size-bool", BAD, "'hidden_size' is True; a whole number", hidden_size=True),
    _config("layers-large", BAD, "declares 2147483647 layers, the file holds 1 tensors", num_hidden_layers=2**31 - 1),
    _config("heads-odd", UNSUPPORTED, "head_dim is 3; rotary", head_dim=3),
    _config("heads-too-many", BAD, "16 attention heads share an embedding of 8", num_attention_heads=16),
    _config("kv-heads", BAD, "2 attention heads are not a multiple of 3", num_key_value_heads=3),
    _config("eps-zero", BAD, "'rms_norm_eps' is 0; a positive number", rms_norm_eps=0),
    _config("eps-large", BAD, "'rms_norm_eps' is 1e+300; a positive number", rms_norm_eps=1e300),
    _config("eps-tiny", BAD, "'rms_norm_eps' is 1e-60; a positive number", rms_norm_eps=1e-60),
    _config("theta-large", BAD, "'rope_theta' is 1e+39; a positive number", rope_theta=1e39),
    _config("rope-parameters", BAD, "'rope_parameters' is []; an object was expected", rope_parameters=[]),
    _config(
        "rope-yarn",
        UNSUPPORTED,
        "'rope_parameters.rope_type' is 'yarn' and changes",
        rope_parameters={"rope_type": "yarn"},
    ),
    _config("rope-scaling", UNSUPPORTED, "'rope_scaling.type' is 'linear'", rope_scaling={"type": "linear"}),
    _config(
        "rope-far",
        BAD,
        "a head of 2147483646 dimensions is asked for; up to 65536",
        head_dim=2**31 - 2,
        rope_scaling={
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    ),
    _config("activation", UNSUPPORTED, "hidden_act is 'gelu'; this engine computes", hidden_act="gelu"),
    _config("activation-object", BAD, "'hidden_act' is {'a': 1}; text was expected", hidden_act={"a": 1}),
    _config("bias", UNSUPPORTED, "'attention_bias' is True and changes", attention_bias=True),
    _config("window", UNSUPPORTED, "'sliding_window' is 64 and changes", sliding_window=64),
    _config("quantization-list", BAD, "'quantization_config' is [1]; an object", quantization_config=[1]),
    _config(
        "quantization-other",
        UNSUPPORTED,
        "'quantization_config.quant_method' is 'gptq'",
        quantization_config={"quant_method": "gptq"},
    ),
    _config(
        "modules",
        UNSUPPORTED,
        "modules_to_not_convert is 5",
        quantization_config={"quant_method": "bitnet", "modules_to_not_convert": 5},
    ),
    _config("escape", UNSUPPORTED, "hidden_act is '\\x1b[2J'", hidden_act="\x1b[2J"),
    Case(
        "config-no-embedding",
        files(model_folder() | {"model.safetensors": safetensors_file({"w": entry("U8", [1], 0, 1)}, b"\0")}),
        BAD,
        "there is no tensor 'model.embed_tokens.weight'",
        RUNNING,
    ),
]

METADATA = [
    _keys("no-architecture", BAD, "the metadata has no 'general.architecture'", general__architecture=None),
    _keys("architecture-number", BAD, "'general.architecture' is 1; text", general__architecture=u32(1)),
    _keys("architecture-array", BAD, "text was expected", general__architecture=strings(["bitnet"])),
    _keys("architecture-other", UNSUPPORTED, "architecture 'mamba' is not run", general__architecture=string("mamba")),
    _keys("no-layers", BAD, f"the metadata has no '{ARCH}.block_count'", arch__block_count=None),
    _keys("layers-large", BAD, "declares 2147483647 layers, the file holds 1", arch__block_count=u32(2**31 - 1)),
    _keys("layers-text", BAD, f"'{ARCH}.block_count' is '1'; a whole number", arch__block_count=string("1")),
    _keys("heads-many", BAD, "16 attention heads share an embedding of 8", arch__attention__head_count=u32(16)),
    _keys("eps-nan", BAD, "is nan; a positive", arch__attention__layer_norm_rms_epsilon=f32(float("nan"))),
    _keys("eps-inf", BAD, "is inf; a positive", arch__attention__layer_norm_rms_epsilon=f32(float("inf"))),
    _keys("theta-negative", BAD, "is -1.0; a positive number", arch__rope__freq_base=f32(-1.0)),
    _keys("rope-yarn", UNSUPPORTED, "is 'yarn' and changes", arch__rope__scaling__type=string("yarn")),
    _keys("rope-factors", UNSUPPORTED, "and changes the computation", arch__rope__scaling__factor=_f32s(1, 2)),
    _keys("rope-unknown", UNSUPPORTED, "'bitnet-b1.58.rope.magic' is 1", arch__rope__magic=u32(1)),
    _keys("experts", UNSUPPORTED, "expert_count' is 8 and changes", arch__expert_count=u32(8)),
    _keys("softcap", UNSUPPORTED, "is 30.0 and changes", arch__attn_logit_softcapping=f32(30.0)),
    _keys("embedding-scalar", BAD, "has shape []; a row a token", Tensor("token_embd.weight", 0, (), 0)),
    _keys("embedding-vector", BAD, "has shape [8]; a row a token", Tensor("token_embd.weight", 0, (8,), 0)),
    _keys("embedding-empty", BAD, "has shape [0, 8]; a row a token", Tensor("token_embd.weight", 0, (8, 0), 0)),
]

GRAPHS = [*CONFIGS, *METADATA]
