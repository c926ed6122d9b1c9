"""Memory of `parity` over a long corpus: documents of 512 tokens, a vocabulary of 128 256, and how little it grows.

    python docs/measure_corpus_memory.py FOLDER [--documents 1000] [--minutes 25]

Writes docs/measurements/corpus-memory.json: the resident set after each document, beside the limit of 5 % over what it
is after the first 20. The two sides are one small random model in two numerics, so that tokens differ and failures are
logged as in a run that has something to say. A machine that cannot score all documents in so many minutes of processor
time stops there; the artifact says how many it scored and how long all would take. Exits 1 where the limit is passed.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson

import bitnet_engine as engine
import bitnet_parity as parity
from bitnet_engine.synthetic import Shape, write_synthetic

ARTIFACT = Path(__file__).parent / "measurements" / "corpus-memory.json"
TOKENS = 512
"""Of a document; one window, which BOS opens."""
# Of as many positions as a window has: the engine pads to a power of 4, or to these.
SHAPE = Shape(layers=1, embed=128, ffn=128, heads=4, kv_heads=2, head_dim=32, positions=1024)
SETTLED = 20
"""Documents after which nothing may grow: by then every shape is compiled and every buffer was held once."""
LIMIT = 0.05


def main() -> None:
    """Make the model and the text, compare, and write the artifact."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=25.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        path = Path(name) / "model.gguf"
        write_synthetic(path, engine.QuantType.I2_S, shape=SHAPE)
        sides = engine.load(path), engine.load(path, "float")
        corpus = _write_corpus(Path(name) / "text", sides[0].tokenizer, asked.documents)
        artifact = _artifact(_measured(sides, corpus, asked.documents, asked.minutes * 60), asked.documents)
    ARTIFACT.write_bytes(orjson.dumps(artifact, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    sys.exit(0 if artifact["within"] else f"grows by {100 * artifact['growth']:.1f} %, over {100 * LIMIT:g} %")


def _write_corpus(folder: Path, tokenizer: parity.TokenizerSource, documents: int) -> parity.Corpus:
    folder.mkdir()
    generator = np.random.default_rng(0)
    for i in range(documents):
        # Twice the tokens that are scored: ids that are written as text and read again may become fewer.
        ids = generator.integers(0, tokenizer.vocab_size - 256, 2 * TOKENS).tolist()
        (folder / f"{i:04}.txt").write_text(tokenizer.decode(ids))
    return parity.load_corpus(folder)


def _measured(sides: Any, corpus: parity.Corpus, documents: int, seconds: float) -> list[tuple[float, int]]:
    """Return processor seconds since the first token and the resident set in bytes, after each document."""
    found: list[tuple[float, int]] = []
    begun = 0.0
    for item in _stream(sides, corpus, documents):
        if isinstance(item, parity.Plan):
            begun = time.process_time()
        elif isinstance(item, parity.DocumentRow):
            found.append((time.process_time() - begun, _resident()))
            print(f"{len(found)} documents, {found[-1][0]:.0f} s, {found[-1][1] >> 20} MiB", file=sys.stderr)  # noqa: T201
            if found[-1][0] > seconds:
                break
    return found


def _stream(sides: Any, corpus: parity.Corpus, documents: int) -> Iterator[parity.Item]:
    reference, candidate = sides
    return parity.stream(
        reference=reference,
        candidate=candidate,
        reference_tokenizer=reference.tokenizer,
        candidate_tokenizer=candidate.tokenizer,
        corpus=corpus,
        gates=parity.Gates.profile("quantized"),
        context=TOKENS + 1,
        max_tokens=documents * TOKENS,
    )


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _artifact(found: list[tuple[float, int]], documents: int) -> dict[str, Any]:
    if len(found) <= SETTLED:
        sys.exit(f"{len(found)} documents in the time; over {SETTLED} are needed")
    settled, seconds = found[SETTLED - 1][1], found[-1][0]
    growth = max(resident for _, resident in found[SETTLED:]) / settled - 1
    return {
        "schema": "bitnet-tui/corpus-memory",
        "schema_version": 1,
        "vocabulary": SHAPE.vocab,
        "tokens_per_document": TOKENS,
        "documents_asked": documents,
        "documents": len(found),
        "processor_seconds": seconds,
        "processor_seconds_for_all": seconds / len(found) * documents,
        "resident_bytes_settled": settled,
        "growth": growth,
        "limit": LIMIT,
        "within": growth <= LIMIT,
        "resident_bytes": [resident for _, resident in found],
        "stamp": engine.stamp(),
    }


if __name__ == "__main__":
    main()
