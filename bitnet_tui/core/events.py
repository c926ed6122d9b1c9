"""The one stream that everything long is made of: a JSON object a line.

A worker prints events; the live screen, the plain display, `--export` and a stored run all read them.
Live is tail, history is replay, a test is a fixture file. Kinds that a reader does not know are ignored,
so an older program can show a newer run; a stream without `run.end` was interrupted.

| event | fields |
|---|---|
| `run.start` | schema, schema_version, id, kind (those of `session.run`), request, stamp |
| | parity: reference, candidate, profile; diff: reference, candidate; else: path |
| `stage` | name, status (start, done), seconds |
| `plan` | documents, tokens: how much is to be scored, known once the corpus is tokenised |
| `gate` | gate, status (PASS, FAIL, INCONCLUSIVE), value, limit, detail |
| `token` | index, document, position, token, text, kl, js, nll_reference, nll_candidate, delta_p, same_top, margin |
| | tau_b (exact where tau_b_error is 0), tau_b_error, tau_top, nmse, cosine, max_abs, overlap |
| | top_reference and top_candidate: [[id, text, logit], …], best first |
| `document` | name, tokens, nll_reference, nll_candidate (sums in nats); eval: nll |
| `stats` | tensor; ternary: neg, zero, pos, code3, scale, entropy, zeros, dead_rows, dead_columns |
| | dense: rms, min, max, nan, histogram |
| `tensor` | work (compare, write, verify, scan, record), name, index (from 1), count: progress |
| `bench` | engine, threads, case, round, seconds (of one operation), index (from 1), count, seconds_left: a sample |
| `text` | text: a piece of generated text |
| `warn` | message: what a person should know before the numbers |
| `report` | report: the finished artifact as an object |
| `error` | exit_code, message; traceback of the worker, where there is one |
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
    """Return `event` as one JSON line, newline included; otherwise as `dumps`."""
    return dumps(event)


def dumps(value: Any, *, indent: bool = False) -> bytes:
    """Return `value` as JSON with a final newline; NaN and infinity become null.

    Bytes of a path that are no UTF-8 (lone surrogates, to Python) are written as the text `\\udcff`.
    """
    option = orjson.OPT_APPEND_NEWLINE | (orjson.OPT_INDENT_2 if indent else 0)
    try:
        return orjson.dumps(value, option=option)
    except orjson.JSONEncodeError:
        return orjson.dumps(_spelled(value), option=option)


def _spelled(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_spelled(key): _spelled(item) for key, item in value.items()}
    return [_spelled(item) for item in value] if isinstance(value, (list, tuple)) else value


_LONG_LINE = 1 << 20
_MOST_VALUES = 1_000_000


def decode(line: bytes) -> Event | None:
    """Return the event on `line`, or None for a blank, torn or foreign line."""
    # A parsed value costs up to thirty times its bytes, and a run may be a stranger's.
    if len(line) > _LONG_LINE and line.count(b",") > _MOST_VALUES:
        return None
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
