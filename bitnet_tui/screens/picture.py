"""A screen as an SVG picture, drawn without a terminal: the same bytes as often as it is asked for.

    svg = picture(BitnetApp(["model.gguf"]), (120, 40), ["down", "enter"])

Before each key, and before the picture, everything that the screen waits for has arrived: the statistics of a model,
the events of a run. Toasts are left out, for they come and go by the clock.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from textual.app import App
from textual.pilot import Pilot
from textual.widgets import Input

from bitnet_tui.core.session import SettingError
from bitnet_tui.screens.base import BaseScreen
from bitnet_tui.screens.export import svg_of

_LOOK = 0.02
"""Seconds between two looks at whether the screen has settled."""


def picture(app: App[Any], size: tuple[int, int], keys: Sequence[str]) -> str:
    """Run `app` in `size` columns and rows, press `keys` (Textual's names), and return the last screen as SVG.

    Raises:
        SettingError: a key left the app.
    """
    drawn: list[str] = []

    async def drive(pilot: Pilot[Any]) -> None:
        await _settled(pilot)
        for key in keys:
            await pilot.press(key)
            await _settled(pilot)
        if app.is_running:
            drawn.append(await _draw(pilot))
            app.exit()

    app.animation_level = "none"
    app.run(headless=True, size=size, auto_pilot=drive)
    if not drawn:
        raise SettingError("--press: a key left the app before its picture was drawn; take it away.")
    return drawn[0]


async def _settled(pilot: Pilot[Any]) -> None:
    """Wait until nothing that the screen shows is still on its way."""
    app = pilot.app
    await pilot.pause()
    while app.is_running and (_working(app) or any(s.busy for s in app.screen_stack if isinstance(s, BaseScreen))):
        await asyncio.sleep(_LOOK)
    await pilot.pause()


async def _draw(pilot: Pilot[Any]) -> str:
    app = pilot.app
    app.clear_notifications()
    for line in app.screen.query(Input):
        line.cursor_blink = False
    await pilot.pause()
    return svg_of(app)


def _working(app: App[Any]) -> bool:
    return any(not worker.is_finished for worker in app.workers)
