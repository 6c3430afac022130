"""The short-time Fourier transform in numpy, of whole signals and of streams.

Windows are periodic Hann windows; spectra are one-sided. Nothing is padded here: frame ``k`` holds
samples ``k * hop`` to ``k * hop + window``, and who wants centred frames pads the signal.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Spectrum = NDArray[np.complex64]


def hann(samples: int) -> Doubles:
    """Return the periodic Hann window of so many samples.

    Example:
        >>> hann(4)
        array([0. , 0.5, 1. , 0.5])
    """
    return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(samples) / samples))


def frames(
    samples: NDArray[np.floating], window_samples: int, hop_samples: int
) -> NDArray[np.floating]:
    """Return the whole frames of ``[..., samples]``, a view ``[..., frames, window_samples]``.

    Example:
        >>> frames(np.arange(5.0), 3, 2)
        array([[0., 1., 2.],
               [2., 3., 4.]])
    """
    view = np.lib.stride_tricks.sliding_window_view(samples, window_samples, axis=-1)
    return view[..., ::hop_samples, :]


def stft(
    samples: NDArray[np.floating], window: NDArray[np.floating], hop_samples: int
) -> NDArray[np.complexfloating]:
    """Return the spectra of all whole frames of ``[..., samples]``: ``[..., frames, bins]``.

    Example:
        >>> stft(np.ones(8), hann(4), 2).shape
        (3, 3)
    """
    return np.asarray(np.fft.rfft(frames(samples, len(window), hop_samples) * window))


class StreamStft:
    """Spectra of a stream ``[channels, n]`` whose frames do not depend on its blocks.

    The first frame ends with the first ``hop_samples`` of the stream, zeros before it. ``window``
    is a whole number of hops long.
    """

    def __init__(self, channels: int, window: NDArray[np.floating], hop_samples: int) -> None:
        self._hop = hop_samples
        # The window is applied hop by hop, ``[hops, hop_samples]``.
        self._window = window.reshape(-1, hop_samples).astype(np.float32)
        self._held = np.zeros((channels, window.size - hop_samples), np.float32)

    def push(self, block: Floats) -> Spectrum:
        """Return frames that ``block [channels, n]`` completes: ``[channels, frames, bins]``."""
        held = np.concatenate([self._held, block], axis=1)
        channels, (hops, hop) = len(held), self._window.shape
        count = max(0, held.shape[1] // hop - hops + 1)
        self._held = held[:, count * hop :].copy()
        if count == 0:
            return np.zeros((channels, 0, self._window.size // 2 + 1), np.complex64)
        span = held[:, : (count + hops - 1) * hop].reshape(channels, -1, hop)
        windowed = np.empty((channels, count, hops, hop), np.float32)
        for index in range(hops):
            np.multiply(
                span[:, index : index + count], self._window[index], out=windowed[:, :, index]
            )
        spectrum = np.fft.rfft(windowed.reshape(channels, count, -1))
        # numpy before 2 computes in double precision.
        return spectrum.astype(np.complex64, copy=False)


class StreamOverlapAdd:
    """The signal of a stream of spectra, each windowed and added to its neighbours.

    It starts where the first frame does and ends where no later frame adds anything.
    """

    def __init__(self, channels: int, window: NDArray[np.floating], hop_samples: int) -> None:
        self._window = window.reshape(-1, hop_samples).astype(np.float32)
        self._tail = np.zeros((channels, len(self._window) - 1, hop_samples), np.float32)

    def push(self, spectrum: Spectrum) -> Floats:
        """Return ``[channels, frames * hop_samples]`` for ``[channels, frames, bins]``."""
        channels, count, _ = spectrum.shape
        hops, hop = self._window.shape
        pieces = np.fft.irfft(spectrum, n=hops * hop).astype(np.float32, copy=False)
        pieces = pieces.reshape(channels, count, hops, hop)
        pieces *= self._window
        out = np.zeros((channels, count + hops - 1, hop), np.float32)
        out[:, : hops - 1] = self._tail
        for index in range(hops):
            out[:, index : index + count] += pieces[:, :, index]
        self._tail = out[:, count:]
        return out[:, :count].reshape(channels, -1)


class FrameDelay:
    """Holds frames back: what goes in comes out ``count`` frames later, zeros at first.

    Frames lie along ``axis`` of the arrays; ``shape`` is theirs, whatever it has there.
    """

    def __init__(self, count: int, shape: Sequence[int], axis: int, dtype: type) -> None:
        self._axis = axis
        self._held: NDArray[Any] = np.zeros([*shape[:axis], count, *shape[axis + 1 :]], dtype)

    def push(self, frames: NDArray[Any]) -> NDArray[Any]:
        """As many frames as are given."""
        both = np.concatenate([self._held, frames], axis=self._axis)
        out, held = np.split(both, [frames.shape[self._axis]], axis=self._axis)
        self._held = held.copy()
        return out
