"""What one token says about two models: nll, tau-b, divergences, the best ids of both.

    window = measure(reference_logits, candidate_logits, targets, vocab=4096, top_k=10, belief=Belief(vocab=4096))
    window.kl, window.tau_b                             # float64 [tokens]

Both sides are [tokens, vocab] float32; row i is scored on targets[i], and no float64 of a window ever exists. Nothing
here raises on a NaN: what has no value is NaN, and the caller counts it. Knows no tokenizer, no document, no limit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bitnet_engine.errors import BitnetError
from bitnet_parity.belief import Belief
from bitnet_parity.distances import row_distances, row_nll
from bitnet_parity.ranking import Best, top_rows


@dataclass(frozen=True)
class WindowMetrics:
    """One value a token, all arrays [tokens]; NaN where undefined.

    tau_b is over the whole vocabulary: exact where tau_b_error is 0, else an estimate with that standard error;
    tau_top is exact over the best ids of both sides (`belief`). nll, kl and js are in nats, kl is KL(reference ‖
    candidate), delta_p is the candidate's probability of the target less the reference's. nmse, cosine and max_abs
    are of the raw logits. overlap is the share of the top_k best ids that both sides hold, margin the reference's
    best logit less its second. top_* hold (id, logit) best first, equal logits by id.
    """

    tau_b: np.ndarray
    tau_b_error: np.ndarray
    tau_top: np.ndarray
    kl: np.ndarray
    js: np.ndarray
    nll_reference: np.ndarray
    nll_candidate: np.ndarray
    delta_p: np.ndarray
    nmse: np.ndarray
    cosine: np.ndarray
    max_abs: np.ndarray
    overlap: np.ndarray
    same_top: np.ndarray
    margin: np.ndarray
    top_reference: tuple[Best, ...]
    top_candidate: tuple[Best, ...]


def measure(
    reference: np.ndarray, candidate: np.ndarray, targets: Sequence[int], *, vocab: int, top_k: int, belief: Belief
) -> WindowMetrics:
    """Compare the logits [tokens, ≥ vocab] of both sides, row i against the id targets[i].

    Columns from `vocab` on are the padding of an embedding matrix and dropped, as is, row by row, an id
    that both sides rule out with −inf: equal padding would raise tau-b for nothing. `belief` says on which
    tokens tau-b is exact.

    Raises:
        BitnetError: not float32 matrices of one row a target, or vocabularies of two sizes.
    """
    reference, candidate = _columns("reference", reference, vocab), _columns("candidate", candidate, vocab)
    _check(reference, candidate, targets)
    ids = np.asarray(targets, np.int64)
    tau = belief.rows(reference, candidate)
    belief.refine(tau, reference, candidate)
    distances = row_distances(reference, candidate, ids)
    with np.errstate(under="ignore"):
        delta_p = np.exp(-distances.nll_candidate) - np.exp(-distances.nll_reference)
    # The margin takes two ids.
    top_reference, top_candidate = top_rows(reference, max(top_k, 2)), top_rows(candidate, max(top_k, 1))
    tops = list(zip(top_reference, top_candidate, strict=True))
    return WindowMetrics(
        tau_b=tau.tau_b,
        tau_b_error=tau.error,
        tau_top=tau.top,
        **vars(distances),
        delta_p=delta_p,
        overlap=np.array([_overlap(x[:top_k], y[:top_k]) for x, y in tops]),
        same_top=np.array([_same_top(*both) for both in tops], bool) & ~_with_nan(reference) & ~_with_nan(candidate),
        margin=np.array([_margin(best) for best in top_reference]),
        top_reference=tuple(best[:top_k] for best in top_reference),
        top_candidate=tuple(best[:top_k] for best in top_candidate),
    )


def target_nll(logits: np.ndarray, targets: Sequence[int], vocab: int) -> np.ndarray:
    """Return the nll of targets[i] under row i of logits [tokens, ≥ vocab], float64 [tokens] in nats.

    Raises:
        BitnetError: not a float32 matrix of one row a target, or a target beyond the vocabulary.
    """
    logits, ids = _columns("model", logits, vocab), np.asarray(targets, np.int64)
    _check_targets("model", logits, targets)
    return row_nll(logits, ids)


def _columns(side: str, logits: np.ndarray, vocab: int) -> np.ndarray:
    if logits.ndim != 2 or logits.dtype != np.float32:
        raise BitnetError(f"{side}: logits are {logits.dtype} {list(logits.shape)}; float32 [tokens, vocab] is needed")
    return logits[:, :vocab]


def _check(reference: np.ndarray, candidate: np.ndarray, targets: Sequence[int]) -> None:
    sizes = reference.shape[1], candidate.shape[1]
    if sizes[0] != sizes[1]:
        raise BitnetError(
            f"the vocabularies differ in size: reference {sizes[0]}, candidate {sizes[1]}; "
            "logits can only be compared id by id, compare models of one tokenizer"
        )
    _check_targets("reference", reference, targets)
    _check_targets("candidate", candidate, targets)


def _check_targets(side: str, logits: np.ndarray, targets: Sequence[int]) -> None:
    rows, vocab = logits.shape
    if rows != len(targets):
        raise BitnetError(f"{side}: {rows} rows of logits for {len(targets)} tokens; one a token is needed")
    if len(targets) and max(targets) >= vocab:
        raise BitnetError(
            f"{side}: token {max(targets)} has no logit, the model has {vocab}; use the tokenizer of the model"
        )


def _with_nan(logits: np.ndarray) -> np.ndarray:
    return np.isnan(logits.max(axis=1, initial=-np.inf))


def _same_top(reference: Best, candidate: Best) -> bool:
    return reference[0][0] == candidate[0][0]


def _margin(best: Best) -> float:
    if len(best) < 2 or not np.isfinite(best[0][1]):
        return float("nan")
    return best[0][1] - best[1][1]


def _overlap(reference: Best, candidate: Best) -> float:
    shared = {token for token, _ in reference} & {token for token, _ in candidate}
    return len(shared) / len(reference)
