"""The line of keys: what fits, and nothing that once was shown."""

import gc
import weakref

from textual.widgets._footer import FooterKey

from bitnet_tui.screens.base import BaseScreen
from bitnet_tui.screens.inspect import InspectScreen
from bitnet_tui.widgets.key_footer import KeyFooter


async def test_keys_that_are_gone_leave_memory(app_of, until):
    """Every key ever shown stayed in memory, a megabyte for each parity run: Textual's footer let it be watched."""
    app = app_of(["/models/x.gguf"])
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, InspectScreen) and app.screen.view.measured == 31)
        await pilot.pause()
        footer = app.screen.query_one(KeyFooter)
        keys = [weakref.ref(key) for key in footer.query(FooterKey)]
        titles = [key().description for key in keys]
        await pilot.resize_terminal(60, 18)
        await until(pilot, lambda: len(footer.query(FooterKey)) < len(titles))
        await pilot.resize_terminal(120, 40)
        await until(pilot, lambda: [key.description for key in footer.query(FooterKey)] == titles)
        gc.collect()
        assert [key().description for key in keys if key() is not None] == []


async def test_the_same_keys_are_not_made_again(app_of, until):
    """Every change of focus made and styled all keys anew, to the same line."""
    app = app_of([])
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, BaseScreen) and app.screen.query(FooterKey))
        footer = app.screen.query_one(KeyFooter)
        keys = list(footer.query(FooterKey))
        footer.refresh(recompose=True)
        await pilot.pause()
        assert list(footer.query(FooterKey)) == keys
