"""Where a setting comes from, and what is refused."""

import os
from pathlib import Path

import pytest

from bitnet_parity.gates import Gates
from bitnet_tui.core.keymap import PRESETS
from bitnet_tui.core.session import SettingError
from bitnet_tui.core.settings import PROFILES, Settings, config_path, key_names, load_config, themes_dir
from bitnet_tui.core.store import default_root


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Return a function that writes config.toml where the program looks for it."""

    def write(text):
        path = config_path()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    monkeypatch.delenv("BITNET_TUI_RUNS")
    return write


def test_nothing_set_is_the_defaults(config):
    """A first start without any file must not fail, and must say that these are defaults."""
    loaded = load_config()
    assert loaded.settings == Settings()
    assert loaded.settings.runs_dir == default_root()
    assert set(loaded.sources.values()) == {"default"}


def test_flag_over_environment_over_file(config, monkeypatch):
    """A job in CI could not overrule the file of the account it runs in."""
    config('theme = "bitnet-light"\nprofile = "fp32"\nruns_limit_gib = 2\n')
    monkeypatch.setenv("BITNET_TUI_PROFILE", "lossless")
    monkeypatch.setenv("BITNET_TUI_RUNS_LIMIT_GIB", "0.5")
    loaded = load_config({"theme": "phosphor", "profile": None})
    found = loaded.settings
    assert (found.theme, found.profile, found.runs_limit_gib) == ("phosphor", "lossless", 0.5)
    names = ("theme", "profile", "runs_limit_gib", "numerics")
    assert [loaded.sources[name] for name in names] == [
        "--theme",
        "BITNET_TUI_PROFILE",
        "BITNET_TUI_RUNS_LIMIT_GIB",
        "default",
    ]


def test_paths_of_file_and_environment(config, monkeypatch, tmp_path):
    """`~` in the file was a folder of that name; an empty part of the variable was the current folder."""
    config('models_dirs = ["~/models", "/data"]\nruns_dir = "~/runs"')
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_config().settings.models_dirs == (tmp_path / "models", Path("/data"))
    assert load_config().settings.runs_dir == tmp_path / "runs"
    monkeypatch.setenv("BITNET_MODELS", f"/a{os.pathsep}{os.pathsep}/b")
    assert load_config().settings.models_dirs == (Path("/a"), Path("/b"))


def test_keys_may_be_written_plain_or_quoted(config):
    """TOML reads parity.worst as a table in a table, and the key was lost."""
    config('[keymap]\npreset = "vim"\nparity.worst = "W"\n"parity.first" = "F,f2"\n')
    loaded = load_config()
    assert loaded.settings.preset == "vim"
    assert loaded.settings.keys == {"parity.worst": "W", "parity.first": "F,f2"}
    assert loaded.sources["keys"] == "config.toml"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('them = "x"', "'them' is no setting. Did you mean 'theme'? Allowed: theme, models_dirs,"),
        ('[runs]\ndir = "x"', "'runs' is no setting. Did you mean 'runs_dir'?"),
        ("theme = 3", "theme is 3; a name in quotes is allowed."),
        ('profile = "best"', "profile is 'best'; lossless, nightly, fp32, quantized are allowed."),
        ("runs_limit_gib = true", "runs_limit_gib is True; a number from 0 is allowed"),
        ("runs_limit_gib = nan", "runs_limit_gib is nan; a number from 0"),
        ("runs_limit_gib = -1", "runs_limit_gib is -1; a number from 0"),
        ('models_dirs = "here"', "models_dirs is 'here'; a list of paths is allowed"),
        ("models_dirs = [1]", "models_dirs is [1]; a path in quotes"),
        ('runs_dir = "~nobody-of-that-name/x"', "a path of a user that exists is allowed"),
        ("keymap = 1", "keymap is 1; a table [keymap] is allowed"),
        ('[keymap]\npreset = "emacs"', "keymap.preset is 'emacs'; default, vim are allowed"),
        ("[keymap]\nparity.worst = 1", "keymap.parity.worst is 1; keys in quotes are allowed"),
        ("theme = ", "cannot be read: Invalid value"),
        ('theme = "\\u001b"\nx\u202e = 1', "cannot be read"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_it(config, text, said):
    """A typing slip in the file was ignored, and the setting seemed to have no effect."""
    path = config(text)
    with pytest.raises(SettingError) as raised:
        load_config()
    assert str(raised.value).startswith(f"{path}: ")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_wrong_variable_is_named(config, monkeypatch):
    """The error blamed the file for what the environment said."""
    monkeypatch.setenv("BITNET_TUI_RUNS_LIMIT_GIB", "lots")
    with pytest.raises(SettingError, match=r"^BITNET_TUI_RUNS_LIMIT_GIB is 'lots'; a number from 0 is allowed"):
        load_config()


def test_a_file_that_was_named_has_to_exist(config, monkeypatch, tmp_path):
    """A mistyped BITNET_TUI_CONFIG silently gave the defaults."""
    monkeypatch.setenv("BITNET_TUI_CONFIG", str(tmp_path / "other.toml"))
    with pytest.raises(SettingError, match=r"other.toml: no such file; BITNET_TUI_CONFIG names it"):
        load_config()
    (tmp_path / "other.toml").write_text('theme = "phosphor"')
    assert load_config().settings.theme == "phosphor"
    assert themes_dir() == tmp_path / "themes"


def test_the_profiles_are_those_that_judge():
    """A profile added to the gates could not be chosen as a setting."""
    assert [Gates.profile(name).name for name in PROFILES] == list(PROFILES)
    with pytest.raises(SettingError, match=", ".join(PROFILES)):
        Gates.profile("no such profile")


def test_the_page_tells_every_setting(root):
    """A setting was added and its page forgotten."""
    page = (root / "docs" / "settings.md").read_text(encoding="utf-8")
    for name in key_names():
        assert f"`{name}`" in page, name
    for preset in PRESETS:
        assert f"`{preset}`" in page, preset
