"""The app opens bad files one after another: each is a card with the line and code of the commands, never a crash."""

from pathlib import Path

from bitnet_tui.core import session
from bitnet_tui.widgets.error_card import ErrorCard
from tests.badfiles.answers import answer
from tests.badfiles.model_cases import MODELS


async def test_bad_models_are_cards(app_of, until, tmp_path: Path):
    """A file that ends the app, or that Inspect explains in other words than `info`."""
    app = app_of(inspect=session.inspect)
    async with app.run_test(size=(120, 40)) as pilot:
        for case in MODELS[::12]:
            folder = tmp_path / case.name
            folder.mkdir()
            path = case.build(folder)
            app.open_path(str(path))
            code, line = answer("info", path)
            shown = line.removeprefix("bitnet-tui: ")

            def card(code: int = code, shown: str = shown) -> bool:
                cards = app.screen.query(ErrorCard)
                titles = [str(card.border_title) for card in cards if card.display]
                texts = [str(card.render()) for card in cards if card.display]
                return any(f"exit code {code}:" in title for title in titles) and any(shown in text for text in texts)

            await until(pilot, card)
