"""The kinds of request that run one model for its own sake: a corpus scored, a text continued.

    for event in generate({"path": "model.gguf", "prompt": "The people of", ...}): ...

Part of `core.session`; imported in workers only.
"""

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import bitnet_engine as engine
import bitnet_parity as parity
from bitnet_engine.formats import Checkpoint
from bitnet_engine.model import Model
from bitnet_engine.sampling import compile_generation
from bitnet_tui.core import asking, placing, sides
from bitnet_tui.core.asking import Request
from bitnet_tui.core.events import Event
from bitnet_tui.core.steps import stage


def evaluate(request: Request) -> Iterator[Event]:
    """Score a corpus under one model. Raises BitnetError."""
    corpus = parity.load_corpus(asking.corpus_path(request))
    yield (begun := asking.start(request))
    loaded: list[Any] = []
    with asking.opened(request) as checkpoint:
        context = sides.window(request.get("context"), [sides.read_header(parity.Side("model", ""), checkpoint)])
        yield from stage("load model", partial(_placed, request, checkpoint), loaded)
    yield from asking.kernel_warning()
    (model, *replicas), description = loaded[0]
    yield from placing.narration([model])
    stamp = engine.stamp(id=begun["id"], numerics=model.numerics.value, **placing.facts([model]))
    yield from stage("compile", partial(sides.compile_scoring, [model, *replicas], context), [])
    settings = {"context": context, "max_tokens": request.get("max_tokens")}
    for item in parity.evaluate(model, model.tokenizer, corpus, replicas=replicas, **settings):
        if isinstance(item, parity.Evaluation):
            yield {"event": "report", "report": {**item.to_json(), "model": description, "stamp": stamp}}
        else:
            yield {"event": "plan" if isinstance(item, parity.Plan) else "document", **item.to_json()}


def generate(request: Request) -> Iterator[Event]:
    """Continue a prompt. Raises BitnetError."""
    yield (begun := asking.start(request))
    loaded: list[Any] = []
    with asking.opened(request) as checkpoint:
        yield from stage("load model", partial(_placed, request, checkpoint), loaded)
    yield from asking.kernel_warning()
    (model,), description = loaded[0]
    yield from placing.narration([model])
    names = ("temperature", "top_k", "top_p", "seed")
    sampler = engine.Sampler(**{name: request[name] for name in names})
    prompt = model.tokenizer.encode(request["prompt"])
    yield from stage("compile", lambda: compile_generation(model, prompt, request["max_new"]), [])
    since, tokens, pieces = time.monotonic(), [], []
    made = engine.generate(model, prompt, request["max_new"], sampler)
    for piece in engine.stream_text(model.tokenizer, _kept(made, tokens)):
        pieces.append(piece)
        yield {"event": "text", "text": piece}
    yield {
        "event": "report",
        "report": {
            "schema": "bitnet-tui/generation",
            "schema_version": 1,
            "model": description,
            "settings": {name: request[name] for name in (*names, "max_new")},
            "prompt": request["prompt"],
            "prompt_tokens": prompt,
            "text": "".join(pieces),
            "tokens": tokens,
            "seconds": time.monotonic() - since,
            "stamp": engine.stamp(
                id=begun["id"], numerics=model.numerics.value, cache=model.cache.value, **placing.facts([model])
            ),
        },
    }


def _placed(request: Request, checkpoint: Checkpoint) -> tuple[list[Model], dict[str, Any]]:
    kinds = asking.numerics(request), asking.cache_type(request)
    return placing.placed(request, lambda: sides.load_model(checkpoint, *kinds))


def _kept(tokens: Iterator[int], into: list[int]) -> Iterator[int]:
    for token in tokens:
        into.append(token)
        yield token
