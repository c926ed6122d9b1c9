"""One weight, one name: the two spellings of every tensor of the sample, and the names that only some models have."""

from pathlib import Path

import pytest

from bitnet_engine.formats import open_checkpoint
from bitnet_engine.naming import HF_NAMES, NORM_IN, PROJECTIONS, canonical, hf_name


def test_the_sample_has_the_same_names_in_both_formats(packed: Path, i2_s: Path):
    """A tensor that a comparison across formats does not find, and so does not compare."""
    with open_checkpoint(packed) as folder, open_checkpoint(i2_s) as gguf:
        names = {canonical(name) for name in folder.tensors if not name.endswith("weight_scale")}
        assert names == set(gguf.tensors) == {canonical(name) for name in gguf.tensors}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("model.layers.12.self_attn.inner_attn_ln.weight", "blk.12.attn_sub_norm.weight"),
        ("model.layers.0.mlp.ffn_layernorm.weight", "blk.0.ffn_sub_norm.weight"),
        ("model.layers.0.self_attn.q_proj.weight_scale", "blk.0.attn_q.weight_scale"),
        ("model.layers.1.self_attn.o_proj.norm.weight", "blk.1.attn_output_norm_in.weight"),
        ("model.layers.1.mlp.up_proj.rms_norm.weight", "blk.1.ffn_up_norm_in.weight"),
        ("layers.1.mlp.up_proj.norm.weight", "blk.1.ffn_up_norm_in.weight"),
        ("embed_tokens.weight", "token_embd.weight"),
        ("model.layers.2.self_attn.k_norm.weight", "blk.2.attn_k_norm.weight"),
        ("blk.2.attn_q.scale", "blk.2.attn_q.scale"),
        ("lm_head.weight", "output.weight"),
        ("model.norm.weight", "output_norm.weight"),
        ("model.layers.0.self_attn.surprise.weight", "model.layers.0.self_attn.surprise.weight"),
        ("rope_freqs.weight", "rope_freqs.weight"),
        ("weight", "weight"),
    ],
)
def test_names(name: str, expected: str):
    """1bitLLM's sub norms lost, or a stranger's tensor given a name it does not have."""
    assert canonical(name) == expected


@pytest.mark.parametrize("part", [*HF_NAMES, *(f"{part}{NORM_IN}" for part in PROJECTIONS)])
def test_every_name_comes_back(part: str):
    """A weight written to a folder under a name that reads back as another."""
    name = f"{part}.weight" if part in ("token_embd", "output_norm", "output") else f"blk.7.{part}.weight"
    assert canonical(hf_name(name)) == name
