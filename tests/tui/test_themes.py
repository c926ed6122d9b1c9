"""Shipped themes are readable; a broken one is a line of text, not a crash."""

import math
from itertools import combinations

import pytest

from bitnet_tui.core.resources import resource_dir
from bitnet_tui.core.themes import APP_COLORS, ThemeError, load_theme, load_themes

SHIPPED, PROBLEMS = load_themes([resource_dir("themes")])


# Linear RGB as three kinds of eye see it (Machado, Oliveira and Fernandes 2009, severity 1).
DICHROMATS = {
    "protanope": [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]],
    "deuteranope": [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]],
    "tritanope": [[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]],
}


def linear(color):
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]


def luminance(color):
    """Return the relative luminance of WCAG 2.2."""
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear(color), strict=True))


def lab(color, eye):
    """Return CIELAB (D65) of `color` as `eye` sees it; a distance of 2 is just noticed."""
    rgb = linear(color)
    r, g, b = (min(max(sum(w * c for w, c in zip(row, rgb, strict=True)), 0), 1) for row in eye)
    xyz = (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505, 0.2126 * r + 0.7152 * g + 0.0722 * b
    x, y, z = (
        t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116
        for t in (*xyz, (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089)
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_every_shipped_theme_loads():
    """A typing slip in a shipped theme would greet every user with a warning."""
    assert not PROBLEMS
    assert [theme.name for theme in SHIPPED] == [
        "bitnet-dark",
        "bitnet-light",
        "colorblind-safe",
        "high-contrast",
        "phosphor",
    ]


@pytest.mark.parametrize("theme", SHIPPED, ids=lambda theme: theme.name)
def test_text_can_be_read(theme):
    """Token colours are text; under 4.5:1 they cannot be read on the theme's own background."""
    needed = 7.0 if theme.name == "high-contrast" else 4.5
    colors = dict(theme.app) | {name: theme.colors[name] for name in ("foreground", "error", "warning", "success")}
    low = {name: contrast(color, theme.colors["background"]) for name, color in colors.items()}
    assert {name: ratio for name, ratio in low.items() if ratio < needed} == {}
    assert contrast(theme.colors["foreground"], theme.colors["panel"]) >= 4.5


@pytest.mark.parametrize("eye", DICHROMATS)
def test_the_colorblind_safe_theme_is(eye):
    """Success and warning of the default theme are one colour to a deuteranope; this theme must not do the same."""
    theme = next(theme for theme in SHIPPED if theme.name == "colorblind-safe")
    colors = dict(theme.app) | dict(theme.colors)
    close = {
        (one, other): seen
        for group in (
            ("tau-good", "tau-drift", "tau-bad"),
            ("tern-neg", "tern-zero", "tern-pos"),
            ("success", "warning", "error"),
            ("ref", "cand"),
        )
        for one, other in combinations(group, 2)
        if (seen := math.dist(lab(colors[one], DICHROMATS[eye]), lab(colors[other], DICHROMATS[eye]))) < 20
    }
    assert close == {}


@pytest.mark.parametrize("theme", SHIPPED, ids=lambda theme: theme.name)
def test_the_ramp_keeps_its_order_in_grey(theme):
    """Under NO_COLOR only luminance is left of a heat map; a ramp that turns back would lie."""
    steps = [luminance(color) for color in theme.ramp]
    assert steps == sorted(steps, reverse=not theme.dark)
    assert len(set(steps)) == len(steps)


@pytest.mark.parametrize("theme", SHIPPED, ids=lambda theme: theme.name)
def test_trits_are_told_apart(theme):
    """−1, 0 and +1 side by side in a bar need different colours."""
    trits = [theme.app[name] for name in ("tern-neg", "tern-zero", "tern-pos")]
    for one in trits:
        for other in trits:
            if one != other:
                distance = sum((int(one[i : i + 2], 16) - int(other[i : i + 2], 16)) ** 2 for i in (1, 3, 5))
                assert distance > 60**2
    assert set(theme.app) == set(APP_COLORS)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("#7aa2f7", "blue"), "colors.primary is 'blue'; #rrggbb is allowed"),
        (("dark = true", "dark = 1"), "dark is 1; true or false is allowed"),
        (('name = "bitnet-dark"', 'name = "A [b]"'), "name is 'A [b]'"),
        (("tau-bad", "tau-worse"), "app.tau-worse is unknown"),
        (("[heat]", "[heap]"), "the table [heat] is missing"),
        (("ramp = [", "rump = ["), "heat.ramp needs at least two colours"),
        (("dark = true", "dark = "), "Invalid value"),
    ],
)
def test_a_bad_theme_names_its_field(tmp_path, change, said):
    """A bad colour that got through would raise inside Textual's style sheet, at every start."""
    text = (resource_dir("themes") / "bitnet-dark.toml").read_text(encoding="utf-8")
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(*change), encoding="utf-8")
    with pytest.raises(ThemeError) as raised:
        load_theme(path)
    assert str(raised.value).startswith("mine.toml: ")
    assert said in str(raised.value)


def test_a_bad_theme_leaves_the_others(tmp_path):
    """One bad file in the user's folder must not take the shipped themes away."""
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    themes, problems = load_themes([resource_dir("themes"), tmp_path, tmp_path / "absent"])
    assert len(themes) == len(SHIPPED)
    assert len(problems) == 1


def test_a_later_folder_replaces_a_theme(tmp_path):
    """A user's own bitnet-dark must win over the shipped one."""
    text = (resource_dir("themes") / "bitnet-dark.toml").read_text(encoding="utf-8")
    (tmp_path / "mine.toml").write_text(text.replace("#7aa2f7", "#123456"), encoding="utf-8")
    themes, _ = load_themes([resource_dir("themes"), tmp_path])
    assert next(theme for theme in themes if theme.name == "bitnet-dark").colors["primary"] == "#123456"
