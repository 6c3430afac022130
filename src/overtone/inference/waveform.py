"""Models that predict samples: overlapping patches, each interpolated, run and crossfaded.

The AudioUNet family's networks (Kuleshov et al. 2017, Birnbaum et al. 2019) repair recordings that
went through one certain filter, decimation and cubic spline. A recording from elsewhere has met
none of them, so every patch goes through the same here, as products on its spectrum: the decimation
filter's response in closed form, decimation, the spline's response in closed form. The network's
output then replaces what lies above the cutoff, and nothing below it.

Patches lie at fixed places of the stream, so any chunking gives the same samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from overtone.dsp.bandwidth_model import TransitionBand
from overtone.dsp.decimation import decimation_response
from overtone.errors import ModelError
from overtone.inference.bands import OutputBandLimit, crossover, on_lines
from overtone.inference.family import Model, ModelInfo
from overtone.inference.network import check_names, of_shape, run_session

FloatArray = NDArray[np.float32]
DoubleArray = NDArray[np.floating]

# A recording that ends below this part of the low Nyquist frequency rolls off there already, as
# after that filter, which is then not applied again (on such files the detector says 0.77 to 0.84).
ROLLED_OFF = 0.9
# One that ends below this part ends too low for that: its mirror images may lie in the low band.
ENDS_LOWER = 0.7
# Blocks of this mean square or less are digital silence and stay silent.
SILENCE_POWER = 1e-12
# Silence is found block by block; so many of them make a patch.
GATES = 32
# A steady line's energy lies within so many bins of it, but for a hundredth.
LINE_BINS = 32


# Recordings may end this many times above or below what a model was trained for before it warns.
TOLERATED_RATIO = 1.1


class WaveformInfo(ModelInfo):
    """A waveform network: patches of interpolated samples in, the same with their high band out.

    It was trained on patches of ``patch_samples`` that hold nothing above ``low_nyquist_hz``, and
    takes any multiple of ``multiple_samples``. A recording is cut into such patches, each
    overlapping the next: ``margin_samples`` at either end of a patch are thrown away, the next
    ``ramp_samples`` are crossfaded with the neighbour's. ``guard_samples`` more are taken at
    either end for filtering alone.
    """

    runs_live: ClassVar[bool] = False

    kind: Literal["waveform"] = "waveform"
    scale: int = Field(ge=2, le=64)
    patch_samples: int = Field(gt=0, le=1 << 20)
    multiple_samples: int = Field(gt=0, le=1 << 16)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.patch_samples % (32 * self.scale):
            raise ValueError(
                f"patch_samples must be a multiple of 32 * scale = {32 * self.scale}, not"
                f" {self.patch_samples}"
            )
        return self

    @property
    def low_nyquist_hz(self) -> float:
        """Where the recordings end that the network was trained on."""
        return self.sample_rate / 2 / self.scale

    @property
    def margin_samples(self) -> int:
        """What is thrown away at either end of a patch, since the network sees no further."""
        return self.patch_samples // 8

    @property
    def ramp_samples(self) -> int:
        """How long neighbouring patches are crossfaded."""
        return self.patch_samples // 16

    @property
    def guard_samples(self) -> int:
        """What the filters need at either end in addition to a patch."""
        return self.patch_samples // 16

    @property
    def hop_samples(self) -> int:
        """From the start of a patch to that of the next."""
        return self.patch_samples - 2 * self.margin_samples - self.ramp_samples

    @property
    def latency_samples(self) -> int:
        """Algorithmic latency at ``sample_rate``: a patch is needed up to its guard's end."""
        return self.patch_samples - self.margin_samples + self.guard_samples

    def warning(self, cutoff_hz: float) -> str:
        """Say what the model is made for, where the recording is something else."""
        above = cutoff_hz > TOLERATED_RATIO * self.max_cutoff_hz
        if not above and cutoff_hz * TOLERATED_RATIO >= self.min_cutoff_hz:
            return ""
        return f"this model is made for recordings that end at {self.low_nyquist_hz:.0f} Hz"


class WaveformModel(Model):
    """A network of the AudioUNet family: AudioUNet, TFiLM or AFiLM."""

    info_type: ClassVar[type[ModelInfo]] = WaveformInfo
    info: WaveformInfo

    def __init__(self, path: Path, session: Any, info: ModelInfo) -> None:
        super().__init__(path, session, info)
        check_names(path, session, inputs={"low"}, outputs={"high"})

    def residual_stream(
        self,
        channels: int,
        gain: float,
        conditions: Mapping[str, float],
        *,
        transition: TransitionBand = (),  # noqa: ARG002 (they were trained on it as it is)
        limit: OutputBandLimit | None = None,
        lines_hz: tuple[float, ...] = (),
    ) -> PatchResidual:
        """Start a stream of patches; see :meth:`Model.residual_stream`."""
        return PatchResidual(
            self.info,
            self.run,
            channels,
            conditions["cutoff_hz"],
            gain,
            limit=limit,
            lines_hz=lines_hz,
        )

    def run(self, low: FloatArray) -> FloatArray:
        """Fill in the high band of ``low [channels, samples]``; the result has the same shape.

        ``low`` is at ``info.sample_rate``, decimated and interpolated as in training, at the level
        of training. Any length: the network gets it with zeros after its end.
        """
        samples = low.shape[1]
        padded = np.pad(low, ((0, 0), (0, -samples % self.info.multiple_samples)))
        if not padded.size:
            return np.zeros(low.shape, np.float32)
        inputs = {"low": padded.astype(np.float32, copy=False)}
        high = of_shape(self.path, padded.shape, run_session(self.path, self._session, inputs)[0])
        if not np.isfinite(high).all():
            raise ModelError(f"{self.path}: its network gave NaN or infinite values")
        return high[:, :samples]


class PatchResidual:
    """The residual of a signal at the model's rate, aligned with it and as long.

    ``network`` maps interpolated patches ``[channels, samples]`` to the same shape. ``gain``
    brings the signal to the level that it expects, and is taken out again.
    """

    def __init__(
        self,
        info: WaveformInfo,
        network: Callable[[FloatArray], FloatArray],
        channels: int,
        cutoff_hz: float,
        gain: float,
        *,
        limit: OutputBandLimit | None = None,
        lines_hz: tuple[float, ...] = (),
    ) -> None:
        self._network, self._gain = network, gain
        self._guard, self._margin = info.guard_samples, info.margin_samples
        self._hop, self._ramp = info.hop_samples, info.ramp_samples
        self._length = info.patch_samples + 2 * info.guard_samples
        self._patience = info.latency_samples
        self._interpolate = Interpolation(info.sample_rate, info.scale, self._length, cutoff_hz)
        frequencies = np.fft.rfftfreq(info.patch_samples, 1 / info.sample_rate)
        self._weight = crossover(frequencies, cutoff_hz)
        self._kept: DoubleArray = np.ones(frequencies.size)
        if limit is not None:
            self._kept = limit.roll_off(frequencies, cutoff_hz)
            self._weight *= limit.edge(frequencies, cutoff_hz)
        self._replaced = 1.0 - on_lines(frequencies, lines_hz, LINE_BINS)
        self._rise = _raised_cosine(self._ramp)
        # The first patch begins before time zero, and has no neighbour to be crossfaded with.
        self._input = np.zeros((channels, self._margin + self._guard), np.float32)
        self._tail: DoubleArray | None = None
        self._taken = self._given = 0

    def push(self, block: FloatArray) -> FloatArray:
        """Return what of the residual is known after ``block [channels, n]``."""
        self._taken += block.shape[1]
        out = self._advance(block)
        self._given += out.shape[1]
        return out

    def flush(self) -> FloatArray:
        """Return the rest; the stream is over."""
        wanted = self._taken - self._given
        zeros = np.zeros((self._input.shape[0], self._patience), np.float32)
        return self._advance(zeros)[:, :wanted]

    def _advance(self, block: FloatArray) -> FloatArray:
        held = np.concatenate([self._input, block], axis=1)
        count = max(0, (held.shape[1] - self._length) // self._hop + 1)
        out = np.empty((held.shape[0], count * self._hop), np.float32)
        for start in range(0, count * self._hop, self._hop):
            out[:, start : start + self._hop] = self._next(held[:, start : start + self._length])
        self._input = held[:, count * self._hop :].copy()
        return out

    def _next(self, window: FloatArray) -> DoubleArray:
        """Return the residual up to the next patch, from this one ``window`` with guards."""
        piece = self._residual(window)[:, self._margin : self._margin + self._hop + self._ramp]
        if self._tail is not None:
            piece[:, : self._ramp] *= self._rise
            piece[:, : self._ramp] += self._tail
        self._tail = piece[:, self._hop :] * (1 - self._rise)
        return piece[:, : self._hop]

    def _residual(self, window: FloatArray) -> DoubleArray:
        scaled = window.astype(np.float64) * self._gain
        patch = scaled[:, self._guard : -self._guard]
        active = _activity(patch)
        if not active.any():
            return np.zeros_like(patch)
        low = self._interpolate(scaled)[:, self._guard : -self._guard]
        high = self._network(low.astype(np.float32))
        spectrum = np.fft.rfft(high) * self._kept - np.fft.rfft(patch) * self._replaced
        spectrum *= self._weight
        return np.asarray(np.fft.irfft(spectrum, patch.shape[1]) * active / self._gain)


class Interpolation:
    """Windows ``[channels, length]`` as the network knows recordings: decimated, then interpolated.

    What the window holds above the low Nyquist frequency has no influence, whether it is sound or
    the mirror images of a recording of a lower rate. ``length`` is a multiple of ``2 * scale``.
    The first sample of a window is one of those that decimation keeps. The window is taken as
    periodic.
    """

    def __init__(self, sample_rate: int, scale: int, length: int, cutoff_hz: float) -> None:
        frequencies = np.fft.rfftfreq(length, 1 / sample_rate)
        kept = length // (2 * scale)
        self._keep = low_response(frequencies[: kept + 1], sample_rate, scale, cutoff_hz)
        self._images = np.arange(frequencies.size) % (2 * kept)
        self._spline = spline_response(frequencies, sample_rate, scale)
        self._length = length

    def __call__(self, window: DoubleArray) -> DoubleArray:
        """Return the window with nothing but its low band, and the images a spline leaves."""
        low = np.fft.rfft(window)[:, : self._keep.size] * self._keep
        # A decimated signal's spectrum repeats: the second half of a period is the first, mirrored.
        period = np.concatenate([low, np.conj(low[:, -2:0:-1])], axis=1)
        return np.asarray(np.fft.irfft(period[:, self._images] * self._spline, self._length))


def low_response(
    frequencies_hz: DoubleArray, sample_rate: int, scale: int, cutoff_hz: float
) -> DoubleArray:
    """Return what a recording that ends at ``cutoff_hz`` goes through before decimation.

    Where it has its band up to the low Nyquist frequency, that is the decimation filter. Where it
    ends in that filter's transition band, it has met one. Where it ends lower, the rest is cut off.
    """
    nyquist_hz = sample_rate / 2 / scale
    if cutoff_hz < ENDS_LOWER * nyquist_hz:
        return (frequencies_hz <= cutoff_hz).astype(np.float64)
    below = (frequencies_hz < nyquist_hz * (1 - 1e-9)).astype(np.float64)
    if cutoff_hz < ROLLED_OFF * nyquist_hz:
        return below
    return below * decimation_response(frequencies_hz, sample_rate, scale)


def spline_response(frequencies_hz: DoubleArray, sample_rate: int, scale: int) -> DoubleArray:
    """Return the response of interpolation by a cubic spline, relative to that at 0 Hz.

    The sampled cubic B-spline's, divided by that of the filter whose outputs are its coefficients
    (Unser, Aldroubi, Eden 1993).
    """
    periods = np.asarray(frequencies_hz) * scale / sample_rate  # 1 at the low sample rate
    box = np.sinc(periods) / np.sinc(periods / scale)
    steps = 2 + np.cos(2 * np.pi * periods / scale)
    return np.asarray(box**4 * steps / (2 + np.cos(2 * np.pi * periods)), np.float64)


def _raised_cosine(samples: int) -> DoubleArray:
    """From 0 to 1; with its own reverse it adds up to 1."""
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * (np.arange(samples) + 0.5) / samples))


def _activity(patch: DoubleArray) -> DoubleArray:
    """Return weights of the patch's shape: 1 where active, 0 in silence, a ramp between."""
    channels, samples = patch.shape
    power = np.mean(np.square(patch).reshape(channels, GATES, -1), axis=2)
    sounds = np.pad((power > SILENCE_POWER).astype(np.float64), ((0, 0), (1, 1)), mode="edge")
    # The value at each boundary of two blocks: silence beside sound fades within its own block.
    node = np.maximum(sounds[:, :-1], sounds[:, 1:])
    if node.all():
        return np.ones((channels, samples))
    rise = _raised_cosine(samples // GATES)
    gate = node[:, :-1, None] + np.diff(node, axis=1)[..., None] * rise
    return np.asarray(gate.reshape(channels, samples))
