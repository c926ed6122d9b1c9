"""What Inspect shows beyond the header: zeros by block, histograms, values, the layout, a diff, other orders."""

import pytest
from textual.widgets import Input

from bitnet_tui.core.diff_view import DiffView
from bitnet_tui.core.inspect_view import InspectView
from bitnet_tui.core.layout import cells_of, file_layout
from bitnet_tui.screens.form import FormScreen
from bitnet_tui.screens.inspect import InspectScreen
from bitnet_tui.widgets.charts import histogram, layout_strip, value_grid, zero_map
from bitnet_tui.widgets.tensor_tree import Part, TensorTree

WIDE = (120, 40)


def inspected(app):
    return lambda: isinstance(app.screen, InspectScreen) and app.screen.view.measured == 31


def text_of_lines(lines):
    return [line.plain for line in lines]


def test_a_map_of_zeros_shows_the_odd_block():
    """Shades went from 0 to 100 %, and a block with twice the zeros looked like the others."""
    lines = text_of_lines(zero_map([[0.3, 0.31], [0.3, 0.6]], 20))
    assert lines == ["zeros by row × column block: · 30.0% … █ 60.0%", "····", "··██"]
    assert text_of_lines(zero_map([[0.3, 0.3]], 3))[1] == "▒▒"
    assert zero_map([], 9) == []


def test_a_histogram_keeps_what_is_rare():
    """One outlier among a million was no mark at all, and it was what the reader looked for."""
    lines = text_of_lines(histogram([1, 1000, 0], -1.0, 2.5, 6))
    assert lines == ["  ██  ", "  ██  ", "  ██  ", "▁▁██  ", "-1 2.5"]
    assert histogram([0, 0], 0, 0, 9) == []


def test_values_are_signs_or_numbers():
    """A trit was printed as -1.0000, and a row of forty did not fit."""
    assert text_of_lines(value_grid([[-1.0, 0.0, 1.0, 2.0]], 40))[1] == " − 0 + 3"
    assert text_of_lines(value_grid([[0.5, None]], 40))[1] == "       0.5not finite"


def summary_of(*tensors):
    fields = ("name", "type", "shape", "offset", "nbytes")
    return {"tensors": [{**dict(zip(fields, tensor, strict=True)), "file": "m.gguf"} for tensor in tensors]}


def test_the_layout_names_header_padding_and_gaps():
    """Bytes that belong to no tensor were given to the one before them."""
    spans = file_layout(
        summary_of(
            ("b", "I2_S", [8, 8], 200, 50),
            ("a", "F32", [8], 100, 90),
            ("c", "F16", [8, 8], 90000, 10000),
        )
    )
    assert [(span.kind, span.start, span.stop) for span in spans] == [
        ("header", 0, 100),
        ("vector", 100, 190),
        ("padding", 190, 200),
        ("ternary", 200, 250),
        ("gap", 250, 90000),
        ("matrix", 90000, 100000),
    ]
    assert [span.kind for span in cells_of(spans, 10)] == ["gap"] * 9 + ["matrix"]
    lines = text_of_lines(layout_strip(spans, 5, 2))
    assert lines[:2] == ["!!!!!", "!!!!█"]
    assert any(line.startswith("! gap  87.6 KiB") for line in lines)
    assert layout_strip([], 5, 2) == []


def test_the_most_unusual_tensor_comes_first(made):
    """The tensor whose zeros are far from the usual was one line among three hundred."""
    model = made.summary()
    view = InspectView(model)
    for event in made.stats(model):
        view.feed(event)
    odd = {"neg": 5, "zero": 90, "pos": 5, "code3": 0, "scale": 1.0, "entropy": 0.5, "dead_rows": 7, "dead_columns": 0}
    view.feed({"event": "stats", "tensor": "blk.4.ffn_up.weight", **odd})
    view.order = "unusual"
    assert view.groups()[0].tensors == ("blk.4.ffn_up.weight",)
    rows = view.tensor("blk.4.ffn_up.weight")
    assert ("rows", "7 of zeros alone") in rows
    (how,) = [value for label, value in rows if label == "unusual"]
    assert how.startswith("zeros 90.0%; the median of ")
    view.order = "size"
    assert view.groups("blk.")[0].name == "blk.0.ffn_up.weight"


async def test_sorting_and_values(app_of, until, text_of):
    """`S` emptied the tree, or the values were those of the tensor before."""
    asked = []

    def read(path, name, rows, columns, **reading):
        asked.append((path, name))
        return [[1.0, -1.0, 0.0]] * 3 if "attn_q" in name else [[0.25]]

    app = app_of(["/models/x.gguf"], read_values=read)
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, inspected(app))
        await pilot.press("S")
        await until(pilot, lambda: "parts by size · S: the unusual first" in text_of(app))
        tree = app.screen.query_one(TensorTree)
        await until(pilot, lambda: tree.root.children[1].data == Part("tensor", "token_embd.weight"))
        assert tree.root.children[2].data == Part("tensor", "blk.0.ffn_up.weight")
        await pilot.press("S", "S", "home", "down", "down", "down", "enter", "down", "down", "v")
        await until(pilot, lambda: " + − 0" in text_of(app))
        await pilot.press("down", "v")
        await until(pilot, lambda: "the first" not in text_of(app))
        assert asked[0] == ("/models/x.gguf", "blk.0.attn_q.weight")


async def test_values_that_cannot_be_read_are_said(app_of, until):
    """A file that had gone ended the app."""

    def read(*_args, **_reading):
        raise OSError("gone")

    app = app_of(["/models/x.gguf"], read_values=read)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await until(pilot, inspected(app))
        await pilot.press("down", "down", "v")
        await until(pilot, lambda: any("gone" in n.message for n in app._notifications))


async def test_the_layout_is_a_part_of_the_tree(app_of, until, text_of):
    """Where the bytes of a file go was a list of offsets."""
    app = app_of(["/models/x.gguf"])
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, inspected(app))
        await pilot.press("end")
        await until(pilot, lambda: "a cell is about" in text_of(app))
        assert "▓ ternary" in text_of(app)


def diff_events(made):
    fields = dict.fromkeys(("different", "reference_scale", "candidate_scale", "max_abs", "max_rel"))
    tensor = {**fields, "name": "blk.0.attn_q.weight", "equal": False, "ternary": True, "different": 7, "rows": [3]}
    tensor |= {"reference_type": "I2_S", "candidate_type": "TQ2_0", "note": "signs are turned [/nope]"}
    tensor |= {"reference_shape": [256, 256], "candidate_shape": [256, 256], "reference_scale": 0.5}
    report = {
        "tensors": [tensor, {**tensor, "name": "same", "equal": True}],
        "only_reference": ["only.here"],
        "only_candidate": [],
        "settings": [{"key": "rope_theta", "reference": 10000.0, "candidate": 500000.0}],
        "tokenizer": {"equal": False, "reference": "aa", "candidate": None, "note": "no tokenizer"},
    }
    step = {"event": "tensor", "work": "compare", "name": "blk.0.attn_q.weight", "index": 1, "count": 2}
    return [made.start(kind="diff"), step, {"event": "report", "report": report}]


async def test_a_diff_with_another_file(app_of, made, until, text_of, tmp_path):
    """What differs from another file could be read outside of the app only, as a list."""
    (tmp_path / "b.gguf").touch()
    app = app_of(["/models/x.gguf"], events=diff_events(made), reading={"i2s_layout": "B"})
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, inspected(app))
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, FormScreen))
        app.screen.query_one(Input).value = str(tmp_path / "b.gguf")
        await pilot.press("enter")
        await until(pilot, lambda: "4 differences from b.gguf" in text_of(app))
        candidate = str(tmp_path / "b.gguf")
        asked = {"kind": "diff", "reference": "/models/x.gguf", "candidate": candidate, "i2s_layout": "B"}
        assert app.jobs[1].request == asked
        names = [node.data for node in app.screen.query_one(TensorTree).root.children[1].children]
        assert names == [Part("difference", str(i)) for i in range(4)]
        await pilot.press("home", "down", "down", "down")
        await until(pilot, lambda: "signs are turned [/nope]" in text_of(app) and "7 trits" in text_of(app))


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({"event": "error", "message": "b.gguf: bad magic"}, "not compared: b.gguf: bad magic"),
        ({"event": "run.end", "status": "cancelled"}, "not compared: stopped"),
        (
            {
                "event": "report",
                "report": {
                    "tensors": [],
                    "only_reference": [],
                    "only_candidate": [],
                    "settings": [],
                    "tokenizer": {"equal": True},
                },
            },
            "0 tensors are equal to those of b.gguf",
        ),
    ],
)
def test_a_diff_says_how_it_ended(event, said):
    """A comparison that failed went on for ever."""
    view = DiffView("a.gguf", "/x/b.gguf")
    view.feed(event)
    assert view.said == said
