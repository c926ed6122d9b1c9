"""A text short enough for a process to score in a second or two."""

import pytest


@pytest.fixture(scope="session")
def short_corpus(tmp_path_factory, samples):
    """Two documents of a few hundred tokens."""
    folder = tmp_path_factory.mktemp("corpus")
    for name in ("shakespeare-cymbeline-022.txt", "shakespeare-the-merry-wives-of-windsor-019.txt"):
        (folder / name).write_bytes((samples / "eval" / name).read_bytes())
    return folder
