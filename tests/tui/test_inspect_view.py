"""The tree, the facts and the details of a model file, from its Summary alone."""

import re

import pytest

from bitnet_tui.core.inspect_view import InspectView


@pytest.fixture
def view(made):
    return InspectView(made.summary())


def test_blocks_hold_their_tensors_in_file_order(view):
    """Blocks were sorted as text: blk.10 before blk.2."""
    groups = view.groups()
    assert [group.name for group in groups][:3] == ["token_embd.weight", "blk.0", "blk.1"]
    assert groups[1].tensors[0] == "blk.0.attn_norm.weight"
    assert not groups[0].is_block


def test_hf_layers_are_blocks_too():
    """The tree of an HF folder was one flat list of 332 names."""
    names = ["model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight", "model.layers.10.input_layernorm.weight"]
    view = InspectView({"tensors": [{"name": name} for name in names]})
    assert [(group.name, group.is_block) for group in view.groups()] == [
        ("model.embed_tokens.weight", False),
        ("model.layers.0", True),
        ("model.layers.10", True),
    ]
    assert view.short_name(names[1]) == "mlp.up_proj.weight"


def test_the_filter_ignores_case_and_reaches_metadata(view):
    """A filter for QUERY names found nothing."""
    assert [name for group in view.groups("ATTN_Q") for name in group.tensors] == [
        f"blk.{block}.attn_q.weight" for block in range(6)
    ]
    assert view.metadata_keys("CHAT") == ["tokenizer.chat_template"]
    assert view.groups("[/nope]") == []


def test_facts(view):
    """The line everybody reads first said 2 bits for a file that takes 8."""
    assert view.facts() == "GGUF 3 · bitnet-b1.58 · 31 tensors · 3.4 M · 3.34 MiB · 8.23 bpw (body 2.00)"


def test_details_of_a_tensor_grow_with_its_statistics(view, made):
    """Statistics were shown for the tensor that came last, not the one selected."""
    name = "blk.2.attn_q.weight"
    assert dict(view.tensor(name))["shape"] == "256 × 256"
    assert view.shares(name) is None
    for event in made.stats(made.summary()):
        view.feed(event)
    rows = dict(view.tensor(name))
    assert rows["scale"] == "0.01734"
    assert rows["entropy"] == "1.572 of 1.585 bits a trit"
    assert (view.shares(name).negative, view.shares(name).zero) == (0.31, 0.39)
    assert "rms" in dict(view.tensor("token_embd.weight"))
    assert view.shares("token_embd.weight") is None
    assert (view.measured, view.coverage) == (31, 1.0)


def test_code_3_and_nan_are_said(view):
    """Packed values that are no trit were folded into the bars and never mentioned."""
    view.feed({"event": "stats", "tensor": "blk.0.attn_q.weight", "neg": 1, "zero": 1, "pos": 1, "code3": 1})
    assert "code 3" in dict(view.tensor("blk.0.attn_q.weight"))
    assert view.shares("blk.0.attn_q.weight").negative == 0.25
    view.feed({"event": "stats", "tensor": "token_embd.weight", "rms": None, "min": 1, "max": 2, "nan": 7})
    rows = dict(view.tensor("token_embd.weight"))
    assert (rows["rms"], rows["NaN"]) == ("—", "7 values")


def test_coverage_counts_bytes(view):
    """One embedding of half the file counted as one tensor of 31."""
    view.feed({"event": "stats", "tensor": "token_embd.weight", "rms": 1.0})
    assert 0.7 < view.coverage < 0.8
    assert view.feed({"event": "stats", "tensor": "unknown"}) is None


def test_arrays_say_what_is_left_out(view):
    """Three tokens of 4096 looked like the whole vocabulary."""
    assert view.metadata("tokenizer.ggml.tokens")[-1] == ("", "… 4093 more")
    template = view.metadata("tokenizer.chat_template")
    assert len(template) == 3


def test_everything_for_display_is_safe(made):
    """One field of a hostile file that slips through is enough to rewrite the terminal."""
    bad = made.hostile
    tensor = {"name": bad, "type": bad, "shape": [1], "offset": 0, "nbytes": 4, "file": bad}
    finding = dict.fromkeys(("code", "severity", "subject", "message", "advice"), bad)
    kinds = [{"type": bad, "tensors": 1, "bytes": 1}]
    view = InspectView(
        made.summary(
            path=bad,
            version=bad,
            architecture=bad,
            scale_meaning=bad,
            types=kinds,
            tensors=[tensor],
            metadata={bad: bad, "list": {"array": bad, "count": 9, "head": [bad]}},
            tokenizer={bad: bad},
            findings=[finding],
        )
    )
    rows = [*view.overview(), *view.tensor(bad), *view.metadata(bad), *view.metadata("list")]
    rows += [*view.tokenizer(), *view.finding(0), ("", view.facts()), ("", view.short_name(bad))]
    shown = "".join(label + value for label, value in rows)
    assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2028\u200b]", shown)


def test_an_empty_summary_is_survived():
    """A header without tensors raised where it should have said so."""
    view = InspectView({})
    assert view.groups() == []
    assert view.overview()
    assert view.coverage == 1.0
