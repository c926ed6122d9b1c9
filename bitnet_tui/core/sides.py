"""Opening what a side of a comparison names: our own engine, a recording, a base file, a peer.

    with open_checkpoints([side], {}, {}) as (file,):
        header = read_header(side, file)                # at once: what is wrong is told before any load
        opened = open_side(side, file, "exact-int8", 512, {"mesh": 2})

Part of `core.session`; imported in workers only.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitnet_engine.errors import FormatError, SettingError
from bitnet_engine.numerics import CACHE_TYPES
from bitnet_parity.sources import LogitSource, Side, TokenizerSource
from bitnet_tui.core import placing

if TYPE_CHECKING:
    from bitnet_engine.config import Config
    from bitnet_engine.formats import Checkpoint
    from bitnet_engine.model import Model
    from bitnet_parity.recorded import Recording
    from bitnet_parity.token_corpus import TokenCorpus

DEFAULT_CONTEXT = 512


@dataclass(frozen=True)
class Header:
    """What is known of a side before it is loaded; None where the side does not say."""

    config: "Config | None" = None
    max_positions: int | None = None
    context: int | None = None
    """Tokens a window that the side was recorded with."""


@dataclass(frozen=True)
class Opened:
    """A side that runs. A base file has no tokenizer and brings its text as ids."""

    source: LogitSource
    description: dict[str, Any]
    tokenizer: TokenizerSource | None
    replicas: tuple[LogitSource, ...] = ()
    """The source again, on other devices."""

    def answering(self, count: int) -> list[LogitSource]:
        """Return `count` sources to be asked at once: what is no model of ours answers one after the other."""
        from bitnet_parity.fan_out import OneAtATime

        if count == 1 or self.replicas:
            return [self.source, *self.replicas]
        return [OneAtATime(self.source)] * count

    def corpus(self, bos: int | None) -> "TokenCorpus | None":
        """Return the text that the side brings, its windows opening with `bos`; None where it brings none."""
        from bitnet_parity.kld_base import KldBase

        return self.source.corpus(bos) if isinstance(self.source, KldBase) else None


@contextmanager
def open_checkpoints(
    named: Sequence[Side], shared: Mapping[str, Any], own: Mapping[str, Any]
) -> "Iterator[list[Checkpoint | None]]":
    """Open the files of the sides that are models of ours, None for the others.

    `shared` is how to read a file in what it does not state, `own` the second side's, as `open_checkpoint` takes them.
    Two models are opened as a pair: the one can prove the layout of the other.
    """
    import bitnet_engine as engine

    if len(named) == 2 and all(side.kind == "model" for side in named):
        second = {f"candidate_{name}": value for name, value in own.items()}
        with engine.open_pair(named[0].path, named[1].path, **shared, **second) as pair:
            yield list(pair)
        return
    readings = [dict(shared), {**shared, **{name: value for name, value in own.items() if value is not None}}]
    with ExitStack() as stack:
        yield [
            stack.enter_context(engine.open_checkpoint(side.path, **reading)) if side.kind == "model" else None
            for side, reading in zip(named, readings, strict=False)
        ]


def read_header(side: Side, checkpoint: "Checkpoint | None") -> Header:
    """Read what is needed before any weight. Raises BitnetError where the side cannot be used."""
    from bitnet_engine.config import Config
    from bitnet_parity.kld_base import KldBase

    if checkpoint is not None:
        config = Config.from_checkpoint(checkpoint)
        return Header(config, config.max_positions)
    if side.kind == "recorded":
        context = _recording(side).index["settings"]["context"]
        return Header(context=context, max_positions=context)
    if side.kind == "kld":
        context = KldBase.open(Path(side.path)).context
        return Header(context=context, max_positions=context)
    return Header()


def window(asked: int | None, headers: list[Header]) -> int:
    """Return the tokens a window: what was asked for, else what was recorded, else 512, within every side's positions.

    Raises:
        SettingError: more, or fewer, than a side can have.
    """
    most = min((header.max_positions for header in headers if header.max_positions is not None), default=2**31 - 1)
    if asked is not None and not 2 <= asked <= most:
        raise SettingError(f"--context {asked} is out of range; 2 to {most} positions are allowed for this model.")
    recorded = [header.context for header in headers if header.context is not None]
    if asked is None and recorded and recorded[0] > most:
        raise SettingError(f"windows of {recorded[0]} tokens were recorded; the other side takes up to {most}.")
    return asked or (min(recorded) if recorded else min(DEFAULT_CONTEXT, most))


def open_side(
    side: Side, checkpoint: "Checkpoint | None", numerics: str, context: int, request: dict[str, Any]
) -> Opened:
    """Load a side, a model from its open `checkpoint`. `numerics` are for our own engine; others compute as they do.

    The request says on which devices a model is run.

    Raises:
        BitnetError: it cannot be loaded, or what it needs is not installed.
    """
    if checkpoint is not None:
        (model, *replicas), description = placing.placed(request, lambda: load_model(checkpoint, numerics))
        return Opened(model, description, model.tokenizer, tuple(replicas))
    openers = {"recorded": _recorded, "kld": _kld}
    return openers[side.kind](side) if side.kind in openers else _peer(side, context)


def load_model(
    checkpoint: "Checkpoint", numerics: str, cache_type: str = CACHE_TYPES[0]
) -> "tuple[Model, dict[str, Any]]":
    """Load a model; return it with what a report says of it."""
    from bitnet_engine.loading import load_checkpoint

    side = Side("model", str(checkpoint.path))
    model, sha256 = load_checkpoint(checkpoint, numerics, cache_type), checkpoint.sha256()
    if model.tokenizer.vocab_size > model.config.vocab:
        raise FormatError(
            f"{side}: the tokenizer has {model.tokenizer.vocab_size} ids and the embedding {model.config.vocab} rows. "
            f"They are not of one model: copy the tokenizer that it came with."
        )
    tokenizer = {"fingerprint": model.tokenizer.fingerprint(), "sha256": model.tokenizer.digest()}
    description = _description(side, sha256, model.numerics.value, asdict(model.config), tokenizer)
    return model, description | {"reading": checkpoint.reading.to_json()}


def compile_scoring(sources: Iterable[object], context: int) -> None:
    """Compile what scoring a whole window runs, of those sources that are models of ours."""
    from bitnet_engine.model import Model

    for source in sources:
        if isinstance(source, Model):
            source.compile_scoring(context)


def _recorded(side: Side) -> Opened:
    recording = _recording(side)
    model = recording.index["model"]
    description = _description(
        side, recording.sha256(), f"recorded {model['numerics']}", model["config"], model["tokenizer"]
    )
    made = {name: recording.index.get(name) for name in ("stamp", "settings", "corpus")}
    description |= {"reading": model.get("reading", {}), "recorded": made}
    return Opened(recording, description, recording.tokenizer)


def _recording(side: Side) -> "Recording":
    """Open a recording that says of its model and its windows what `record` writes."""
    from bitnet_parity.recorded import INDEX, Recording

    recording = Recording.open(Path(side.path))
    model, settings = recording.index.get("model"), recording.index.get("settings")
    described = isinstance(model, dict) and {"numerics", "config", "tokenizer"} <= model.keys()
    if not (described and isinstance(settings, dict) and type(settings.get("context")) is int):
        raise FormatError(f"{side.path}/{INDEX}: lacks the model or the settings it was recorded with; record again")
    return recording


def _kld(side: Side) -> Opened:
    from bitnet_parity.kld_base import PRECISION, KldBase

    base = KldBase.open(Path(side.path))
    return Opened(base, {**_description(side, base.sha256(), "llama.cpp's", {}, None), "precision": PRECISION}, None)


def _peer(side: Side, context: int) -> Opened:
    import bitnet_engine as engine
    from bitnet_parity.peers import open_peer

    with engine.open_checkpoint(side.path) as checkpoint:
        sha256 = checkpoint.sha256()
    peer = open_peer(side, context=context)
    if context > peer.max_positions:
        raise SettingError(f"{side}: windows of {context} tokens; the model has {peer.max_positions} positions.")
    return Opened(peer, _description(side, sha256, peer.numerics, {}, None), peer.tokenizer)


def _description(
    side: Side, sha256: str, numerics: str, config: dict[str, Any], tokenizer: dict[str, Any] | None
) -> dict[str, Any]:
    path = str(side).encode("utf-8", "backslashreplace").decode()
    fields = {"path": path, "sha256": sha256, "config": config, "numerics": numerics, "tokenizer": tokenizer}
    return {**fields, "reading": {}}


def stamp(*opened: Opened) -> dict[str, Any]:
    """Return the stamp of a computation by these sides, all but its run's id."""
    import bitnet_engine as engine

    names = list(dict.fromkeys(side.description["numerics"] for side in opened))
    return engine.stamp(numerics=" against ".join(names), **placing.facts([side.source for side in opened]))
