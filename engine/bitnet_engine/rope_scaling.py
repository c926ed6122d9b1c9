"""Llama 3.1's scaling of rotary frequencies: what each of them is divided by.

    Llama3Scaling(8.0, 1.0, 4.0, 8192).factors(head_dim=128, theta=500000.0)      # 64 numbers from 1.0 to 8.0

A config.json states four numbers, a GGUF the factors that they give, as its tensor `rope_freqs.weight`. Sources:
transformers' modeling_rope_utils.py, _compute_llama3_parameters; llama.cpp's conversion/llama.py. Reads no file.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Llama3Scaling:
    """The four numbers of a config.json's `rope_type: llama3`."""

    factor: float
    """What the slowest frequencies are divided by."""
    low_freq_factor: float
    high_freq_factor: float
    original_positions: int
    """Context the model was trained with before it was stretched."""

    def factors(self, head_dim: int, theta: float) -> tuple[float, ...]:
        """Return what each of the head_dim / 2 frequencies is divided by, the fastest first.

        A wave shorter than original / high is left alone, one longer than original / low is divided by `factor`, and
        those between are blended. In float32 and in llama.cpp's order, so that both formats give the same bits.
        """
        one, pi2 = np.float32(1), np.float32(2 * np.pi)
        exponents = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
        wavelength = pi2 / (one / np.float32(theta) ** exponents)
        low, high = np.float32(self.low_freq_factor), np.float32(self.high_freq_factor)
        original, factor = np.float32(self.original_positions), np.float32(self.factor)
        smooth = (original / wavelength - low) / (high - low)
        blended = one / ((one - smooth) / factor + smooth)
        scaled = np.where(wavelength > original / low, factor, blended)
        return tuple(np.where(wavelength < original / high, one, scaled).tolist())


PUBLISHED = (1.0, 4.0, 8192)
"""low_freq_factor, high_freq_factor and original positions of Llama 3.1, 3.2 and 3.3, and of all made from them."""


def scaling_of(factors: tuple[float, ...], head_dim: int, theta: float) -> Llama3Scaling | None:
    """Return the published numbers that give just these factors, or None where none do."""
    scaling = Llama3Scaling(max(factors), *PUBLISHED)
    return scaling if scaling.factors(head_dim, theta) == factors else None
