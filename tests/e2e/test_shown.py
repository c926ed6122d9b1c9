"""The checker of what pages show: it has to find what is wrong, or it checks nothing. CI runs it on docs/guide."""

import pytest

from docs import shown
from docs.shown import Shown, matches, parse, run


def test_a_block_is_commands_and_what_they_print():
    """Red when a command's output is taken for a command, or a blank line in it is lost."""
    assert parse("$ a -b\none\n\ntwo\n$ echo $?\n0\n") == [Shown("a -b", ("one", "", "two")), Shown("echo $?", ("0",))]
    with pytest.raises(ValueError, match="begins with no command"):
        parse("stray\n$ a\n")


@pytest.mark.parametrize(
    ("printed", "lines", "same"),
    [
        (("a 1", "b"), ("a 1", "b"), True),
        (("a 1", "b"), ("a 2", "b"), False),
        (("a …", "b"), ("a 2", "b"), True),
        (("a …",), ("a 2", "b"), False),
        (("a", "…", "z"), ("a", "b", "c", "z"), True),
        (("a", "…"), ("b", "c"), False),
        (("1.5",), ("1x5",), False),
        ((), (), True),
        ((), ("a",), False),
    ],
)
def test_what_is_shown_is_what_is_printed(printed, lines, same):
    """Red when a wrong digit passes, or an ellipsis of a line swallows the lines after it."""
    assert matches(printed, lines) is same


def test_commands_share_a_shell_and_its_last_exit_code(tmp_path):
    """Red when `echo $?` on a page shows the code of the checker, or stderr is taken for output."""
    commands = [Shown(line, ()) for line in ("echo a; echo b >&2", "(exit 5)", "echo $?", "true", "pwd")]
    assert run(commands, tmp_path) == [("a",), (), ("5",), (), (str(tmp_path),)]


def test_a_page_that_is_wrong_is_found_and_written(tmp_path, monkeypatch):
    """Red when a page that shows what no command prints passes, or writing it changes what is right."""
    page = tmp_path / "page.md"
    page.write_text(
        "Text.\n\n```console\n$ echo one\none\n$ echo two\n2\n```\n\n    $ not run\n\n```console\n$ true\n```\n"
    )
    monkeypatch.setattr(shown, "ROOT", tmp_path)
    text, wrong = shown.checked(page)
    assert wrong == ["page.md: `echo two` prints\ntwo"]
    assert text == page.read_text().replace("2\n", "two\n")
    page.write_text(text)
    assert shown.checked(page) == (text, [])
