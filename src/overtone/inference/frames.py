"""The residual of a spectral extender: frames, network, overlap-add."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from overtone.dsp.bandwidth import Slope
from overtone.dsp.stft import StreamOverlapAdd, StreamStft, hann
from overtone.inference.bands import CROSSOVER_START, Top
from overtone.inference.info import SpectralInfo
from overtone.inference.width import StereoWidth

if TYPE_CHECKING:
    from overtone.inference.model import SpectralModel

FloatArray = NDArray[np.float32]
Spectrum = NDArray[np.complex64]

# Frames handed to the network at once: enough to be efficient, few enough to stay small.
MAX_FRAMES = 256


class FrameResidual:
    """The residual of a signal at the model's rate, aligned with it and as long.

    ``gain`` brings the signal to the level that the network expects, and is taken out again.
    Channels are predicted each by itself; of exactly two, which are taken for left and right, the
    prediction is then made as wide as they are just below the cutoff.
    """

    def __init__(
        self,
        model: SpectralModel,
        channels: int,
        cutoff_hz: float,
        gain: float,
        *,
        slope: Slope = (),
        fidelity: float = 0.0,
        top: Top | None = None,
    ) -> None:
        info = model.info
        self._model, self._channels = model, channels
        self._slope = SlopeLift(info, cutoff_hz, slope)
        self._cutoff_hz = slope[-1][0] if slope else cutoff_hz
        self._width = StereoWidth(info, self._cutoff_hz) if channels == 2 else None
        self._fidelity = fidelity
        self._ceiling = None if top is None else Ceiling(info, self._cutoff_hz, top)
        hop = info.hop_samples
        window = hann(info.window_samples)
        # White noise of standard deviation s has bins of mean power s^2, as in training.
        norm = np.sqrt(np.sum(window**2))
        overlap = np.sum(window[::hop] ** 2)
        window32 = window.astype(np.float32)
        self._analysis = StreamStft(channels, window32 * np.float32(gain / norm), hop)
        self._synthesis = StreamOverlapAdd(
            channels, window32 * np.float32(norm / (overlap * gain)), hop
        )
        overhang = info.window_samples - hop
        self._state = model.initial_state(channels)
        self._late = np.zeros((channels, info.lookahead_frames, info.bins), np.complex64)
        # The first frames come out before time zero: the window's past and the lookahead.
        self._early = overhang + info.lookahead_frames * info.hop_samples
        self._taken = self._given = 0

    def push(self, block: FloatArray) -> FloatArray:
        """What of the residual is known after ``block [channels, n]``."""
        self._taken += block.shape[1]
        out = self._advance(block)
        early = min(self._early, out.shape[1])
        self._early -= early
        out = out[:, early:]
        self._given += out.shape[1]
        return out

    def flush(self) -> FloatArray:
        """The rest; the stream is over."""
        info = self._model.info
        wanted = self._taken - self._given
        zeros = info.latency_samples + info.hop_samples
        out = self._advance(np.zeros((self._channels, zeros), np.float32))
        return out[:, self._early :][:, :wanted]

    def _advance(self, block: FloatArray) -> FloatArray:
        step = MAX_FRAMES * self._model.info.hop_samples
        pieces = [
            self._frames(self._analysis.push(block[:, start : start + step]))
            for start in range(0, block.shape[1], step)
        ]
        return np.concatenate([np.zeros((self._channels, 0), np.float32), *pieces], axis=1)

    def _frames(self, spectrum: Spectrum) -> FloatArray:
        """Run frames ``[channels, frames, bins]`` and return the samples that they complete."""
        count = spectrum.shape[1]
        if count == 0:
            return np.zeros((self._channels, 0), np.float32)
        lifted = self._slope.lift(spectrum)
        residual, self._state = self._model.run(
            lifted, self._cutoff_hz, self._state, self._fidelity
        )
        # The network's frames come late by its lookahead; with what they were predicted from added,
        # they are what will be heard above the cutoff.
        late = np.concatenate([self._late, lifted], axis=1)
        observed, self._late = late[:, :count], late[:, count:].copy()
        if self._width is not None:
            self._width.fit(observed, residual)
        self._slope.add(observed, residual)
        if self._ceiling is not None:
            self._ceiling.lower(observed, residual)
        return self._synthesis.push(residual)


class SlopeLift:
    """Lifts a low-pass's slope, bin by bin of each frame, back to the level of the band below.

    What lies on the slope is the recording itself, softer: lifted, it comes closer than any
    prediction. The network then is told that the band ends where the slope's use ends.
    """

    def __init__(self, info: SpectralInfo, cutoff_hz: float, slope: Slope) -> None:
        frequencies_hz = np.fft.rfftfreq(info.window_samples, 1 / info.sample_rate)
        # Lifting sets in as the crossover does.
        hz, down_db = np.array([(CROSSOVER_START * cutoff_hz, 0.0), *slope]).T
        gain = 10 ** (np.interp(frequencies_hz, hz, down_db, right=0.0) / 20)
        bins = np.flatnonzero(gain > 1)
        self._bins = slice(bins[0], bins[-1] + 1) if bins.size else slice(0, 0)
        self._gain = gain[self._bins].astype(np.float32)
        self._added = 1 - 1 / self._gain

    def lift(self, spectrum: Spectrum) -> Spectrum:
        """Frames ``[channels, frames, bins]`` with the slope as loud as the band below it."""
        if not self._gain.size:
            return spectrum
        lifted = spectrum.copy()
        lifted[:, :, self._bins] *= self._gain
        return lifted

    def add(self, lifted: Spectrum, residual: Spectrum) -> None:
        """Add what lifting added to ``residual``, which is of the same shape."""
        residual[:, :, self._bins] += lifted[:, :, self._bins] * self._added


class Ceiling:
    """Ends what is heard below the Nyquist frequency of an output of a lower rate.

    A slope that is lifted has to end before that.
    """

    def __init__(self, info: SpectralInfo, cutoff_hz: float, top: Top) -> None:
        frequencies_hz = np.fft.rfftfreq(info.window_samples, 1 / info.sample_rate)
        weight = top.roll_off(frequencies_hz, cutoff_hz).astype(np.float32)
        self._bins = slice(int(np.flatnonzero(weight < 1)[0]), info.bins)
        self._lowered = weight[self._bins] - 1
        self._edge = top.edge(frequencies_hz[self._bins], cutoff_hz).astype(np.float32)

    def lower(self, observed: Spectrum, residual: Spectrum) -> None:
        """Change ``residual [channels, frames, bins]``, which is to be added, in place."""
        above = residual[:, :, self._bins]
        above += (observed[:, :, self._bins] + above) * self._lowered
        above *= self._edge
