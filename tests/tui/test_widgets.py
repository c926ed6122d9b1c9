"""Single widgets in a bare app: what they draw at several sizes, and what strange text does to them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.app import App
from textual.geometry import Offset

from bitnet_tui.core.inspect_view import Shares
from bitnet_tui.core.parity_view import ParityView
from bitnet_tui.widgets.cells import fit, fold
from bitnet_tui.widgets.pick_list import Pick, PickList
from bitnet_tui.widgets.rank_table import RankTable
from bitnet_tui.widgets.rows_view import RowsView
from bitnet_tui.widgets.safe_input import SafeInput
from bitnet_tui.widgets.tau_bars import TauBars
from bitnet_tui.widgets.token_lines import TokenLines
from bitnet_tui.widgets.token_strip import TokenStrip
from bitnet_tui.widgets.verdict_bar import VerdictBar

COLORS = ("tau-good", "tau-drift", "tau-bad", "tern-neg", "tern-zero", "tern-pos", "ref", "cand")


class Bench(App):
    """Holds one widget."""

    CSS = "#it { height: 100%; width: 100%; }"

    def __init__(self, widget):
        super().__init__()
        self.it = widget
        self.picked = []

    def get_theme_variable_defaults(self):
        return dict.fromkeys(COLORS, "#808080")

    def compose(self):
        yield self.it

    def on_token_strip_picked(self, event):
        self.picked.append(event.index)


def view_of(events):
    view = ParityView()
    for event in events:
        view.feed(event)
    return view


def rows_of(widget):
    return [widget.render_line(y).text for y in range(widget.size.height)]


@given(st.text(st.sampled_from("ab 日é…·"), max_size=30), st.integers(0, 20))
def test_fit_is_exact_in_cells(text, width):
    """A wide glyph at the cut left a table column one cell short."""
    assert cell_len(fit(text, width)) == width
    assert cell_len(fit(text, width, right=True)) == width


@given(st.text(st.sampled_from("ab 日é"), max_size=60), st.integers(2, 20))
def test_fold_keeps_every_glyph(text, width):
    """Folding a long value lost the glyph at the fold."""
    lines = fold(text, width)
    assert all(cell_len(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


@given(st.lists(st.tuples(st.integers(1, 9), st.booleans()), max_size=60), st.integers(1, 30))
def test_every_token_lies_on_one_line(tokens, width):
    """A click landed on the token before the one under the mouse."""
    lines = TokenLines(width)
    for cells, paragraph in tokens:
        lines.add(cells, paragraph)
    placed = [token for line in range(len(lines)) for token in lines.tokens_of(line)]
    assert placed == list(range(len(tokens)))
    for token in placed:
        line = lines.line_of(token)
        assert token in lines.tokens_of(line)
        assert lines.token_at(lines.left_of(token), line) == token
    assert lines.token_at(10_000, 0) is None
    assert len(lines.tokens_of(len(lines))) == 0


@pytest.mark.parametrize("width", [20, 60, 120])
async def test_the_strip_wraps_whole_tokens(made, width):
    """Tokens were cut at the right edge; wide glyphs pushed the line over it."""
    app = Bench(TokenStrip(id="it"))
    async with app.run_test(size=(width, 20)) as pilot:
        app.it.show(view_of(made.run()))
        await pilot.pause()
        rows = rows_of(app.it)
        assert all(cell_len(row) == width - 1 for row in rows)
        shown = re.sub(r"\s", "", "".join(rows))
        assert shown.startswith("·It·is·a·truth")
        assert "日本語" in shown


async def test_a_click_picks_the_token_under_it(made):
    """The index was off by the number of lines scrolled away."""
    app = Bench(TokenStrip(id="it"))
    async with app.run_test(size=(30, 5)) as pilot:
        app.it.show(view_of(made.run()))
        await pilot.pause()
        await pilot.click(app.it, Offset(5, 0))
        app.it.cursor = 63
        await pilot.pause()
        assert app.it.scroll_offset.y > 0
        first = app.it._lines.tokens_of(app.it.scroll_offset.y)[0]
        await pilot.click(app.it, Offset(0, 0))
        await pilot.click(app.it, Offset(28, 4))
        assert app.picked[:2] == [1, first]


async def test_the_strip_grows_without_moving_its_cursor(made):
    """Every batch of a live run threw the reader back to the top."""
    events = made.run()
    app = Bench(TokenStrip(id="it"))
    async with app.run_test(size=(60, 5)) as pilot:
        view = view_of(events[:30])
        app.it.show(view)
        app.it.cursor = 20
        for event in events[30:60]:
            view.feed(event)
        app.it.sync()
        await pilot.pause()
        assert (app.it.cursor, app.it.count) == (20, 53)
        await pilot.resize_terminal(25, 5)
        await pilot.pause()
        assert app.it.cursor == 20
        line = app.it._lines.line_of(20)
        assert app.it.scroll_offset.y <= line < app.it.scroll_offset.y + 5


async def test_without_colours_every_status_has_a_style(made, monkeypatch):
    """Under NO_COLOR a diverging token looked like any other, and a segment without a style crashed."""
    monkeypatch.setenv("NO_COLOR", "1")
    app = Bench(TokenStrip(id="it"))
    async with app.run_test(size=(60, 20)) as pilot:
        app.it.show(view_of(made.run()))
        app.it.cursor = 3
        await pilot.pause()
        assert app.no_color
        pieces = {s.text: s.style for y in reversed(range(6)) for s in app.it.render_line(y) if s.style}
        assert pieces["·fortune↵"].bold
        assert pieces["·fortune↵"].underline
        assert pieces["[/b]"].underline
        assert pieces["◌\u0301"].strike
        assert pieces["·truth"].reverse
        assert not pieces["·It"].bold


async def test_markup_in_a_token_is_text(made):
    """A token `[/b]` raised MarkupError, and `[@click=…]` was a button."""
    texts = ["[/nope]", "[@click=app.quit]x[/]", "[b]", made.hostile]
    app = Bench(TokenStrip(id="it"))
    async with app.run_test(size=(120, 10)) as pilot:
        app.it.show(view_of([made.token(i, text=text) for i, text in enumerate(texts)]))
        await pilot.pause()
        row = rows_of(app.it)[0]
        assert row.startswith("[/nope][@click=app.quit]x[/][b][/nope]␛[2J")


async def test_bars_mark_limit_cursor_and_undefined(made):
    """A missing bar could be a low tau-b or none at all."""
    app = Bench(TauBars(id="it"))
    async with app.run_test(size=(74, 12)) as pilot:
        view = view_of(made.run())
        app.it.show(view, len(view.tokens))
        app.it.cursor = 41
        await pilot.pause()
        rows = rows_of(app.it)
        assert all(cell_len(row) == 74 for row in rows)
        assert rows[9][5 + 41] == "×"
        assert rows[10].index("▲") == 5 + 41
        assert "┄" in next(row for row in rows if row.startswith(" .60"))
        assert rows[11].startswith(" run ")


@pytest.mark.parametrize("size", [(6, 3), (5, 12), (20, 2), (1, 1)])
async def test_bars_survive_any_size(made, size):
    """A pane dragged to nothing divided by zero."""
    app = Bench(TauBars(id="it"))
    async with app.run_test(size=size) as pilot:
        view = view_of([made.token(0, tau=None)])
        app.it.show(view, 1)
        await pilot.pause()
        rows_of(app.it)


@pytest.mark.parametrize(("width", "height", "ranks"), [(40, 13, 10), (80, 6, 4), (20, 3, 1)])
async def test_the_rank_table_keeps_its_sentence(made, width, height, ranks):
    """A low pane cut the near-tie sentence off, and kept the tenth rank."""
    app = Bench(RankTable(id="it"))
    async with app.run_test(size=(width, height)) as pilot:
        app.it.show(view_of(made.run()))
        app.it.cursor = 17
        await pilot.pause()
        lines = app.it.render().plain.split("\n")
        assert sum(bool(re.match(r" ?\d+ ", line)) for line in lines) <= ranks
        assert any("near-tie" in line for line in lines)
        assert lines[1].rstrip().endswith("▲1")


async def test_a_table_without_tokens_says_so():
    """An empty pane looks broken."""
    app = Bench(RankTable(id="it"))
    async with app.run_test(size=(60, 5)):
        assert app.it.render().plain == "the ranks appear with the first token"


@pytest.mark.parametrize(("width", "lines"), [(200, 2), (80, 3), (40, 4)])
async def test_the_verdict_breaks_between_gates(made, width, lines):
    """A gate broken over two lines was read as two."""
    app = Bench(VerdictBar(id="it"))
    app.CSS = ""
    async with app.run_test(size=(width, 12)) as pilot:
        app.it.show(view_of(made.run()))
        await pilot.pause()
        shown = app.it.render().plain.split("\n")
        assert len(shown) == lines
        assert all(cell_len(line) <= width for line in shown)
        assert shown[-1].strip().startswith("probability: about")


async def test_a_setting_that_differs_stands_under_the_verdict(made):
    """A run failed for a line of config.json that both files show, and the screen named no cause."""
    warning = {"event": "warn", "message": "the files differ: activation is relu2 and silu [/nope]\x1b"}
    app = Bench(VerdictBar(id="it"))
    app.CSS = ""
    async with app.run_test(size=(120, 12)) as pilot:
        app.it.show(view_of([*made.run(), warning, warning]))
        await pilot.pause()
        last = app.it.render().plain.split("\n")[-1]
        assert last.startswith("! the files differ: activation is relu2 and silu [/nope]␛ (and 1 more)")


async def test_rows_fold_and_bars_add_up():
    """A long value ran out of the pane; three bars of a third each did not look alike."""
    app = Bench(RowsView(id="it"))
    async with app.run_test(size=(40, 20)) as pilot:
        app.it.show([("name", "word " * 20), ("", "[/nope]")], Shares(1 / 3, 1 / 3, 1 / 3, None))
        await pilot.pause()
        lines = app.it.render().plain.split("\n")
        assert all(cell_len(line) <= 40 for line in lines)
        assert len({line[8:] for line in lines[-3:]}) == 1
        assert any("[/nope]" in line for line in lines)


async def test_a_field_draws_no_character_that_is_not_seen(made):
    """A path with an escape sequence in it, filled into a form, rewrote the terminal."""
    async with App().run_test() as pilot:
        field = SafeInput(made.hostile)
        await pilot.app.mount(field)
        drawn = field._value.plain
    assert len(drawn) == len(made.hostile)
    assert not set(drawn) & set("\x1b\x9b\u202e\u2028\u200b")


async def test_the_row_under_the_cursor_can_be_read():
    """A verdict's green on the cursor's blue has a contrast of 1.4, in the light theme of 1.0: there was no verdict."""
    app = Bench(PickList(id="it"))
    async with app.run_test(size=(40, 6)) as pilot:
        app.it.show([Pick("a", "one", "✔ .965", "$success"), Pick("b", "two", "✘ .412", "$error")])
        await pilot.pause()
        for at in (0, 1):
            app.it.highlighted = at
            await pilot.pause()
            colors = [
                {segment.style.color for segment in app.it.render_line(row) if segment.text.strip()} for row in (0, 1)
            ]
            assert [len(each) for each in colors] == [1 + (at == 1), 1 + (at == 0)]
