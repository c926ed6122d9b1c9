"""Making a recording: every window of a corpus through one source, each written before the next is computed.

    for item in record(model, tokenizer, corpus, folder, context=512, max_tokens=None, facts={}):
        ...                                             # Plan, then a RecordedWindow each, the folder at the end

Knows no engine; the layout is `recorded`'s.
"""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitnet_engine.errors import CorpusError
from bitnet_parity.comparison import limited
from bitnet_parity.corpus import Corpus, windows
from bitnet_parity.fan_out import in_order
from bitnet_parity.recorded import Recorder
from bitnet_parity.rows import Plan
from bitnet_parity.scoring import EncodedDocument
from bitnet_parity.sources import LogitSource, TokenizerSource


@dataclass(frozen=True)
class RecordedWindow:
    """A window that was written: its document, its place among all windows from 1, how many there are."""

    document: str
    index: int
    count: int


def record(
    source: LogitSource,
    tokenizer: TokenizerSource,
    corpus: Corpus,
    folder: Path,
    *,
    context: int,
    max_tokens: int | None,
    facts: Mapping[str, Any],
    replicas: Sequence[LogitSource] = (),
) -> Iterator[Plan | RecordedWindow]:
    """Record the logits of `source` on `corpus` in `folder`, which appears when all of them are written.

    `replicas` are the source again, on other devices: windows go to whichever is free.

    Raises:
        CorpusError: the corpus holds no token to score.
        StorageError: the folder is in use, or the disk is full.
    """
    context_only = int(tokenizer.bos is None)
    with Recorder(folder, tokenizer, facts) as recorder:
        encoded = []
        for document in corpus.documents():
            ids = tokenizer.encode(document.text, bos=False)
            recorder.encoded(document.text, ids)
            encoded.append(EncodedDocument(document.name, array("i", ids), context_only))
        documents = limited(encoded, max_tokens)
        if not documents:
            raise CorpusError(f"{corpus.path}: no token can be scored; a document needs one after its beginning")
        yield Plan(len(documents), sum(document.tokens for document in documents))
        paths = [(d.name, p) for d in documents for p in windows(d.ids, bos=tokenizer.bos, context=context)]
        answers = in_order((path for _, path in paths), [each.logits for each in (source, *replicas)])
        for index, ((name, path), logits) in enumerate(zip(paths, answers, strict=True), 1):
            recorder.add(name, path, logits)
            del logits  # or they would wait in memory for those of the next window
            yield RecordedWindow(name, index, len(paths))
