"""Models that predict the spectrum frame by frame: framing, network, overlap-add."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from overtone.dsp.bandwidth_model import TransitionBand
from overtone.dsp.stft import StreamOverlapAdd, StreamStft, hann
from overtone.inference.bands import CROSSOVER_START, OutputBandLimit
from overtone.inference.family import Model, ModelInfo
from overtone.inference.network import FrameNetwork, State, as_complex
from overtone.inference.stereo import StereoWidth

FloatArray = NDArray[np.float32]
Spectrum = NDArray[np.complex64]

# Frames handed to the network at once: enough to be efficient, few enough to stay small.
MAX_FRAMES = 256


class SpectralInfo(ModelInfo):
    """A spectral extender: frames of an STFT in, the bins above the cutoff out."""

    slowest: ClassVar[float] = 0.9

    kind: Literal["spectral-extender"] = "spectral-extender"
    window_samples: int
    hop_samples: int
    lookahead_frames: int

    @property
    def bins(self) -> int:
        """Bins of a one-sided spectrum."""
        return self.window_samples // 2 + 1

    @property
    def latency_samples(self) -> int:
        """Algorithmic latency at ``sample_rate``, window and lookahead included."""
        return self.window_samples + self.lookahead_frames * self.hop_samples


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
        gain: float,
        conditions: Mapping[str, float],
        *,
        transition: TransitionBand = (),
        limit: OutputBandLimit | None = None,
    ) -> None:
        info, cutoff_hz = model.info, conditions["cutoff_hz"]
        self._model, self._channels = model, channels
        self._compensation = RollOffCompensation(info, cutoff_hz, transition)
        # To the network, the band ends where the transition band's use does.
        usable_hz = transition[-1][0] if transition else cutoff_hz
        self._conditions = {**conditions, "cutoff_hz": usable_hz}
        self._width = (
            StereoWidth(info.sample_rate, info.window_samples, info.hop_samples, usable_hz)
            if channels == 2
            else None
        )
        self._limiter = None if limit is None else FrameBandLimit(info, usable_hz, limit)
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

    def signals(self, block: FloatArray, spectrum: Spectrum) -> dict[str, NDArray[Any]]:
        """Return the network's signals for ``spectrum``, the frames that ``block`` completes.

        It is called for every block ``[channels, n]``, also if no frame is complete, so that a
        subclass can make frames of its own from what arrives.
        """
        del block
        return {"spectrum": spectrum}

    def _advance(self, block: FloatArray) -> FloatArray:
        step = MAX_FRAMES * self._model.info.hop_samples
        pieces = [
            self._frames(block[:, start : start + step]) for start in range(0, block.shape[1], step)
        ]
        return np.concatenate([np.zeros((self._channels, 0), np.float32), *pieces], axis=1)

    def _frames(self, block: FloatArray) -> FloatArray:
        """Run the frames that ``block`` completes and return the samples that they complete."""
        given = self._compensation.compensate(self._analysis.push(block))
        signals, count = self.signals(block, given), given.shape[1]
        if count == 0:
            return np.zeros((self._channels, 0), np.float32)
        residual, self._state = self._model.run(signals, self._conditions, self._state)
        # The network's frames come late by its lookahead; with what they were predicted from added,
        # they are the output above the cutoff.
        late = np.concatenate([self._late, given], axis=1)
        observed, self._late = late[:, :count], late[:, count:].copy()
        if self._width is not None:
            self._width.fit(observed, residual)
        self._compensation.add(observed, residual)
        if self._limiter is not None:
            self._limiter.lower(observed, residual)
        return self._synthesis.push(residual)


class RollOffCompensation:
    """Brings a low-pass's transition band back to the level of the passband, bin by bin.

    What lies there is the recording itself, softer: amplified, it comes closer than any
    prediction. The network then is told that the band ends at the usable edge.
    """

    def __init__(self, info: SpectralInfo, cutoff_hz: float, transition: TransitionBand) -> None:
        frequencies_hz = np.fft.rfftfreq(info.window_samples, 1 / info.sample_rate)
        # Compensation sets in as the crossover does.
        hz, down_db = np.array([(CROSSOVER_START * cutoff_hz, 0.0), *transition]).T
        gain = 10 ** (np.interp(frequencies_hz, hz, down_db, right=0.0) / 20)
        bins = np.flatnonzero(gain > 1)
        self._bins = slice(bins[0], bins[-1] + 1) if bins.size else slice(0, 0)
        self._gain = gain[self._bins].astype(np.float32)
        self._added = 1 - 1 / self._gain

    def compensate(self, spectrum: Spectrum) -> Spectrum:
        """Return frames ``[channels, frames, bins]`` with the transition band brought up."""
        if not self._gain.size:
            return spectrum
        compensated = spectrum.copy()
        compensated[:, :, self._bins] *= self._gain
        return compensated

    def add(self, compensated: Spectrum, residual: Spectrum) -> None:
        """Add what compensation added to ``residual``, which is of the same shape."""
        residual[:, :, self._bins] += compensated[:, :, self._bins] * self._added


class FrameBandLimit:
    """Ends the output below the Nyquist frequency of an output of a lower rate.

    A transition band that is compensated has to end before that.
    """

    def __init__(self, info: SpectralInfo, cutoff_hz: float, limit: OutputBandLimit) -> None:
        frequencies_hz = np.fft.rfftfreq(info.window_samples, 1 / info.sample_rate)
        weight = limit.roll_off(frequencies_hz, cutoff_hz).astype(np.float32)
        self._bins = slice(int(np.flatnonzero(weight < 1)[0]), info.bins)
        self._lowered = weight[self._bins] - 1
        self._edge = limit.edge(frequencies_hz[self._bins], cutoff_hz).astype(np.float32)

    def lower(self, observed: Spectrum, residual: Spectrum) -> None:
        """Change ``residual [channels, frames, bins]``, which is to be added, in place."""
        above = residual[:, :, self._bins]
        above += (observed[:, :, self._bins] + above) * self._lowered
        above *= self._edge


class SpectralModel(Model):
    """A spectral extender.

    A family that needs more signals than the spectrum names them in ``signals`` and gives them in
    a subclass of :class:`FrameResidual`, its ``stream_type``.
    """

    info_type: ClassVar[type[ModelInfo]] = SpectralInfo
    signals: ClassVar[tuple[str, ...]] = ("spectrum",)
    stream_type: ClassVar[type[FrameResidual]] = FrameResidual
    conditions: ClassVar[tuple[str, ...]] = ("cutoff_hz", "fidelity")
    info: SpectralInfo

    def __init__(self, path: Path, session: Any, info: ModelInfo) -> None:
        super().__init__(path, session, info)
        self.network = FrameNetwork(path, session, signals=self.signals, conditions=self.conditions)

    def residual_stream(
        self,
        channels: int,
        gain: float,
        conditions: Mapping[str, float],
        *,
        transition: TransitionBand = (),
        limit: OutputBandLimit | None = None,
    ) -> FrameResidual:
        """Start a stream of frames; see :meth:`Model.residual_stream`."""
        return self.stream_type(
            self, channels, gain, conditions, transition=transition, limit=limit
        )

    def initial_state(self, channels: int) -> State:
        """Return the network's memory before the first frame."""
        return self.network.initial_state(channels)

    def run(
        self,
        signals: Mapping[str, NDArray[Any]],
        conditions: Mapping[str, float],
        state: State,
    ) -> tuple[Spectrum, State]:
        """Return residual frames, which lag ``lookahead_frames``, and the new state.

        ``signals["spectrum"]`` is ``[channels, frames, bins]``, complex64.
        """
        outputs, state = self.network.run(signals, conditions, state)
        return as_complex(outputs["residual"]), state
