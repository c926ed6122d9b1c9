"""What the fuzzers feed: each target takes bytes and must answer, or refuse with an error of ours, and nothing else.

    TARGETS["gguf"](data)

Shared by the property tests (a few hundred inputs of a known shape) and the long run (tests/fuzz/run.py).
"""

import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import bitnet_parity as parity
from bitnet_engine.config import Config
from bitnet_engine.errors import BitnetError
from bitnet_engine.formats import MetadataArray, open_checkpoint
from bitnet_engine.inspection import inspect, tensor_stats
from bitnet_engine.scanning import scan_findings
from bitnet_engine.tokenizer import load_tokenizer
from bitnet_tui.core.events import decode_all, dumps
from bitnet_tui.core.parity_view import ParityView
from bitnet_tui.core.themes import load_themes
from tests.badfiles.builders import config, entry, safetensors_file
from tests.badfiles.graph_cases import model_folder

TEXT = "a b 12 é\n\x00 <x>"


def checkpoint(data: bytes, name: str) -> bool:
    """Do all that reading a model file allows; return whether it was accepted."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        (path.parent / "config.json").write_text(json.dumps(config()))
        with suppress(BitnetError):
            _read_all(path)
            return True
    return False


def _read_all(path: Path) -> None:
    dumps(inspect(path).to_json())
    with open_checkpoint(path) as opened:
        for value in opened.metadata.values():
            if isinstance(value, MetadataArray):
                value.tolist()
        for name in opened.tensors:
            opened.read_dense(name)
            tensor_stats(opened, name)
        scan_findings(opened)


def tokenizer(path: Path) -> None:
    """Build a model's config and tokenizer, and use every method of the latter."""
    with suppress(BitnetError), open_checkpoint(path) as opened:
        Config.from_checkpoint(opened)
        made = load_tokenizer(opened)
        made.fingerprint(), made.digest()
        for token in (ids := made.encode(TEXT)):
            made.piece(token)
        made.decode(ids)


def folder(**files: bytes) -> None:
    """Give files to the tokenizer of a folder whose weights are sound; named as for `model_folder`."""
    with tempfile.TemporaryDirectory() as place:
        for name, data in model_folder(**files).items():
            (Path(place) / name).write_bytes(data)
        tokenizer(Path(place))


def config_json(data: bytes) -> None:
    """Give bytes to the reader of config.json, header and graph."""
    with tempfile.TemporaryDirectory() as place:
        weights = safetensors_file({"model.embed_tokens.weight": entry("F32", [4, 8], 0, 128)}, bytes(128))
        (Path(place) / "model.safetensors").write_bytes(weights)
        (Path(place) / "config.json").write_bytes(data)
        with suppress(BitnetError):
            dumps(inspect(place).to_json())
        tokenizer(Path(place))


def gguf_tokenizer(data: bytes) -> None:
    """Give a whole GGUF file to the config and the tokenizer."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "model.gguf"
        path.write_bytes(data)
        tokenizer(path)


def events(data: bytes) -> None:
    """Replay a recorded run as the Parity screen does."""
    view = ParityView()
    for event in decode_all(data.split(b"\n")):
        view.feed(event)
    view.finish()
    view.funnel(), view.why(), view.counts(), view.worst(), view.first(), view.summary(), view.delta_nll
    for index in range(len(view.tokens)):
        view.rank_rows(index), view.near_tie(index), view.status(index)


def theme(data: bytes) -> None:
    """Load a folder of one theme."""
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "mine.toml").write_bytes(data)
        load_themes([Path(place)])


def report(data: bytes) -> None:
    """Load a report and write it again."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "report.json"
        path.write_bytes(data)
        with suppress(BitnetError):
            dumps(parity.Report.load(path).to_json())


TARGETS: dict[str, Callable[[bytes], object]] = {
    "gguf": lambda data: checkpoint(data, "model.gguf"),
    "safetensors": lambda data: checkpoint(data, "model.safetensors"),
    "config": config_json,
    "tokenizer-json": lambda data: folder(tokenizer_json=data),
    "tokenizer-model": lambda data: folder(tokenizer_model=data),
    "gguf-tokenizer": gguf_tokenizer,
    "events": events,
    "theme": theme,
    "report": report,
}
