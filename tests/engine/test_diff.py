"""Comparing two files: what is the same in every format, what one wrong number shows, which mistake it fits."""

import json
import shutil
import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import bitnet_engine as engine
from bitnet_engine import tensor_diff
from bitnet_engine.formats import OutTensor, write_gguf
from bitnet_engine.formats.ternary import pack_i2_s
from tests.engine import tiny

QuantType = engine.QuantType
Q = "model.layers.0.self_attn.q_proj.weight"


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tokenizer_json):
    """A tiny packed model."""
    return tiny.write_packed(tiny.plain_model(seed=3), tmp_path_factory.mktemp("diff") / "a", tokenizer_json)


@pytest.fixture
def edited(folder, tmp_path):
    """Return a function that writes the tiny model again, with some of its tensors replaced."""

    def edit(config=None, **tensors):
        copy = tmp_path / "b"
        shutil.copytree(folder, copy)
        stored = {**load_file(folder / "model.safetensors"), **tensors}
        save_file({k: v for k, v in stored.items() if v is not None}, copy / "model.safetensors")
        if config:
            known = json.loads((folder / "config.json").read_bytes())
            (copy / "config.json").write_text(json.dumps({**known, **config}))
        return copy

    return edit


def stored(folder, name):
    return load_file(folder / "model.safetensors")[name].copy()


def differing(result):
    return [tensor for tensor in result.tensors if not tensor.equal]


def test_all_files_of_the_sample_agree_pairwise(packed, samples):
    """Red when a format's names, scales, order or tokenizer are read otherwise than another's."""
    files = [samples / "nano" / "master", packed, *sorted((samples / "nano").glob("*.gguf"))]
    assert len(files) == 5
    for one, other in combinations(files, 2):
        result = engine.diff(one, other)
        assert result.identical, (one, other, differing(result))
        assert len(result.tensors) == 68
        assert result.settings_compared > 9


def test_one_flipped_trit_is_found_where_it_is(folder, edited):
    """Red when a tensor is paired with another, or rows are counted in packed bytes."""
    codes = stored(folder, Q)
    rows = len(codes)
    codes[5, 7] ^= 0b01 << 4 if codes[5, 7] >> 4 & 3 == 0 else (codes[5, 7] >> 4 & 3) << 4
    result = engine.diff(folder, edited(**{Q: codes}))
    (found,) = differing(result)
    assert (found.name, found.different, found.rows) == ("blk.0.attn_q.weight", 1, (2 * rows + 5,))
    assert found.reference_scale == found.candidate_scale
    assert not result.identical


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (lambda scale, density: 1 / scale, "inverse"),
        (lambda scale, density: np.ones_like(scale), "exactly 1"),
        (lambda scale, density: scale * density, "absmean ran twice"),
        (lambda scale, density: scale * np.float32(1 + 2**-12), "rounding of float16"),
        (lambda scale, density: scale * np.float32(1 + 2**-10), "rounding of bfloat16"),
        (lambda scale, density: scale * np.float32(1.2), ""),
    ],
)
def test_a_wrong_scale_is_named_by_the_mistake_it_fits(folder, edited, change, hint):
    """Red when a known converter bug is shown as nothing but two numbers, or a name is given to any difference."""
    scale = stored(folder, f"{Q}_scale")
    codes = stored(folder, Q)
    density = np.float32(np.mean([(codes >> shift & 3) != 1 for shift in (0, 2, 4, 6)]))
    (found,) = differing(engine.diff(folder, edited(**{f"{Q}_scale": change(scale, density).astype(np.float32)})))
    assert found.different == 0
    assert hint in found.note
    assert bool(hint) == bool(found.note)


def permuted(weights, heads):
    """llama.cpp's LlamaModel.permute, as its converter writes it."""
    return weights.reshape(heads, 2, len(weights) // heads // 2, -1).swapaxes(1, 2).reshape(weights.shape)


def test_rows_in_llamas_order_are_named(folder, edited):
    """Red when a permutation that was forgotten or doubled looks like random damage (bug #10)."""
    codes = stored(folder, Q)
    trits = np.concatenate([(codes >> shift & 3).astype(np.int8) - 1 for shift in (0, 2, 4, 6)])
    wrong = tiny.hf_pack(permuted(trits, tiny.SIZES.heads))
    (found,) = differing(engine.diff(folder, edited(**{Q: wrong})))
    assert "the candidate's rows are in GGUF llama's interleaved order" in found.note


def gguf(path, architecture, tensors):
    """Write a GGUF of I2_S and F32 tensors with four heads and two key/value heads."""
    metadata = {
        "general.architecture": architecture,
        f"{architecture}.attention.head_count": 4,
        f"{architecture}.attention.head_count_kv": 2,
    }
    out = []
    for name, values in tensors.items():
        packs = values.dtype == np.int8
        data = pack_i2_s(values, 0.5) if packs else values.astype("<f4").tobytes()
        kind = QuantType.I2_S if packs else QuantType.F32
        out.append(OutTensor(name, kind, values.shape, lambda data=data: data))
    write_gguf(path, metadata, out)
    return path


@pytest.mark.parametrize("dtype", [np.int8, np.float32])
def test_rows_of_the_llama_architecture_are_put_back(tmp_path, dtype):
    """Red when q and k of a `llama` GGUF are compared in the wrong order, or k with the query heads."""
    random = np.random.default_rng(0)
    q, k = (random.integers(-1, 2, (rows, 128)).astype(dtype) for rows in (64, 32))
    names = "blk.0.attn_q.weight", "blk.0.attn_k.weight"
    bitnet = gguf(tmp_path / "b.gguf", "other", dict(zip(names, (q, k), strict=True)))
    llama = gguf(tmp_path / "l.gguf", "llama", dict(zip(names, (permuted(q, 4), permuted(k, 2)), strict=True)))
    assert not differing(engine.diff(bitnet, llama))
    raw = gguf(tmp_path / "r.gguf", "llama", dict(zip(names, (q, k), strict=True)))
    assert len(differing(engine.diff(bitnet, raw))) == 2


@pytest.mark.parametrize("chunk", [1, 5 * tiny.SIZES.embed, 1 << 21])
def test_floats_are_compared_in_pieces_as_in_one(folder, edited, monkeypatch, chunk):
    """Red when a piece is skipped, counted twice, or its rows start at zero again."""
    monkeypatch.setattr(tensor_diff, "CHUNK", chunk)
    values = stored(folder, "model.embed_tokens.weight")
    largest = np.abs(values).max()
    values[17, 3] += 2
    values[299, 0] -= 0.5
    (found,) = differing(engine.diff(folder, edited(**{"model.embed_tokens.weight": values})))
    assert (found.name, found.different, found.rows) == ("token_embd.weight", 2, (17, 299))
    assert found.max_abs == pytest.approx(2, rel=1e-6)
    assert found.max_rel == pytest.approx(2 / largest, rel=1e-6)


def test_nan_is_a_difference_and_no_number_in_json(folder, edited):
    """Red when NaN in one file is lost in a maximum, or reaches the report."""
    values = stored(folder, "model.norm.weight")
    values[9] = np.nan
    copy = edited(**{"model.norm.weight": values})
    (found,) = differing(engine.diff(folder, copy))
    assert (found.different, found.rows) == (1, (9,))
    assert found.to_json()["max_abs"] is None
    assert not differing(engine.diff(copy, copy))


def test_what_one_file_lacks_is_listed_on_its_side(folder, edited):
    """Red when a dropped sub norm passes because only common tensors are compared (bug #11)."""
    name = "model.layers.1.mlp.ffn_sub_norm.weight"
    result = engine.diff(folder, edited(**{name: None}))
    assert (result.only_reference, result.only_candidate) == (("blk.1.ffn_sub_norm.weight",), ())
    assert not result.identical


def test_a_stored_head_is_compared_with_the_tied_one(folder, edited):
    """Red when a repeated output.weight that has drifted from the embedding passes (ik_llama.cpp #338)."""
    head = stored(folder, "model.embed_tokens.weight")
    assert engine.diff(folder, edited(**{"lm_head.weight": head})).identical


def test_a_drifted_head_differs(folder, edited):
    """Red when a tied head is never looked at."""
    head = stored(folder, "model.embed_tokens.weight") * np.float32(1.5)
    result = engine.diff(folder, edited(**{"lm_head.weight": head}))
    assert [tensor.name for tensor in differing(result)] == ["output.weight"]


def test_settings_that_change_the_model_are_listed(folder, edited):
    """Red when two files with equal weights and another activation count as one model (bug #1)."""
    result = engine.diff(folder, edited({"hidden_act": "silu"}))
    assert [(s.key, s.reference, s.candidate) for s in result.settings] == [("activation", "relu2", "silu")]
    assert not result.identical


def test_a_float_master_is_compared_as_the_trits_it_means(tmp_path, tokenizer_json):
    """Red when a master and its packed twin differ, or the reader is not told that one was ternarised."""
    plain = tiny.plain_model(seed=4)
    result = engine.diff(
        tiny.write_master(plain, tmp_path / "m", tokenizer_json),
        tiny.write_packed(plain, tmp_path / "p", tokenizer_json),
    )
    assert result.identical
    assert result.tensors[-2].note == "the reference is float, read as trits"


def test_comparing_starts_no_jax(folder):
    """Red when comparing files costs the start, and the memory, of the engine."""
    code = f"import sys, bitnet_engine as e; e.diff({str(folder)!r}, {str(folder)!r}); sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
