"""The short-time Fourier transform in torch: the twin of the runtime's, with gradients.

Its own gradients take real transforms where torch's take complex ones. Windows and weights are
kept for each length on the device of what they are applied to.
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor


@lru_cache(maxsize=32)
def hann(length: int, device: torch.device) -> Tensor:
    """Return the periodic Hann window, ``[length]``."""
    return torch.hann_window(length, device=device)


class _Analysis(torch.autograd.Function):
    """Spectra of a signal's frames. Torch's own gradient takes complex transforms, twice the work.

    ``[batch, samples]`` to ``[batch, frames, bins]``; the window is a whole number of hops.
    """

    @staticmethod
    def forward(ctx: Any, signal: Tensor, taper: Tensor, hop: int) -> Tensor:
        ctx.save_for_backward(taper)
        ctx.hop, ctx.samples = hop, signal.shape[-1]
        spectra: Tensor = torch.fft.rfft(signal.unfold(-1, taper.numel(), hop) * taper)
        return spectra

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (taper,) = ctx.saved_tensors
        # The inverse counts every bin but the first and the last twice.
        pull = gradients[0] * _edges(taper.numel(), 1.0, 0.5, taper.device)
        pieces = torch.fft.irfft(pull, n=taper.numel(), norm="forward") * taper
        return _add(pieces, ctx.hop, ctx.samples), None, None


class _Synthesis(torch.autograd.Function):
    """Overlap-add of the frames' inverse transforms; the shapes of :class:`_Analysis` reversed."""

    @staticmethod
    def forward(ctx: Any, spectrum: Tensor, taper: Tensor, hop: int) -> Tensor:
        ctx.save_for_backward(taper)
        ctx.hop = hop
        pieces = torch.fft.irfft(spectrum, n=taper.numel()) * taper
        return _add(pieces, hop, (spectrum.shape[1] - 1) * hop + taper.numel())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (taper,) = ctx.saved_tensors
        window = taper.numel()
        pushed = torch.fft.rfft(gradients[0].unfold(-1, window, ctx.hop) * taper)
        return pushed * _edges(window, 1 / window, 2 / window, taper.device), None, None


class _Power(torch.autograd.Function):
    """Squared magnitude; torch's own gradient goes through two complex tensors of zeros."""

    @staticmethod
    def forward(ctx: Any, spectrum: Tensor) -> Tensor:
        ctx.save_for_backward(spectrum)
        squared: Tensor = spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag)
        return squared

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (spectrum,) = ctx.saved_tensors
        # A product with a real tensor would make it complex first: eight times as slow.
        pull = torch.view_as_real(spectrum) * (2 * gradients[0]).unsqueeze(-1)
        return torch.view_as_complex(pull)


@lru_cache(maxsize=32)
def _edges(window: int, edge: float, inner: float, device: torch.device) -> Tensor:
    weight = torch.full((window // 2 + 1,), inner, device=device)
    weight[0] = weight[-1] = edge
    return weight


def _add(pieces: Tensor, hop: int, samples: int) -> Tensor:
    """Add ``pieces [batch, frames, window]`` where they belong in ``[batch, samples]``."""
    batch, count, window = pieces.shape
    overlap = window // hop
    out = pieces.new_zeros(batch, samples)
    hops = out[:, : (count + overlap - 1) * hop].view(batch, count + overlap - 1, hop)
    for place in range(overlap):
        hops[:, place : place + count] += pieces[:, :, place * hop : (place + 1) * hop]
    return out


def frames(signal: Tensor, window: int, hop: int) -> Tensor:
    """Return one-sided complex spectra ``[batch, frames, bins]`` of ``[batch, samples]``.

    White noise of standard deviation s has bins of mean power s^2, whatever the window, which
    must be even and a whole number of hops.
    """
    taper = hann(window, signal.device)
    taper = taper / taper.square().sum().sqrt()
    spectra: Tensor = _Analysis.apply(signal, taper, hop)  # type: ignore[no-untyped-call]
    return spectra


def overlap_add(spectrum: Tensor, window: int, hop: int) -> Tensor:
    """Return the inverse of :func:`frames`: Hann synthesis window, ``[batch, samples]``."""
    taper = hann(window, spectrum.device)
    # Squared Hann windows add up to 3/8 of the window over the hop: 1.5 at a quarter.
    scale = taper.square().sum().sqrt() * (hop * 8 / 3) / window
    signal: Tensor = _Synthesis.apply(spectrum, taper * scale, hop)  # type: ignore[no-untyped-call]
    return signal


def power(spectrum: Tensor) -> Tensor:
    """Return the squared magnitude of a complex tensor."""
    squared: Tensor = _Power.apply(spectrum)  # type: ignore[no-untyped-call]
    return squared
