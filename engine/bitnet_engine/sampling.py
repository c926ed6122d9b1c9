"""Text out of a model, one token at a time: greedy, or sampled with a seed.

    for token in generate(model, tokens, max_new=64, sampler=Sampler(temperature=0.8, seed=1)):
        print(model.tokenizer.piece(token), end="")

Sampling runs on the host in float64, so that one seed gives one text on every device that gives the same logits.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bitnet_engine.errors import BitnetError, SettingError
from bitnet_engine.model import Model
from bitnet_engine.tokenizer import Tokenizer

POSITIONS_STEP = 256


@dataclass(frozen=True)
class Sampler:
    """How the next token is chosen. Temperature 0 is greedy: the largest logit, the lowest id of equals."""

    temperature: float = 0.0
    top_k: int = 0
    """Keep only the k most probable tokens; 0 keeps all."""
    top_p: float = 1.0
    """Then keep the fewest tokens whose probabilities reach this sum."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.temperature >= 0 and self.top_k >= 0 and 0 < self.top_p <= 1):
            raise SettingError(
                f"Sampling settings are out of range: temperature {self.temperature} (0 or more), "
                f"top_k {self.top_k} (0 or more), top_p {self.top_p} (over 0, up to 1)."
            )

    def choose(self, logits: np.ndarray, random: np.random.Generator) -> int:
        """Return the next token for `logits` [vocab].

        Raises:
            BitnetError: the logits hold NaN, so that no token is likelier than another.
        """
        if np.isnan(logits).any():
            raise BitnetError("The model's logits hold NaN; no token can be chosen. `bitnet-tui info` may say why.")
        if self.temperature == 0:
            return int(np.argmax(logits))
        order = np.argsort(-logits, kind="stable")[: self.top_k or None]
        # The best is 0 before the division: a tiny temperature then makes zeros of the others, and no infinity.
        behind = logits[order].astype(np.float64)
        with np.errstate(over="ignore"):
            probabilities = np.exp((behind - behind[0]) / self.temperature)
        probabilities /= probabilities.sum()
        kept = int(np.searchsorted(np.cumsum(probabilities), self.top_p)) + 1 if self.top_p < 1 else len(order)
        nucleus = probabilities[:kept]
        return int(order[random.choice(len(nucleus), p=nucleus / nucleus.sum())])


def generate(model: Model, tokens: Sequence[int], max_new: int, sampler: Sampler = Sampler()) -> Iterator[int]:
    """Yield up to `max_new` tokens that follow `tokens`; end after the model's end-of-text token.

    Raises:
        SettingError: the prompt and `max_new` do not fit the model's positions.
    """
    positions = _positions(model, tokens, max_new)
    random = np.random.default_rng(sampler.seed)
    logits, cache = model.prefill(tokens, positions)
    for step in range(max_new):
        token = sampler.choose(np.asarray(logits), random)
        yield token
        if token == model.tokenizer.eos or step == max_new - 1:
            return
        logits, cache = model.decode(token, cache)


def compile_generation(model: Model, tokens: Sequence[int], max_new: int) -> None:
    """Compile what `generate` will run, so that its first token does not wait for it; raises as `generate`."""
    model.compile_generation(len(tokens), _positions(model, tokens, max_new))


def _positions(model: Model, tokens: Sequence[int], max_new: int) -> int:
    """Return how many positions the cache has: whole steps of them, as each number is compiled for itself."""
    room = model.config.max_positions - len(tokens)
    if not 0 < max_new <= room:
        allowed = f"so 1 to {room} are allowed" if room > 0 else "so the prompt alone is too long"
        raise SettingError(
            f"{max_new} new tokens after a prompt of {len(tokens)} do not fit; "
            f"the model has {model.config.max_positions} positions, {allowed}."
        )
    if not tokens:
        raise SettingError("The prompt is empty and the model has no BOS: there is nothing to continue.")
    return -(-(len(tokens) + max_new) // POSITIONS_STEP) * POSITIONS_STEP


def stream_text(tokenizer: Tokenizer, tokens: Iterable[int]) -> Iterator[str]:
    """Yield the text of `tokens` piece by piece, holding back a character until its last byte is there."""
    pending: list[int] = []
    for token in tokens:
        pending.append(token)
        text = tokenizer.continuation(pending)
        if not text.endswith("\ufffd"):
            yield text
            pending.clear()
    if pending:
        yield tokenizer.continuation(pending)
