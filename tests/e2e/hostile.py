"""Payloads, where a stranger may put them, and what a terminal would obey of what was written in the end.

    left_over(done.stdout)                    # [] where nothing of a payload got through
    hostile(report)                           # the same JSON, its texts payloads
    write_model(folder), write_runs(folder, model), write_pair(folder)

Knows no screen and no command.
"""

import re
from pathlib import Path

import orjson
from tokenizers.pre_tokenizers import ByteLevel

from tests.badfiles.builders import Tensor, gguf_file, string, strings
from tests.e2e.terminal import ROOT
from tests.engine import tiny

CORPUS = (
    *(
        "\x1b[3J",
        "\x1b[31mred",
        "\x1b]0;title\x07",
        "\x1b]52;p;UFdO\x07",
        "\x1b]8;;http://x\x1b\\",
        "\x1bP1$q\x1b\\",
        "\x1bc",
    ),
    *("\x9b31m", "\x9d0;t\x9c", "\x90q", "\x07bell", "back\x08\x08", "\x7fdel", "cr\rover", "\x0eshift", "tab\tstop"),
    *("\u202egnp.exe", "\u2066iso\u2069", "\u200bzero", "\ufeffbom", "\u2028line", "\U000e0041tag", "\u0301mark"),
    *(
        "[/nope]",
        "[@click=app.quit]x[/]",
        "[bold red]",
        "{{ 7*7 }}",
        "{% x %}",
        "%1000000000d",
        "日本語",
        "👩‍👩‍👧",
        "a" * 300,
    ),
)
"""Payloads; the last few are only odd."""

OURS = re.compile(
    rb"\x1b\[(?:(?:[0-9]|2[0-9]|[34]8;2;\d+;\d+;\d+)(?:;|(?=m)))*m"  # styles: numbers, and colours as three bytes
    rb"|\x1b\[\d+;\d+H"  # where a piece of a line goes
    rb"|\x1b\[\?\d+(?:;\d+)*[hl]|\x1b\[\?\d+\$p|\x1b\[[<>=]\d*u|\x1b\[\?u"  # modes, asked for and given back
    rb"|\x1b\[\d+;\d+;\d+t|\x1b\[\d* q"
    rb"|\x1b\]22;[a-z-]+\x07|\x1b\]52;c;[A-Za-z0-9+/=]*\x07"  # the mouse's shape; what `y` copies, in base64
)
UNSEEN = "\u061c\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u2060\ufeff"
"""Beside bidi controls and tags: characters without width, and separators of lines."""


def left_over(written: bytes) -> list[str]:
    """Return what a terminal would obey, or hide, in what was written beside our own sequences."""
    text = OURS.sub(b"", written).decode("utf-8")
    odd = lambda c: (ord(c) < 32 and c not in "\r\n") or 0x7F <= ord(c) < 0xA0 or c in UNSEEN  # noqa: E731
    hidden = lambda c: "\u202a" <= c <= "\u202e" or "\u2066" <= c <= "\u2069" or "\U000e0000" <= c <= "\U000e007f"  # noqa: E731
    return [repr(text[max(0, at - 20) : at + 20]) for at, c in enumerate(text) if odd(c) or hidden(c)]


def payload(number: int) -> str:
    return CORPUS[number % len(CORPUS)]


KEPT = ("schema", "schema_version", "kind", "unit", "better", "status", "verdict", "event", "id")
COMPUTED = ("sha256", "kernel_config_sha256", "numerics", "head_type", "i2s_layout", "i2s_basis")
COMPUTED += ("type", "reference_type", "candidate_type")
"""Words of our own, not a file's."""


def hostile(value, number=0):
    """Return JSON with every text that a file decides turned into a payload."""
    if isinstance(value, dict):
        own = (*KEPT, *COMPUTED)
        return {key: item if key in own else hostile(item, number + i) for i, (key, item) in enumerate(value.items())}
    if isinstance(value, list):
        return [hostile(item, number + i) for i, item in enumerate(value)]
    return payload(number + len(value)) if isinstance(value, str) else value


def write_model(folder: Path) -> Path:
    """Write a GGUF whose keys, values, tokens and tensors are the corpus; its name is a payload too."""
    pairs = [("general.architecture", string("bitnet-b1.58")), ("tokenizer.ggml.tokens", strings(list(CORPUS)))]
    pairs += [(f"general.{i}.{text[:40]}", string(text)) for i, text in enumerate(CORPUS)]
    pairs += [("tokenizer.chat_template", string("\n".join(CORPUS))), ("tokenizer.ggml.model", string(CORPUS[0]))]
    tensors = [Tensor(f"{text[:50]}{i}.weight", 0, (8,), 32 * i) for i, text in enumerate(CORPUS)]
    path = folder / "m\x1b[3J\u202e.gguf"
    path.write_bytes(gguf_file(pairs, tensors, bytes(32 * len(CORPUS))))
    return path


def write_runs(folder: Path, model: Path) -> None:
    """Record two parity runs and a benchmark, every text of which is a payload."""
    lines = (ROOT / "samples" / "demo" / "events.jsonl").read_bytes().splitlines()
    events = [orjson.loads(line) for line in lines]
    token = [event for event in events if event["event"] == "token"][: 2 * len(CORPUS)]
    rest = [event for event in events if event["event"] in ("stage", "gate", "run.end", "warn")]
    sides = {"reference": str(model), "candidate": str(model), "profile": payload(3)}
    head = {**events[0], **sides, "id": payload(1), "request": {"kind": "parity", **sides}}
    for number, id in enumerate(("first", "second")):
        bad = [{**hostile(one, i + number), "tau_b": one["tau_b"] if number else 0.1} for i, one in enumerate(token)]
        write_run(folder / id, [head, *(hostile(one, number) for one in rest[:-1]), *bad, rest[-1]])
    report = hostile(orjson.loads((ROOT / "docs" / "screens" / "bench.json").read_bytes()))
    for one in report["measures"]:
        one["limit"] = {"what": payload(one["threads"]), "value": 1.0}
        one["samples"][0]["disturbed"] = list(CORPUS[:4])
    start = {"event": "run.start", "kind": "bench", "id": payload(2), "path": str(model)}
    end = {"event": "run.end", "status": "done", "verdict": payload(5)}
    write_run(folder / "third", [start, {"event": "report", "report": report}, end])


def write_run(folder: Path, events: list[dict]) -> None:
    folder.mkdir(parents=True)
    (folder / "events.jsonl").write_bytes(b"".join(orjson.dumps(e, option=orjson.OPT_APPEND_NEWLINE) for e in events))


def write_pair(folder: Path) -> tuple[Path, Path]:
    """Write two models that run, of other weights: their paths and vocabularies are payloads, and so is their name."""
    folder = folder / "\x1b[31m\u202e"
    folder.mkdir()
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_bytes(orjson.dumps(_tokenizer()))
    sides = ((1, "ref\x9b31m"), (2, "cand\x1b[3J"))
    reference, candidate = (
        tiny.write_packed(tiny.plain_model(seed), folder / name, tokenizer, _name_or_path=payload(seed))
        for seed, name in sides
    )
    return reference, candidate


def _tokenizer() -> dict:
    """Return the sample's tokenizer, of the bytes alone, with the payloads as tokens of their own."""
    sample = orjson.loads((ROOT / "samples" / "nano" / "packed" / "tokenizer.json").read_bytes())
    letters = {letter: number for number, letter in enumerate(sorted(ByteLevel.alphabet()))}
    texts = [*CORPUS, *(f"spare{i}" for i in range(tiny.SIZES.vocab - len(letters) - len(CORPUS)))]
    kind = {**sample["added_tokens"][0], "special": False}
    added = [{**kind, "id": len(letters) + i, "content": text} for i, text in enumerate(texts)]
    model = {**sample["model"], "vocab": letters, "merges": []}
    return {**sample, "added_tokens": added, "post_processor": None, "model": model}


def write_corpus(folder: Path) -> Path:
    """Write two documents of payloads, under names that are payloads."""
    folder = folder / "text\x1b]0;t\x07"
    folder.mkdir()
    for number, name in enumerate(("a\u202e", "b\x1b[3J\x9b")):
        (folder / f"{name}.txt").write_text(" ".join(CORPUS[number:30]), encoding="utf-8", newline="")
    return folder
