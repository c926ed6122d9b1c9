"""The Settings screen: what it lists, what enter changes, what is refused."""

import pytest
from textual.widgets import Input

from bitnet_tui.core.settings import entries, load_config
from bitnet_tui.screens.form import FormScreen
from bitnet_tui.screens.home import HomeScreen
from bitnet_tui.screens.settings import SettingsScreen
from bitnet_tui.widgets.pick_list import PickList

WIDE = (120, 40)


@pytest.fixture
def change(until):
    """Return a function that gives the setting `key` the value `text`."""

    async def type_in(pilot, key, text):
        app = pilot.app
        if not isinstance(app.screen, SettingsScreen):
            await pilot.press("comma")
        await until(pilot, lambda: isinstance(app.screen, SettingsScreen))
        box = app.screen.query_one(PickList)
        box.highlighted = [pick.value for pick in box.picks].index(key)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, FormScreen))
        app.screen.query_one(Input).value = text
        await pilot.press("enter")
        await pilot.pause()

    return type_in


async def test_every_setting_is_listed(app_of, until, text_of):
    """A setting was added, and the screen did not know it."""
    app = app_of()
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        await pilot.press("comma")
        await until(pilot, lambda: isinstance(app.screen, SettingsScreen))
        for entry in entries(app.config):
            assert entry.key in text_of(app)
        assert "BITNET_TUI_RUNS" in text_of(app), "runs_dir comes from the environment here"
        await pilot.press("end", "y")
        assert app.clipboard == "keymap.preset = default"
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))


async def test_a_change_is_written_and_in_force(app_of, until, change):
    """A theme was written into the file, and seen after a restart only."""
    app = app_of()
    path = app.config.path
    path.parent.mkdir(parents=True)
    path.write_text('# mine\ntheme = "bitnet-dark"  # for now\n')
    app.config = load_config()
    async with app.run_test(size=WIDE) as pilot:
        await change(pilot, "theme", "phosphor")
        await until(pilot, lambda: app.theme == "phosphor")
        assert path.read_text() == '# mine\ntheme = "phosphor"  # for now\n'
        await change(pilot, "keymap.preset", "vim")
        await until(pilot, lambda: app.key_of("parity.left") == "←" and app._keys["parity.left"] == ["left", "h"])
        await change(pilot, "models_dirs", "/a:/b c")
        assert [str(folder) for folder in app.settings.models_dirs] == ["/a", "/b c"]
        await change(pilot, "theme", "")
        await until(pilot, lambda: app.theme == "bitnet-dark")
    assert path.read_text() == '# mine\nmodels_dirs = ["/a","/b c"]\n\n[keymap]\npreset = "vim"\n'


async def test_what_is_not_allowed_is_said_in_the_form(app_of, until, text_of, change):
    """A bad value was written, and the next start ended with an error."""
    app = app_of()
    async with app.run_test(size=WIDE) as pilot:
        for key, text, said in (
            ("theme", "phosfor", "'phosfor': one of bitnet-dark"),
            ("runs_limit_gib", "-1", "a number from 0 is allowed"),
            ("profile", "exact", "one of lossless"),
        ):
            await change(pilot, key, text)
            await until(pilot, lambda said=said: said in text_of(app))
            await pilot.press("escape")
            await until(pilot, lambda: isinstance(app.screen, SettingsScreen))
    assert not app.config.path.exists()


async def test_the_environment_wins_and_the_screen_says_so(app_of, until, change, tmp_path):
    """Somebody changed runs_dir, the variable went on ruling, and nothing told him."""
    app = app_of()
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await change(pilot, "runs_dir", str(tmp_path / "other"))
        await until(pilot, lambda: any("BITNET_TUI_RUNS wins" in n.message for n in app._notifications))
        assert app.store.root == tmp_path / "runs"
    assert "other" in app.config.path.read_text()


async def test_a_preset_that_takes_a_given_key_is_not_written(app_of, until, change):
    """The preset was written, and the program did not start any more."""
    app = app_of()
    app.config.path.parent.mkdir(parents=True)
    app.config.path.write_text('[keymap]\nparity.worst = "h"\n')
    app.config = load_config()
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await change(pilot, "keymap.preset", "vim")
        await until(pilot, lambda: any("the key of parity.left" in n.message for n in app._notifications))
    assert app.config.path.read_text() == '[keymap]\nparity.worst = "h"\n'
