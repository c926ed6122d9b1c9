"""config.toml and `locate` as a user meets them: through the program."""

import json

import pytest

from tests.e2e.program import run


@pytest.fixture
def config(tmp_path):
    """A configuration file with a mistyped key."""
    path = tmp_path / "bitnet-tui" / "config.toml"
    path.parent.mkdir()
    path.write_text('themes = "phosphor"\n')
    return path


def test_locate_prints_the_places(tmp_path):
    """Red when a user has to search for the folder that a theme goes into."""
    env = {"XDG_CONFIG_HOME": str(tmp_path), "BITNET_TUI_RUNS": str(tmp_path), "BITNET_TUI_COMPILED": str(tmp_path)}
    done = run("locate", **env)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        f"config    {tmp_path}/bitnet-tui/config.toml  (not there yet)",
        f"themes    {tmp_path}/bitnet-tui/themes  (not there yet)",
        f"runs      {tmp_path}",
        f"compiled  {tmp_path}",
    ]
    assert run("locate", "themes", **env).stdout == f"{tmp_path}/bitnet-tui/themes\n"
    found = json.loads(run("locate", "runs", "--json", **env).stdout)
    assert found == {"schema": "bitnet-tui/places", "schema_version": 1, "places": {"runs": str(tmp_path)}}


def test_a_wrong_file_is_named_and_can_be_located(tmp_path, config):
    """Red when the one command that names the file fails because the file is wrong."""
    done = run("locate", XDG_CONFIG_HOME=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr == (
        f"bitnet-tui: {config}: 'themes' is no setting. Did you mean 'theme'? Allowed: theme, models_dirs, runs_dir, "
        "runs_limit_gib, profile, numerics, keymap.preset. `bitnet-tui locate config` names the file.\n"
    )
    assert run("locate", "config", XDG_CONFIG_HOME=str(tmp_path)).stdout == f"{config}\n"


def test_commands_without_the_app_do_not_read_it(tmp_path, config, i2_s):
    """Red when the result of a command in CI depends on a file in somebody's home."""
    assert run("info", i2_s, XDG_CONFIG_HOME=str(tmp_path)).returncode == 0


def test_a_theme_is_of_the_app(i2_s):
    """Red when an option is taken and then has no effect."""
    done = run(i2_s, "--json", "--theme", "phosphor")
    assert done.returncode == 2
    assert "--theme is of the app" in done.stderr
