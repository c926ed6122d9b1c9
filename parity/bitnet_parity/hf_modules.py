"""A model of transformers, watched module by module through torch's forward hooks.

    evaluate(model, tokens, wanted, see)        # see("model.layers.0.self_attn.q_proj", "output", float32 [seq, …])

What goes into a module and what comes out of it are its ends "input" and "output". What attention multiplies is no end
of a module: its "query" and "key" are seen in the function that transformers hands them to, which is wrapped while the
model runs. Nothing is computed otherwise than unwatched. Knows no name of a module.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any, Literal

import numpy as np

from bitnet_engine.errors import BitnetError

End = Literal["input", "output", "query", "key"]
See = Callable[[str, End, np.ndarray], object]


def evaluate(model: Any, tokens: Sequence[int], wanted: Callable[[str, End], bool], see: See) -> None:
    """Run `tokens` and hand `see` every end that is `wanted`, as it is computed.

    Raises:
        BitnetError: the model's attention is not one of those that transformers looks up by name.
        Exception: what the model or `see` raised.
    """
    torch = import_module("torch")  # of an extra, as transformers is: type checkers find them in some places only
    with ExitStack() as watched:
        for name, module in model.named_modules():
            if wanted(name, "input"):
                watched.enter_context(_hook(module.register_forward_pre_hook(_taker(name, see))))
            if wanted(name, "output"):
                watched.enter_context(_hook(module.register_forward_hook(_giver(name, see))))
        watched.enter_context(_attention(model, wanted, see))
        watched.enter_context(torch.inference_mode())
        # No cache, in which the keys of every layer would stay.
        model(torch.tensor([list(tokens)]), use_cache=False)


@contextmanager
def _hook(handle: Any) -> Iterator[None]:
    try:
        yield
    finally:
        handle.remove()


def _taker(name: str, see: See) -> Callable[..., None]:
    def seen(_: Any, given: tuple[Any, ...]) -> None:
        see(name, "input", _values(given[0]))

    return seen


def _giver(name: str, see: See) -> Callable[..., None]:
    def seen(_: Any, __: Any, result: Any) -> None:
        see(name, "output", _values(result))

    return seen


@contextmanager
def _attention(model: Any, wanted: Callable[[str, End], bool], see: See) -> Iterator[None]:
    """Wrap the function that the model's attention modules look up, in this process, until the end."""
    functions = import_module("transformers.modeling_utils").ALL_ATTENTION_FUNCTIONS
    kind = model.config._attn_implementation
    if kind not in functions:
        raise BitnetError(f"attention is computed as {kind!r}, which cannot be watched; {', '.join(functions)} can be")
    own, names = functions[kind], {id(module): name for name, module in model.named_modules()}

    def watched(module: Any, query: Any, key: Any, *rest: Any, **more: Any) -> Any:
        name = names.get(id(module), "")
        # [1, heads, seq, head_dim]
        if wanted(name, "query"):
            see(name, "query", _values(query.transpose(1, 2)))
        if wanted(name, "key"):
            see(name, "key", _values(key.transpose(1, 2)))
        return own(module, query, key, *rest, **more)

    functions[kind] = watched  # over transformers' own, which deleting this uncovers
    try:
        yield
    finally:
        del functions[kind]


def _values(tensor: Any) -> np.ndarray:
    """Return the one sequence of a batch, [seq, …], in float32; a copy, since what follows may change it in place."""
    return tensor[0].detach().float().cpu().contiguous().numpy().copy()
