"""The line of keys: what fits, and nothing that once was shown."""

import gc
import weakref

from textual.widgets._footer import FooterKey

from bitnet_tui.screens.base import BaseScreen
from bitnet_tui.widgets.key_footer import KeyFooter


async def test_keys_that_are_gone_leave_memory(app_of, until):
    """Every key ever shown stayed in memory, a megabyte for each parity run: Textual's footer let it be watched."""
    app = app_of([])
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, BaseScreen) and app.screen.query(FooterKey))
        footer = app.screen.query_one(KeyFooter)
        keys = [weakref.ref(key) for key in footer.query(FooterKey)]
        titles = [key().description for key in keys]
        for _ in range(3):
            footer.refresh(recompose=True)
            await pilot.pause()
        assert [key.description for key in footer.query(FooterKey)] == titles
        gc.collect()
        assert [key().description for key in keys if key() is not None] == []
