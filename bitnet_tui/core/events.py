"""The one stream that everything long is made of: a JSON object a line.

A worker prints events; the live screen, the plain display, `--export` and a stored run all read them.
Live is tail, history is replay, a test is a fixture file. Kinds that a reader does not know are ignored,
so an older program can show a newer run; a stream without `run.end` was interrupted.

| event | fields |
|---|---|
| `run.start` | schema, schema_version, id, kind (parity, eval, generate, stats, diff, convert), request, stamp |
| | parity: reference, candidate, profile; diff: reference, candidate; else: path |
| `stage` | name, status (start, done), seconds |
| `plan` | documents, tokens: how much is to be scored, known once the corpus is tokenised |
| `gate` | gate, status (PASS, FAIL, INCONCLUSIVE), value, limit, detail |
| `token` | index, document, position, token, text, tau_b, kl, nll_reference, nll_candidate, same_top, margin |
| | top_reference and top_candidate: [[id, text, logit], …], best first |
| `document` | name, tokens, nll_reference, nll_candidate (sums in nats); eval: nll |
| `stats` | tensor; ternary: neg, zero, pos, code3, scale, entropy; dense: rms, min, max, nan |
| `tensor` | work (compare, write, verify), name, index (from 1), count: progress of diff and convert |
| `text` | text: a piece of generated text |
| `report` | report: the finished artifact as an object |
| `error` | exit_code, message |
| `run.end` | status (done, failed, cancelled), verdict |

A number that does not exist is null (JSON has no NaN): `tau_b` of a constant vector, say.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

SCHEMA = "bitnet-tui/events"
SCHEMA_VERSION = 1

Event = dict[str, Any]
"""One event: the field `event` names its kind, the table above its other fields."""


def encode(event: Event) -> bytes:
    """Return `event` as one JSON line, newline included. NaN and infinity become null."""
    return orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)


def decode(line: bytes) -> Event | None:
    """Return the event on `line`, or None for a blank, torn or foreign line."""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) and isinstance(value.get("event"), str) else None


def decode_all(lines: Iterable[bytes]) -> Iterator[Event]:
    """Yield the events of `lines`, leaving out what `decode` cannot read."""
    for line in lines:
        if (event := decode(line)) is not None:
            yield event
