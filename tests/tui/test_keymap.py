"""Keys: presets, changes, what is refused, and what the screens then obey and show."""

from dataclasses import replace

import pytest

from bitnet_tui.app import BINDING, BitnetApp
from bitnet_tui.core.keymap import NAMED, PRESETS, resolve
from bitnet_tui.core.session import SettingError
from bitnet_tui.core.settings import Settings, load_config
from bitnet_tui.screens.keys import actions_of, shown, textual_keymap, written
from bitnet_tui.screens.parity import ParityScreen

ACTIONS = actions_of(BINDING)


def config(**settings):
    return replace(load_config(), settings=Settings(**settings))


def test_every_binding_has_a_name():
    """A key without a name cannot be remapped; users ask for every one of them."""
    nameless = [
        (owner.__name__, binding.key)
        for owner in BINDING
        for binding in owner.BINDINGS
        if not binding.id or binding.id.partition(".")[0] not in SCOPES
    ]
    assert nameless == []


SCOPES = (
    "app",
    "home",
    "inspect",
    "parity",
    "bench",
    "layers",
    "runs",
    "list",
    "tree",
    "pane",
    "confirm",
    "form",
    "help",
)


def test_the_presets_name_actions_that_exist():
    """An action was renamed and the vim preset kept its old name."""
    for preset in PRESETS:
        resolve(ACTIONS, preset, {}, "config.toml")


@pytest.mark.parametrize("preset", PRESETS)
def test_no_preset_gives_one_key_to_two_actions(preset):
    """In the vim preset a key did one thing, and the help promised two."""
    keys = resolve(ACTIONS, preset, {}, "config.toml")
    # Asking for each action's own keys again runs the check that a user's changes go through.
    for action in PRESETS[preset] or ACTIONS:
        resolve(ACTIONS, preset, {action: ",".join(_spelled(key) for key in keys[action])}, "config.toml")


def _spelled(key):
    return {",": "comma", "+": "plus"}.get(key, key)


def test_changes_come_after_the_preset():
    """One changed key lost the rest of the preset."""
    keys = resolve(ACTIONS, "vim", {"parity.worst": "W, f2", "parity.right": "right,l,alt+x"}, "config.toml")
    assert keys["parity.worst"] == ["W", "f2"]
    assert keys["parity.right"] == ["right", "l", "alt+x"]
    assert keys["parity.left"] == ["left", "h"]
    assert keys["parity.next"] == ACTIONS["parity.next"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"parity.worse": "W"}, "config.toml: keymap.parity.worse: there is no such action. Did you mean"),
        ({"xyzzy": "W"}, "They begin with app, "),
        ({"parity.worst": ""}, "keymap.parity.worst is ''; a character, escape,"),
        ({"parity.worst": "ww"}, "is 'ww'; a character"),
        ({"parity.worst": "n,"}, "is ''; a character"),
        ({"parity.worst": "hyper+n"}, "is 'hyper+n'"),
        ({"parity.worst": "\x1b"}, "a character"),
        ({"parity.worst": "shift+w"}, "write 'W'"),
        ({"parity.worst": "n"}, "keymap.parity.worst is 'n', the key of parity.next. Choose another"),
        ({"parity.worst": "q"}, "the key of app.quit"),
        ({"app.quit": "n"}, "the key of parity.next"),
    ],
)
def test_what_is_refused(changes, said):
    """A key that does nothing, or two things, was found out by pressing it."""
    with pytest.raises(SettingError) as raised:
        resolve(ACTIONS, "default", changes, "config.toml")
    assert said in str(raised.value)


def test_two_actions_may_swap_keys():
    """Exchanging n and w was refused, because each was still the other's key."""
    keys = resolve(ACTIONS, "default", {"parity.next": "w", "parity.worst": "n"}, "config.toml")
    assert (keys["parity.next"], keys["parity.worst"]) == (["w"], ["n"])


def test_a_dialog_takes_every_key_for_itself():
    """`q` closes the help, and was refused as the key that quits the program."""
    assert resolve(ACTIONS, "default", {"help.close": "q,x"}, "c")["help.close"] == ["q", "x"]


@pytest.mark.parametrize("key", [*NAMED, "/", "?", "#", "N", "n", "ä", "[", "ctrl+x", "ctrl+/", "alt+shift+f3"])
def test_a_key_survives_the_way_to_textual_and_back(key):
    """`/` in the file never arrived: Textual calls it slash."""
    (there,) = textual_keymap({"a": [key]}).values()
    assert written(there) == key
    assert "," not in there
    assert shown(there)


async def test_remapped_keys_work_and_are_shown(app_of, made, until, text_of):
    """The key was changed, and footer, tabs and help showed the old one."""
    changes = {"parity.worst": "W", "app.help": "f9", "app.home": "H", "app.quit": "Q"}
    app = app_of(config=config(keys=changes, runs_dir=load_config().settings.runs_dir))
    with app.store.create("7f3a") as writer:
        writer.write(made.run())
    app.paths = [str(app.store.root / "7f3a")]
    async with app.run_test(size=(120, 60)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, ParityScreen) and not app.screen.view.live)
        await pilot.press("home", "w")
        assert app.screen.cursor == 0
        await pilot.press("W")
        assert app.screen.cursor == 41
        assert "f9 help Q quit" in text_of(app)
        assert " H Home" in text_of(app)
        await pilot.press("f9")
        await pilot.pause()
        assert "W  Worst" in text_of(app)
        await pilot.press("escape", "H")
        assert type(app.screen).__name__ == "HomeScreen"


async def test_vim_moves_through_a_run(app_of, made, until):
    """The vim preset was a table that nobody had pressed."""
    app = app_of(config=config(preset="vim", runs_dir=load_config().settings.runs_dir))
    with app.store.create("7f3a") as writer:
        writer.write(made.run())
    app.paths = [str(app.store.root / "7f3a")]
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, ParityScreen) and not app.screen.view.live)
        for key, place in [("g", 0), ("l", 1), ("right", 2), ("h", 1), ("G", 63), ("h", 62)]:
            await pilot.press(key)
            assert app.screen.cursor == place, key


def test_the_page_lists_every_action(root):
    """Somebody who wants to change a key needs the name of its action, and the page did not have it."""
    page = (root / "docs" / "settings.md").read_text(encoding="utf-8")
    for action, keys in ACTIONS.items():
        assert f"| `{action}` | {' '.join(f'`{key}`' for key in keys)} |" in page


def test_a_bad_keymap_stops_the_program_before_the_terminal_is_taken(tmp_path):
    """The app started with half of a keymap and a toast that was gone in three seconds."""
    with pytest.raises(SettingError, match="no such action"):
        BitnetApp(config=config(keys={"parity.wrost": "W"}))
