"""How long ago still counts, learned per relation as a Fourier series over the logarithm of the gap (KDA)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class FourierDecay(nn.Module):
    """``decay_r(x) = clip₀¹(½ · mean_k Re[X_{r,k} e^{2πi f_k x}])`` of ``x = max(0, log₂ minutes)``.

    Frequencies ``f_k = k / n`` for k = 0 … n/2; their mirror images with conjugate coefficients, as in the release,
    would add nothing to the real part's mean. Coefficients begin as N(0, 1), plus what makes every decay start around a
    half: centred at 0, as in the release, half of all gaps would begin clipped, where nothing is learned.
    """

    frequency: Tensor

    def __init__(self, relations: int, n_dft: int) -> None:
        super().__init__()
        terms = n_dft // 2 + 1
        self.register_buffer("frequency", torch.arange(terms) / n_dft, persistent=False)
        start = torch.randn(2, terms, relations)
        start[0, 0] += terms
        self.coefficient = nn.Parameter(start.flatten(0, 1))
        """``[2 F, R]`` real parts, then imaginary ones."""

    def forward(self, minutes: Tensor) -> Tensor:
        """``[..., R]`` weights between 0 and 1 for gaps ``[...]`` in minutes."""
        angle = (2 * math.pi) * log_gap(minutes).unsqueeze(-1) * self.frequency
        waves = torch.cat((angle.cos(), -angle.sin()), dim=-1)
        return (waves @ self.coefficient / (2 * len(self.frequency))).clamp(0, 1)

    @torch.no_grad()
    def start_from(self, histograms: Tensor) -> None:
        """Begin as each relation's own gaps: ``[R, n_dft]`` counts of pairs by whole log₂ minutes.

        A histogram is scaled to its highest bar; a relation without any gap keeps its start. Raises ValueError for
        another shape.
        """
        terms, relations = len(self.frequency), self.coefficient.shape[1]
        if histograms.shape != (relations, 2 * (terms - 1)):
            raise ValueError(
                f"histograms {tuple(histograms.shape)} must be [relations, n_dft] = [{relations}, {2 * (terms - 1)}]"
            )
        highest = histograms.amax(1, keepdim=True)
        # The inverse transform is the mean over all n points; ours is half the mean over the F kept ones. Those
        # between the ends stand for two, themselves and their mirror image.
        spectrum = torch.fft.rfft(histograms / highest.clamp(min=1)) * (2 * terms / histograms.shape[1])
        spectrum[:, 1:-1] *= 2
        started = torch.cat((spectrum.real, spectrum.imag), dim=1).T
        self.coefficient.copy_(torch.where(highest.T > 0, started, self.coefficient))


def log_gap(minutes: Tensor) -> Tensor:
    """``max(0, log₂ minutes)``; what is less than a minute ago is now."""
    return torch.log2(minutes + 1e-6).clamp(min=0)
