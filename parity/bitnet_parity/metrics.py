"""What one token says about two models: nll, KL, tau-b, the best ids of both.

    window = measure(reference_logits, candidate_logits, targets, vocab=4096, top_k=10)
    window.kl, window.tau_b                             # float64 [tokens]

Both sides are [tokens, vocab] float32; row i is scored on targets[i]. Log-probabilities are float64 and
exist for a few rows at a time. Nothing here raises on a NaN: what has no value is NaN, and the caller counts
it. Knows no tokenizer, no document, no limit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bitnet_engine.errors import BitnetError
from bitnet_parity.tau import tau_b, tau_b_rows

# Rows are worked through in blocks of about this many logits: 8 MiB in float64.
_BLOCK = 1 << 20


@dataclass(frozen=True)
class WindowMetrics:
    """One value a token, all arrays [tokens]; NaN where undefined.

    nll and kl are in nats, kl is KL(reference ‖ candidate), margin is the reference's best logit less its
    second. top_* hold (id, logit) best first, equal logits by id.
    """

    tau_b: np.ndarray
    kl: np.ndarray
    nll_reference: np.ndarray
    nll_candidate: np.ndarray
    same_top: np.ndarray
    margin: np.ndarray
    top_reference: tuple[tuple[tuple[int, float], ...], ...]
    top_candidate: tuple[tuple[tuple[int, float], ...], ...]


def measure(
    reference: np.ndarray, candidate: np.ndarray, targets: Sequence[int], *, vocab: int, top_k: int
) -> WindowMetrics:
    """Compare the logits [tokens, ≥ vocab] of both sides, row i against the id targets[i].

    Columns from `vocab` on are the padding of an embedding matrix and dropped, as is, row by row, an id
    that both sides rule out with −inf: equal padding would raise tau-b for nothing.

    Raises:
        BitnetError: not float32 matrices of one row a target, or vocabularies of two sizes.
    """
    reference, candidate = _columns("reference", reference, vocab), _columns("candidate", candidate, vocab)
    _check(reference, candidate, targets)
    ids = np.asarray(targets, np.int64)
    nll_reference, nll_candidate, kl, tau = (np.empty(len(ids)) for _ in range(4))
    for rows in _blocks(*reference.shape):
        ref, cand = reference[rows], candidate[rows]
        log_p, log_q = log_softmax(ref), log_softmax(cand)
        at = np.arange(len(ref)), ids[rows]
        nll_reference[rows], nll_candidate[rows] = -log_p[at], -log_q[at]
        kl[rows] = kl_divergence(log_p, log_q)
        tau[rows] = _tau_b(ref, cand)
    top_reference, top_candidate = _top(reference, max(top_k, 2)), _top(candidate, max(top_k, 1))
    return WindowMetrics(
        tau_b=tau,
        kl=kl,
        nll_reference=nll_reference,
        nll_candidate=nll_candidate,
        same_top=_same_top(reference, candidate),
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
    nll = np.empty(len(ids))
    for rows in _blocks(*logits.shape):
        log_p = log_softmax(logits[rows])
        nll[rows] = -log_p[np.arange(len(log_p)), ids[rows]]
    return nll


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return log-probabilities, float64 [rows, vocab]; NaN all over a row with a NaN or no finite maximum."""
    wide = logits.astype(np.float64)
    with np.errstate(invalid="ignore"):  # inf − inf: such a row has no distribution, and NaN says so
        wide -= wide.max(axis=1, keepdims=True)
    return wide - np.log(np.exp(wide).sum(axis=1, keepdims=True))


def kl_divergence(log_p: np.ndarray, log_q: np.ndarray) -> np.ndarray:
    """Return KL(p ‖ q) in nats, float64 [rows]: exactly 0 for equal rows, inf where q is 0 and p is not."""
    with np.errstate(invalid="ignore"):
        terms = np.exp(log_p) * (log_p - log_q)
    terms[np.isneginf(log_q)] = np.inf  # also where exp(log_p) underflows and 0·inf would be NaN
    terms[np.isneginf(log_p)] = 0.0  # p·log p → 0
    # Rounding can leave −1e-17 where p and q nearly agree; no divergence is negative. NaN stays NaN.
    return np.maximum(terms.sum(axis=1), 0.0)


def top(row: np.ndarray, k: int) -> tuple[tuple[int, float], ...]:
    """Return the k best (id, logit) of a row [vocab]: best first, equal logits by id, NaN last."""
    order = np.where(np.isnan(row), -np.inf, row)
    k = min(k, len(row))
    # All that tie with the k-th best are kept for the sort: which of them a partition keeps is arbitrary.
    threshold = np.partition(order, -k)[-k]
    kept = np.flatnonzero(order >= threshold)
    best = kept[np.lexsort((np.isnan(row[kept]), -order[kept]))][:k]  # a stable sort: ties stay by id
    return tuple((int(i), float(row[i])) for i in best)


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


def _blocks(rows: int, vocab: int) -> Iterator[slice]:
    step = max(1, _BLOCK // max(vocab, 1))
    return (slice(start, start + step) for start in range(0, rows, step))


def _tau_b(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    ruled_out = np.isneginf(reference) & np.isneginf(candidate)
    if not ruled_out.any():
        return tau_b_rows(reference, candidate)
    pairs = zip(reference, candidate, ~ruled_out, strict=True)
    return np.array([tau_b(ref[kept], cand[kept]) for ref, cand, kept in pairs])


def _same_top(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    known = ~(np.isnan(reference).any(axis=1) | np.isnan(candidate).any(axis=1))
    return known & (reference.argmax(axis=1) == candidate.argmax(axis=1))


def _top(logits: np.ndarray, k: int) -> list[tuple[tuple[int, float], ...]]:
    return [top(row, k) for row in logits]


def _margin(best: tuple[tuple[int, float], ...]) -> float:
    if len(best) < 2 or not np.isfinite(best[0][1]):
        return float("nan")
    return best[0][1] - best[1][1]
