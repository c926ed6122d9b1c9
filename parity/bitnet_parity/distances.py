"""Distances between two rows of logits or log-probabilities, one value a row, float64.

    kl_divergence(log_p, log_q)                         # nats, exactly 0 for equal rows
    js_divergence(log_p, log_q)                         # nats, at most ln 2
    logit_distances(reference, candidate)               # nmse, cosine, largest |Δ|

Nothing here raises on a NaN: what has no value is NaN. Knows no token and no vocabulary.
"""

import math
from dataclasses import dataclass

import numpy as np


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


def js_divergence(log_p: np.ndarray, log_q: np.ndarray) -> np.ndarray:
    """Return the Jensen-Shannon divergence in nats, float64 [rows]: symmetric, 0 to ln 2, 0 for equal rows."""
    # log of the mean of both; logaddexp(a, a) − ln 2 is not always a, and equal rows must give 0.
    with np.errstate(invalid="ignore"):
        mean = np.where(log_p == log_q, log_p, np.logaddexp(log_p, log_q) - math.log(2.0))
    return np.minimum((kl_divergence(log_p, mean) + kl_divergence(log_q, mean)) / 2.0, math.log(2.0))


@dataclass(frozen=True)
class LogitDistances:
    """Distances of raw logits, float64 [rows]; NaN where an infinity stands on one side alone, or a NaN.

    nmse is ‖candidate − reference‖² / ‖reference‖², as ggml's test-backend-ops has it: a shift of all logits
    counts here, and in nothing that follows a softmax. max_abs is the largest |Δ|.
    """

    nmse: np.ndarray
    cosine: np.ndarray
    max_abs: np.ndarray


def logit_distances(reference: np.ndarray, candidate: np.ndarray) -> LogitDistances:
    """Return the distances of each pair of rows, in float64; ids that both rule out with −inf count as equal."""
    x, y = reference.astype(np.float64), candidate.astype(np.float64)
    ruled_out = np.isneginf(x) & np.isneginf(y)
    x[ruled_out] = y[ruled_out] = 0.0
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        delta = y - x
        x_squared, y_squared = (x * x).sum(axis=1), (y * y).sum(axis=1)
        error = (delta * delta).sum(axis=1)
        cosine = (x * y).sum(axis=1) / (np.sqrt(x_squared) * np.sqrt(y_squared))
        # Rows of zeros are equal to each other, though 0/0 is not a number.
        nmse = np.where(error == 0.0, 0.0, error / x_squared)
        cosine = np.where((error == 0.0) & (x_squared > 0.0), 1.0, np.clip(cosine, -1.0, 1.0))
        largest = np.abs(delta).max(axis=1, initial=0.0)
    finite = np.isfinite(x).all(axis=1) & np.isfinite(y).all(axis=1)
    return LogitDistances(*(np.where(finite, values, np.nan) for values in (nmse, cosine, largest)))
