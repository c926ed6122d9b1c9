"""Forms: the models found around here, and keys that can be seen however low the terminal is."""

import pytest
from textual.widgets import Input

from bitnet_tui.screens.form import FormScreen
from bitnet_tui.screens.home import HomeScreen


@pytest.fixture
def beside_models(app_of, tmp_path, until):
    """Return an app beside two models, and a function that waits until Home has found them."""
    for name in ("a.gguf", "b\x1b[3J.gguf"):
        (tmp_path / "here" / name).touch()
    app = app_of()

    async def ready(pilot):
        await until(pilot, lambda: isinstance(app.screen, HomeScreen) and len(app.screen.found_models) == 2)

    return app, ready, [str(tmp_path / "here" / name) for name in ("a.gguf", "b\x1b[3J.gguf")]


async def test_a_model_that_was_found_needs_no_typing(beside_models, until):
    """The candidate of a new run had to be typed in full, though Home listed it."""
    app, ready, (first, second) = beside_models
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, FormScreen))
        sides = [app.screen.query_one(f"#field-{name}", Input) for name in ("reference", "candidate")]
        await pilot.press("ctrl+n", "ctrl+n")
        assert [side.value for side in sides] == [first, second], "a model is not compared with itself"
        sides[1].value = "elsewhere.gguf"
        await pilot.press("up", "ctrl+n")
        assert [side.value for side in sides] == [second, "elsewhere.gguf"]
        await pilot.press("down", "down", "ctrl+n")
        assert app.screen.query_one("#field-corpus", Input).value == "", "a model is no text"
        await pilot.press("escape", "o", "ctrl+n", "ctrl+n")
        assert app.screen.query_one(Input).value == second


@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 18)])
async def test_the_keys_of_a_form_can_be_seen(beside_models, until, text_of, size):
    """At 80x24 the line that says how to go on, and how to leave, was below the edge."""
    app, ready, _ = beside_models
    async with app.run_test(size=size) as pilot:
        await ready(pilot)
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, FormScreen))
        await pilot.pause()
        for key in ("⏎ go", "ctrl+n a model", "esc cancel", "ctrl+y"):
            assert key in text_of(app)
