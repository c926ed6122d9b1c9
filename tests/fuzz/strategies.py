"""Files of a known shape with something wrong in their structure: sound parts, hostile numbers, names and orders.

Bytes flipped at random rarely get past a magic; these get to the checks behind it.
"""

import json
import struct
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from tests.badfiles.builders import (
    Tensor,
    array_header,
    f32,
    gguf_head,
    safetensors_raw,
    string,
    strings,
    tensor_entry,
    text,
    u32,
)
from tests.badfiles.graph_cases import CONFIG, PAIRS
from tests.badfiles.other_cases import SHIPPED, SOUND_REPORT
from tests.badfiles.tokenizer_cases import SOUND

EXTREMES = (0, 1, 2, 7, 31, 32, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**61, 2**63 - 1, 2**63, 2**64 - 32)
counts = st.one_of(st.integers(0, 300), st.sampled_from([*EXTREMES, 2**64 - 1]))
names = st.one_of(
    st.sampled_from(["w", "token_embd.weight", "blk.0.attn_q.weight", "", "\x1b[2J", "é" * 99]), st.text()
)

values = st.one_of(
    st.integers(0, 2**32 - 1).map(u32),
    st.floats(width=32).map(f32),
    st.text(max_size=9).map(string),
    st.lists(st.text(max_size=4), max_size=5).map(strings),
    st.tuples(st.integers(0, 20), counts).map(lambda item: array_header(*item) + bytes(24)),
    st.tuples(st.integers(0, 20), st.binary(max_size=20)).map(lambda item: struct.pack("<I", item[0]) + item[1]),
)
tensors = st.builds(
    Tensor,
    names,
    st.one_of(st.integers(0, 45), counts.map(lambda count: count % 2**32)),
    st.lists(st.one_of(st.sampled_from([0, 1, 8, 128, 256]), counts), max_size=5).map(tuple),
    st.one_of(st.sampled_from([0, 32, 64, 96, 128]), counts),
)


@st.composite
def gguf_files(draw: st.DrawFn) -> bytes:
    """Draw a GGUF file: true or false counts, any pairs and tensors, an end that is cut or long."""
    pairs = draw(
        st.lists(st.tuples(st.one_of(st.sampled_from([*PAIRS, "general.alignment"]), names), values), max_size=5)
    )
    entries = draw(st.lists(tensors, max_size=4))
    header = gguf_head(
        draw(st.sampled_from([3, 3, 3, 2, 1, 4, 2**24])),
        draw(st.one_of(st.just(len(entries)), counts)),
        draw(st.one_of(st.just(len(pairs)), counts)),
    )
    header += b"".join(text(key.encode("utf-8", "replace")) + value for key, value in pairs)
    header += b"".join(tensor_entry(Tensor(_utf8(t.name), t.type_id, t.extents, t.offset)) for t in entries)
    return header + bytes(-len(header) % 32) + draw(st.binary(max_size=200))


def _utf8(name: str) -> str:
    return name.encode("utf-8", "replace").decode()


@st.composite
def gguf_models(draw: st.DrawFn) -> bytes:
    """Draw a GGUF whose graph and tokenizer are sound but for up to three values."""
    pairs: dict[str, bytes] = dict(PAIRS)
    for key in draw(st.lists(st.sampled_from(list(pairs)), max_size=3)):
        pairs[key] = draw(values)
    rows = Tensor("token_embd.weight", 0, draw(st.sampled_from([(8, 4), (8, 3), (8,), (), (8, 0)])), 0)
    header = gguf_head(3, 1, len(pairs)) + b"".join(text(key) + value for key, value in pairs.items())
    header += tensor_entry(rows)
    return header + bytes(-len(header) % 32) + bytes(128)


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**65), 2**65), st.floats(), st.text(max_size=6)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=5,
)
entries = st.fixed_dictionaries(
    {
        "dtype": st.one_of(st.sampled_from(["F32", "U8", "BF16", "F3", ""]), json_values),
        "shape": st.one_of(st.lists(counts, max_size=4), json_values),
        "data_offsets": st.one_of(st.tuples(counts, counts).map(list), json_values),
    }
)


@st.composite
def safetensors_files(draw: st.DrawFn) -> bytes:
    """Draw a SafeTensors file: entries of any kind under a true or false length."""
    header = draw(
        st.dictionaries(st.one_of(names, st.just("__metadata__")), st.one_of(entries, json_values), max_size=4)
    )
    data = json.dumps(header).encode("utf-8", "replace")
    return safetensors_raw(data, draw(st.binary(max_size=64)), length=draw(st.one_of(st.none(), counts)))


def mutated(sound: Any) -> st.SearchStrategy[bytes]:
    """Return JSON documents equal to `sound` but for up to three places, which hold anything or nothing."""
    places = _places(sound)

    def change(edits: list[tuple[tuple[Any, ...], Any]]) -> bytes:
        document = json.loads(json.dumps(sound))
        for place, value in edits:
            _set(document, place, value)
        return json.dumps(document).encode("utf-8", "replace")

    odd = st.one_of(json_values, st.sampled_from([*EXTREMES, -1, 1e300, "", [], {}]))
    return st.lists(st.tuples(st.sampled_from(places), odd), max_size=3).map(change)


def _places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, item in items for place in ((*here, key), *_places(item, (*here, key)))]


def _set(document: Any, place: tuple[Any, ...], value: Any) -> None:
    for key in place[:-1]:
        try:
            document = document[key]
        except (KeyError, IndexError, TypeError):
            return  # an earlier edit took the place away
    # An edit may have put a list where there was an object.
    fits = isinstance(document, list) and isinstance(place[-1], int) and place[-1] < len(document)
    if isinstance(document, dict) or fits:
        document[place[-1]] = value


KINDS = ("run.start", "stage", "plan", "gate", "token", "document", "warn", "report", "error", "run.end", "other")
FIELDS = [
    *("id", "index", "name", "status", "seconds", "tokens", "gate", "value", "limit", "detail", "text", "tau_b", "kl"),
    *("same_top", "token", "position", "margin", "nll_reference", "nll_candidate", "top_reference", "top_candidate"),
    *("message", "exit_code", "verdict", "reference", "candidate", "profile"),
]
tops = st.lists(st.one_of(st.tuples(counts, st.text(max_size=3), st.floats()).map(list), json_values), max_size=3)
events = st.builds(
    lambda kind, fields: {**fields, "event": kind},
    st.sampled_from(KINDS),
    st.dictionaries(
        st.sampled_from(FIELDS), st.one_of(json_values, tops, st.sampled_from(["belief", "PASS"])), max_size=6
    ),
)
streams = st.lists(events, max_size=6).map(lambda made: b"\n".join(json.dumps(event).encode() for event in made))

_LINES = SHIPPED.decode().splitlines()


@st.composite
def themes(draw: st.DrawFn) -> bytes:
    """Draw a theme in which lines are lost, doubled, or have another value."""
    lines = []
    for line in _LINES:
        kind = draw(st.sampled_from(["keep"] * 9 + ["drop", "twice", "value"]))
        odd = draw(st.sampled_from(["1", "true", '"x"', "[1]", "{}", '"#12345"', "'\x1b'", "nan", "1979-05-27"]))
        changed = f"{line.split('=')[0]}= {odd}" if "=" in line else line
        lines += {"keep": [line], "drop": [], "twice": [line, line], "value": [changed]}[kind]
    return "\n".join(lines).encode()


STRATEGIES: dict[str, Callable[[], st.SearchStrategy[bytes]]] = {
    "gguf": gguf_files,
    "safetensors": safetensors_files,
    "config": lambda: mutated(CONFIG),
    "tokenizer-json": lambda: mutated(SOUND),
    "tokenizer-model": lambda: st.binary(max_size=60),
    "gguf-tokenizer": gguf_models,
    "events": lambda: streams,
    "theme": themes,
    "report": lambda: mutated(SOUND_REPORT),
}
