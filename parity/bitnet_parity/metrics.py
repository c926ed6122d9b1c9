"""What one token says about two models: nll, tau-b, divergences, the best ids of both.

    window = measure(reference_logits, candidate_logits, targets, vocab=4096, top_k=10, belief=Belief(vocab=4096))
    window.kl, window.tau_b                             # float64 [tokens]

Both sides are [tokens, vocab] float32; row i is scored on targets[i]. Log-probabilities are float64 and
exist for a few rows at a time. Nothing here raises on a NaN: what has no value is NaN, and the caller counts
it. Knows no tokenizer, no document, no limit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bitnet_engine.errors import BitnetError
from bitnet_parity.belief import Belief, TauRows
from bitnet_parity.distances import js_divergence, kl_divergence, log_softmax, logit_distances

# Rows are worked through in blocks of about this many logits: 8 MiB in float64.
_BLOCK = 1 << 20


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
    top_reference: tuple[tuple[tuple[int, float], ...], ...]
    top_candidate: tuple[tuple[tuple[int, float], ...], ...]


_TAUS = ("tau_b", "tau_b_error", "tau_top")
_BLOCKWISE = (*_TAUS, "kl", "js", "nll_reference", "nll_candidate", "nmse", "cosine", "max_abs")


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
    columns = {name: np.empty(len(ids)) for name in _BLOCKWISE}
    for rows in _blocks(*reference.shape):
        for name, values in _block(reference[rows], candidate[rows], ids[rows], belief).items():
            columns[name][rows] = values
    belief.refine(TauRows(*(columns[name] for name in _TAUS)), reference, candidate)
    top_reference, top_candidate = _top(reference, max(top_k, 2)), _top(candidate, max(top_k, 1))
    margin = np.array([_margin(best) for best in top_reference])
    top_reference, top_candidate = ([best[:top_k] for best in side] for side in (top_reference, top_candidate))
    with np.errstate(under="ignore"):
        delta_p = np.exp(-columns["nll_candidate"]) - np.exp(-columns["nll_reference"])
    return WindowMetrics(
        **columns,
        delta_p=delta_p,
        overlap=np.array([_overlap(*both) for both in zip(top_reference, top_candidate, strict=True)]),
        same_top=_same_top(reference, candidate),
        margin=margin,
        top_reference=tuple(top_reference),
        top_candidate=tuple(top_candidate),
    )


def _block(reference: np.ndarray, candidate: np.ndarray, ids: np.ndarray, belief: Belief) -> dict[str, np.ndarray]:
    """Measure some rows: float64 of the whole vocabulary exists for these only."""
    log_p, log_q = log_softmax(reference), log_softmax(candidate)
    at = np.arange(len(ids)), ids
    tau, distances = belief.rows(reference, candidate), logit_distances(reference, candidate)
    return {
        **dict(zip(_TAUS, (tau.tau_b, tau.error, tau.top), strict=True)),
        "kl": kl_divergence(log_p, log_q),
        "js": js_divergence(log_p, log_q),
        "nll_reference": -log_p[at],
        "nll_candidate": -log_q[at],
        "nmse": distances.nmse,
        "cosine": distances.cosine,
        "max_abs": distances.max_abs,
    }


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


def _same_top(reference: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    known = ~(np.isnan(reference).any(axis=1) | np.isnan(candidate).any(axis=1))
    return known & (reference.argmax(axis=1) == candidate.argmax(axis=1))


def _top(logits: np.ndarray, k: int) -> list[tuple[tuple[int, float], ...]]:
    return [top(row, k) for row in logits]


def _margin(best: tuple[tuple[int, float], ...]) -> float:
    if len(best) < 2 or not np.isfinite(best[0][1]):
        return float("nan")
    return best[0][1] - best[1][1]


def _overlap(reference: tuple[tuple[int, float], ...], candidate: tuple[tuple[int, float], ...]) -> float:
    shared = {token for token, _ in reference} & {token for token, _ in candidate}
    return len(shared) / len(reference)
