"""Other engines as sources: transformers (the [hf] extra) and llama.cpp through llama-cpp-python (the [llama] extra).

    peer = open_peer(Side("hf", "path/to/folder"), context=512)
    peer.logits(peer.tokenizer.encode("The people of"))

Each brings its own tokenizer, and computes as it does by default: nothing of this project takes part. A peer that is
not installed is one line; one that fails is one line with its last words. Knows no report.
"""

import importlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from bitnet_engine.errors import BitnetError
from bitnet_parity import hf_modules, llama_nodes
from bitnet_parity.hf_modules import End, See
from bitnet_parity.sources import LogitSource, Side, TokenizerSource

LAST_LINES = 5
_PACKAGES = {"hf": "transformers", "llama": "llama_cpp"}


class Peer(LogitSource, Protocol):
    """A source that brings its tokenizer, says how many positions it has, and what it computes with."""

    @property
    def tokenizer(self) -> TokenizerSource:
        """The peer's own."""
        ...

    @property
    def max_positions(self) -> int:
        """Ids a window may have."""
        ...

    @property
    def numerics(self) -> str:
        """The engine, its version and its number type, for the stamp."""
        ...


def open_peer(side: Side, *, context: int) -> Peer:
    """Load a model into another engine, for windows of at most `context` ids.

    Raises:
        BitnetError: the engine is not installed, or cannot load the model.
    """
    package = _imported(side)
    kinds = {"hf": Transformers, "llama": LlamaCpp}
    try:
        return kinds[side.kind](side, package, context)
    except BitnetError:
        raise
    except Exception as error:
        raise failed(side, "cannot load it", error) from error


def failed(side: Side, what: str, error: Exception, logged: Iterable[str] = ()) -> BitnetError:
    """Return the error of a peer that failed: its type and the last lines it said, those of its log first."""
    spoken = [*logged, *str(error).splitlines()]
    lines = [line.strip() for line in spoken if line.strip()][-LAST_LINES:]
    said = " | ".join(lines) or "it said nothing"
    return BitnetError(f"{side}: {_PACKAGES[side.kind]} {what}: {type(error).__name__}: {said}")


def _imported(side: Side) -> Any:
    name = _PACKAGES[side.kind]
    try:
        if side.kind == "hf":
            # transformers unpacks BitNet's weights in a compiled function, and a machine may have no compiler.
            os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
            importlib.import_module("torch")
        return importlib.import_module(name)
    except ImportError as error:
        raise BitnetError(
            f"{side}: {error.name or name} is not installed; pip install 'bitnet-tui[{side.kind}]' (or name the path "
            f"without '{side.kind}:' to run it with this engine)"
        ) from error


class Transformers:
    """A causal language model of transformers, in the number type that its folder names."""

    def __init__(self, side: Side, package: Any, context: int) -> None:  # noqa: ARG002 - a peer's common signature
        self._side, self._torch = side, importlib.import_module("torch")
        # A folder that asks to run its own code is refused: remote code stays off, which is the default.
        self._model = package.AutoModelForCausalLM.from_pretrained(
            side.path, dtype="auto", local_files_only=True
        ).eval()
        self.tokenizer = TransformersTokenizer(package.AutoTokenizer.from_pretrained(side.path, local_files_only=True))
        self.max_positions: int = self._model.config.max_position_embeddings
        self.numerics = f"transformers {package.__version__}, {str(self._model.dtype).removeprefix('torch.')}"

    @property
    def name(self) -> str:
        """The side, as it was named."""
        return str(self._side)

    @property
    def layers(self) -> int:
        """How many blocks the model has."""
        return self._model.config.num_hidden_layers

    def evaluate(self, tokens: Sequence[int], wanted: Callable[[str, End], bool], see: See) -> None:
        """Run `tokens` and hand the ends of modules that are `wanted` to `see`: module, end, float32 [seq, …].

        Raises:
            BitnetError: the model fails, or its attention cannot be watched.
        """
        try:
            hf_modules.evaluate(self._model, tokens, wanted, see)
        except Exception as error:
            raise failed(self._side, "failed", error) from error

    def logits(self, tokens: Sequence[int]) -> np.ndarray:
        """Return float32 [seq, vocab]. Raises BitnetError where the model fails."""
        try:
            with self._torch.inference_mode():
                found = self._model(self._torch.tensor([list(tokens)])).logits[0].float()
        except Exception as error:
            raise failed(self._side, "failed", error) from error
        return found.cpu().numpy()


class TransformersTokenizer:
    """A tokenizer of transformers."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        framed, bare = backend("a").input_ids, backend("a", add_special_tokens=False).input_ids
        # What it puts before a text, rather than a name in a config, is the BOS.
        self.bos: int | None = framed[0] if framed != bare else None

    @property
    def vocab_size(self) -> int:
        """Number of ids, added ones included."""
        return len(self._backend)

    def encode(self, text: str, *, bos: bool = True) -> list[int]:
        """Return the ids of `text`, after BOS where there is one and it is asked for."""
        ids = self._backend(text, add_special_tokens=False).input_ids
        return [self.bos, *ids] if bos and self.bos is not None else ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids`."""
        return self._backend.decode(list(ids), clean_up_tokenization_spaces=False)

    def piece(self, token: int) -> str:
        """Return the text of one id."""
        return self.decode([token])


class LlamaCpp:
    """A GGUF file in llama.cpp, on its default settings, a window in one batch."""

    def __init__(self, side: Side, package: Any, context: int) -> None:
        self._side, self._log = side, _LlamaLog(package)
        window = dict.fromkeys(("n_ctx", "n_batch", "n_ubatch"), context)
        try:
            self._model = package.Llama(model_path=side.path, **window, logits_all=True, verbose=False)
        except Exception as error:
            raise failed(side, "cannot load it", error, self._log.lines) from error
        self.tokenizer = LlamaTokenizer(self._model)
        self.max_positions = context
        self.numerics = f"llama-cpp-python {package.__version__}"

    def logits(self, tokens: Sequence[int]) -> np.ndarray:
        """Return float32 [seq, vocab]. Raises BitnetError where llama.cpp fails."""
        try:
            self._model.reset()
            self._model.eval(list(tokens))
        except Exception as error:
            raise failed(self._side, "failed", error, self._log.lines) from error
        # A copy: the next window overwrites the buffer.
        return np.array(self._model.scores[: len(tokens)], np.float32)

    @property
    def name(self) -> str:
        """The side, as it was named."""
        return str(self._side)

    @property
    def paired_head_dim(self) -> int | None:
        """Features of a head, where the file's graph rotates neighbours (docs/formats.md §2.11); else None."""
        metadata = self._model.metadata
        if metadata.get("general.architecture") != "llama":
            return None
        return self._model.n_embd() // int(metadata["llama.attention.head_count"])

    def evaluate(self, tokens: Sequence[int], see: Callable[[str, str, np.ndarray], object]) -> None:
        """Run `tokens` and hand every node of the graph to `see`: its name, its operation, float32 [seq, …].

        Raises:
            BitnetError: llama.cpp fails, or a node cannot be read.
        """
        try:
            llama_nodes.evaluate(self._model, tokens, see)
        except Exception as error:
            raise failed(self._side, "failed", error, self._log.lines) from error


class _LlamaLog:
    """The last lines of llama.cpp's log: why a file cannot be loaded is there, and in no exception."""

    def __init__(self, package: Any) -> None:
        self.lines: deque[str] = deque(maxlen=LAST_LINES)
        # Kept: C calls it for as long as the process lives.
        self._hear = package.llama_log_callback(self._heard)
        package.llama_log_set(self._hear, None)

    def _heard(self, _level: int, text: bytes, _data: Any) -> None:
        # Of every level: their numbers have changed between versions, and an error is what comes last.
        self.lines.append(text.decode(errors="replace"))


class LlamaTokenizer:
    """The tokenizer that llama.cpp builds from a GGUF file."""

    def __init__(self, model: Any) -> None:
        self._model = model
        framed, bare = model.tokenize(b"a", add_bos=True, special=True), self._bare("a")
        self.bos: int | None = framed[0] if framed != bare else None

    @property
    def vocab_size(self) -> int:
        """Number of ids."""
        return self._model.n_vocab()

    def encode(self, text: str, *, bos: bool = True) -> list[int]:
        """Return the ids of `text`, after BOS where there is one and it is asked for."""
        ids = self._bare(text)
        return [self.bos, *ids] if bos and self.bos is not None else ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids`; part of a character shows as U+FFFD."""
        return self._model.detokenize(list(ids), special=True).decode(errors="replace")

    def piece(self, token: int) -> str:
        """Return the text of one id."""
        return self.decode([token])

    def _bare(self, text: str) -> list[int]:
        return self._model.tokenize(text.encode(), add_bos=False, special=True)
