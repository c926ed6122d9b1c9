"""One line of config.toml changes, and nothing that is the user's own."""

import os
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitnet_tui.core.config_file import save, with_value
from bitnet_tui.core.session import SettingError, StorageError

FILE = """# mine, by hand
theme = "a#b"    # the # is no comment in there
models_dirs = [
  "~/models",  # slow disk
  "/data",
]

# keys below
[keymap] # vim!
preset = 'vim'
parity.worst = "W"
"""


@pytest.mark.parametrize(
    ("key", "value", "gone", "come"),
    [
        ("theme", "b", 'theme = "a#b"    # the # is no', 'theme = "b"  # the # is no'),
        ("theme", None, 'theme = "a#b"    # the # is no comment in there\n', ""),
        ("models_dirs", ["/x"], '[\n  "~/models",  # slow disk\n  "/data",\n]', '["/x"]'),
        ("keymap.preset", "default", "'vim'", '"default"'),
        ("keymap.preset", None, "preset = 'vim'\n", ""),
        ("runs_limit_gib", 2.5, "\n\n# keys below", "\nruns_limit_gib = 2.5\n\n# keys below"),
    ],
)
def test_only_its_line_changes(key, value, gone, come):
    """A setting changed in the app took the user's comments, or the order of the file, with it."""
    assert with_value(FILE, key, value) == FILE.replace(gone, come, 1)


@pytest.mark.parametrize(
    ("text", "key", "value", "result"),
    [
        ("", "theme", "b", 'theme = "b"\n'),
        ("", "theme", None, ""),
        ("", "keymap.preset", "vim", '[keymap]\npreset = "vim"\n'),
        ("# all mine", "theme", "b", '# all mine\ntheme = "b"\n'),
        ('theme = "a"', "keymap.preset", "vim", 'theme = "a"\n\n[keymap]\npreset = "vim"\n'),
        ('keymap.preset = "vim"\n', "keymap.preset", "default", 'keymap.preset = "default"\n'),
        ("[keymap]\n", "keymap.preset", "vim", '[keymap]\npreset = "vim"\n'),
        ("[keymap]\n", "theme", "b", 'theme = "b"\n[keymap]\n'),
        ('theme = "a"\r\nprofile = "fp32"\r\n', "theme", "b", 'theme = "b"\r\nprofile = "fp32"\r\n'),
    ],
)
def test_where_a_line_goes(text, key, value, result):
    """A top-level setting landed in [keymap], and the next start refused the file."""
    assert with_value(text, key, value) == result


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12)


@given(NAMES, NAMES, st.booleans(), st.booleans())
def test_any_name_survives(first, second, commented, keymap):
    """A name with a quote or a backslash made a file that could not be read again."""
    import orjson

    text = f"theme = {orjson.dumps(first).decode()}{'  # x' if commented else ''}\n" + "[keymap]\n" * keymap
    changed = with_value(text.replace("\x7f", "\\u007f"), "theme", second)
    assert tomllib.loads(changed)["theme"] == second
    assert changed.endswith("[keymap]\n") is keymap
    assert ("# x" in changed) is commented or "# x" in second


@pytest.mark.parametrize("text", ['keymap = {preset = "vim"}\n', '"theme" = "a"\n'])
def test_an_unusual_layout_is_left_alone(text):
    """A layout that was not foreseen was turned into one that no longer parses."""
    key = "theme" if "theme" in text else "keymap.preset"
    with pytest.raises(ValueError, match=rf"write {key} = \"b\" into it by hand"):
        with_value(text, key, "b")


def test_what_save_refuses(tmp_path):
    """A file that is no TOML was written over."""
    path = tmp_path / "config.toml"
    path.write_text("theme = \n")
    with pytest.raises(SettingError, match=r"config\.toml: Invalid value"):
        save(path, "theme", "b")
    assert path.read_text() == "theme = \n"
    with pytest.raises(StorageError):
        save(tmp_path / "config.toml" / "x" / "config.toml", "theme", "b")


def test_a_link_stays_a_link(tmp_path):
    """Somebody keeps config.toml in a repository and links to it; the link was replaced by a file."""
    (tmp_path / "dotfiles").mkdir()
    real = tmp_path / "dotfiles" / "config.toml"
    real.write_text('theme = "a"\n')
    os.symlink(real, tmp_path / "config.toml")
    save(tmp_path / "config.toml", "theme", "b")
    assert (tmp_path / "config.toml").is_symlink()
    assert real.read_text() == 'theme = "b"\n'
