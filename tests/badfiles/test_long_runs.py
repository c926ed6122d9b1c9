"""The figures of the long runs in docs/reliability.md are those of their artifacts."""

from tests.endurance import table


def test_the_figures_are_current():
    """Red when a long run was recorded and the page says what was before: run python -m tests.endurance.table."""
    text = table.PAGE.read_text()
    assert table.page(text) == text
