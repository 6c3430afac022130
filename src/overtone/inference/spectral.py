"""Models that predict the spectrum frame by frame: framing, network, overlap-add."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from overtone.dsp.bandwidth_model import TransitionBand
from overtone.dsp.excitation import NAMES, ExcitationConstants
from overtone.dsp.stft import FrameDelay, StreamOverlapAdd, StreamStft, hann
from overtone.errors import ModelError
from overtone.inference.bands import CROSSOVER_START, OutputBandLimit, crossover, on_lines
from overtone.inference.family import Model, ModelInfo
from overtone.inference.network import FrameNetwork, as_complex
from overtone.inference.stereo import StereoWidth
from overtone.inference.texture import Texture

FloatArray = NDArray[np.float32]
Spectrum = NDArray[np.complex64]

# Frames handed to the network at once: enough to be efficient, few enough to stay small.
MAX_FRAMES = 256
# A steady line's energy lies within so many bins of it, but for -60 dB.
LINE_BINS = 8
# The swell reaches 32 times its mean, whose higher powers leave what float32 holds.
MOST_POWER = 8


class FrameInfo(ModelInfo):
    """A network that works on the frames of an STFT."""

    slowest: ClassVar[float] = 0.9
    has_strength: ClassVar[bool] = True

    window_samples: int = Field(ge=16, le=65536)
    hop_samples: int = Field(gt=0)
    lookahead_frames: int = Field(ge=0, le=256)

    @model_validator(mode="after")
    def _check_frames(self) -> Self:
        if self.window_samples % self.hop_samples or not 2 <= self.overlaps <= 64:
            raise ValueError("window_samples must be 2 to 64 times hop_samples")
        return self

    def check_excitation(self, constants: ExcitationConstants) -> Self:
        """Refuse constants that no model has."""
        for name, value in vars(constants).items():
            if not (0 < value <= 65536 or (value == 0 and name == "dispersion_ms")):
                raise ValueError(f"excitation.{name} must be above 0 and at most 65536")
            if name.endswith("_power") and not 1 <= value <= MOST_POWER:
                raise ValueError(f"excitation.{name} must be from 1 to {MOST_POWER}")
        return self

    @property
    def overlaps(self) -> int:
        """How many windows lie over a sample."""
        return self.window_samples // self.hop_samples

    @property
    def bins(self) -> int:
        """Bins of a one-sided spectrum."""
        return self.window_samples // 2 + 1

    @property
    def latency_samples(self) -> int:
        """Algorithmic latency at ``sample_rate``, window and lookahead included."""
        return self.window_samples + self.lookahead_frames * self.hop_samples


class SpectralInfo(FrameInfo):
    """A spectral extender: frames of an STFT in, the bins above the cutoff out."""

    kind: Literal["spectral-extender"] = "spectral-extender"
    # Shares of power of the excitations that the predicted envelope shapes at fidelity 0, by name.
    # Without, the prediction is what comes out.
    texture: dict[str, Annotated[float, Field(gt=0, le=1)]] = Field(default_factory=dict)
    excitation: ExcitationConstants = ExcitationConstants(crossover_start=CROSSOVER_START)

    @model_validator(mode="after")
    def _check_texture(self) -> Self:
        if not set(self.texture) <= set(NAMES):
            raise ValueError(f"texture must be of {', '.join(NAMES)}")
        if self.texture and self.lookahead_frames < self.overlaps - 1:
            raise ValueError("lookahead_frames must be at least window_samples / hop_samples - 1")
        return self.check_excitation(self.excitation)


class Predictor(Protocol):
    """What predicts the frames of one stream."""

    def push(self, spectrum: Spectrum) -> tuple[Spectrum, Spectrum]:
        """Return the frames of ``lookahead_frames`` ago, and the residual to add to them.

        Both are ``[channels, frames, bins]``, as ``spectrum`` is.
        """
        ...


class FrameResidual:
    """The residual of a signal at the model's rate, aligned with it and as long.

    ``gain`` brings the signal to the level that the network expects, and is taken out again.
    """

    def __init__(
        self,
        info: FrameInfo,
        predictor: Predictor,
        channels: int,
        gain: float,
        conditions: Mapping[str, float],
        *,
        transition: TransitionBand = (),
        limit: OutputBandLimit | None = None,
        lines_hz: tuple[float, ...] = (),
    ) -> None:
        self._info, self._predictor, self._channels = info, predictor, channels
        cutoff_hz = conditions["cutoff_hz"]
        self._compensation = RollOffCompensation(info, cutoff_hz, transition, lines_hz)
        usable_hz = usable_edge(cutoff_hz, transition)
        self._strength = Strength(info, usable_hz, conditions.get("strength_db", 0.0))
        self._kept = KeptLines(info, usable_hz, lines_hz) if lines_hz else None
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
        # The first frames come out before time zero: the window's past and the lookahead.
        self._early = info.latency_samples - hop
        self._taken = self._given = 0

    def push(self, block: FloatArray) -> FloatArray:
        """Return what of the residual is known after ``block [channels, n]``."""
        self._taken += block.shape[1]
        out = self._advance(block)
        early = min(self._early, out.shape[1])
        self._early -= early
        out = out[:, early:]
        self._given += out.shape[1]
        return out

    def flush(self) -> FloatArray:
        """Return the rest; the stream is over."""
        info = self._info
        wanted = self._taken - self._given
        zeros = info.latency_samples + info.hop_samples
        out = self._advance(np.zeros((self._channels, zeros), np.float32))
        return out[:, self._early :][:, :wanted]

    def _advance(self, block: FloatArray) -> FloatArray:
        step = MAX_FRAMES * self._info.hop_samples
        pieces = [
            self._frames(block[:, start : start + step]) for start in range(0, block.shape[1], step)
        ]
        return np.concatenate([np.zeros((self._channels, 0), np.float32), *pieces], axis=1)

    def _frames(self, block: FloatArray) -> FloatArray:
        """Run the frames that ``block`` completes and return the samples that they complete."""
        given = self._compensation.compensate(self._analysis.push(block))
        if given.shape[1] == 0:
            return np.zeros((self._channels, 0), np.float32)
        observed, residual = self._predictor.push(given)
        self._strength.apply(observed, residual)
        self._compensation.add(observed, residual)
        if self._kept is not None:
            self._kept.keep(observed, residual)
        if self._limiter is not None:
            self._limiter.lower(observed, residual)
        if not np.isfinite(residual).all():
            raise ModelError(f"model {self._info.name!r}: its network gave NaN or infinite values")
        return self._synthesis.push(residual)


def usable_edge(cutoff_hz: float, transition: TransitionBand) -> float:
    """Return where the band ends for a network: with a transition band, where its use does."""
    return transition[-1][0] if transition else cutoff_hz


class RollOffCompensation:
    """Brings a low-pass's transition band back to the level of the passband, bin by bin.

    What lies there is the recording itself, softer: amplified, it comes closer than any
    prediction. The network then is told that the band ends at the usable edge.
    """

    def __init__(
        self,
        info: FrameInfo,
        cutoff_hz: float,
        transition: TransitionBand,
        lines_hz: tuple[float, ...] = (),
    ) -> None:
        frequencies_hz = np.fft.rfftfreq(info.window_samples, 1 / info.sample_rate)
        # Compensation sets in as the crossover does.
        hz, down_db = np.array([(CROSSOVER_START * cutoff_hz, 0.0), *transition]).T
        gain = 10 ** (np.interp(frequencies_hz, hz, down_db, right=0.0) / 20)
        gain[on_lines(frequencies_hz, lines_hz, LINE_BINS)] = 1
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


class KeptLines:
    """Leaves steady tones of the recording where they are, beside what is predicted."""

    def __init__(self, info: FrameInfo, cutoff_hz: float, lines_hz: tuple[float, ...]) -> None:
        frequencies_hz = np.fft.rfftfreq(info.window_samples, 1 / info.sample_rate)
        weight = crossover(frequencies_hz, cutoff_hz)
        self._bins = np.flatnonzero(on_lines(frequencies_hz, lines_hz, LINE_BINS) & (weight > 0))
        self._weight = weight[self._bins].astype(np.float32)

    def keep(self, observed: Spectrum, residual: Spectrum) -> None:
        """Change ``residual [channels, frames, bins]``, which is to be added, in place."""
        residual[:, :, self._bins] += self._weight * observed[:, :, self._bins]


class Strength:
    """Makes the prediction louder or softer, and leaves the recording as it is."""

    def __init__(self, info: FrameInfo, cutoff_hz: float, strength_db: float) -> None:
        frequencies_hz = np.fft.rfftfreq(info.window_samples, 1 / info.sample_rate)
        weight = crossover(frequencies_hz, cutoff_hz).astype(np.float32)
        self._bins = slice(int(np.argmax(weight > 0)) if weight.any() else info.bins, info.bins)
        self._weight = weight[self._bins]
        self._more = np.float32(10 ** (strength_db / 20) - 1)

    def apply(self, observed: Spectrum, residual: Spectrum) -> None:
        """Change ``residual [channels, frames, bins]``, which is to be added, in place."""
        if self._more:
            above = residual[:, :, self._bins]
            # The residual is the weighted prediction less the weighted recording.
            above += self._more * (above + self._weight * observed[:, :, self._bins])


class FrameBandLimit:
    """Ends the output below the Nyquist frequency of an output of a lower rate.

    A transition band that is compensated has to end before that.
    """

    def __init__(self, info: FrameInfo, cutoff_hz: float, limit: OutputBandLimit) -> None:
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


class FrameModel(Model):
    """A network that works frame by frame; families say how they predict."""

    signals: ClassVar[tuple[str, ...]]
    conditions: ClassVar[tuple[str, ...]]
    output: ClassVar[str]
    info: FrameInfo

    def __init__(self, path: Path, session: Any, info: ModelInfo) -> None:
        super().__init__(path, session, info)
        self.network = FrameNetwork(
            path,
            session,
            signals=self.signals,
            conditions=self.conditions,
            output=self.output,
        )

    @abstractmethod
    def predictor(self, channels: int, conditions: Mapping[str, float]) -> Predictor:
        """Start predicting frames; ``cutoff_hz`` is where the use of the band ends."""

    def residual_stream(
        self,
        channels: int,
        gain: float,
        conditions: Mapping[str, float],
        *,
        transition: TransitionBand = (),
        limit: OutputBandLimit | None = None,
        lines_hz: tuple[float, ...] = (),
    ) -> FrameResidual:
        """Start a stream of frames; see :meth:`Model.residual_stream`."""
        cutoff_hz = conditions["cutoff_hz"]
        usable = {**conditions, "cutoff_hz": usable_edge(cutoff_hz, transition)}
        predictor = self.predictor(channels, usable)
        return FrameResidual(
            self.info,
            predictor,
            channels,
            gain,
            conditions,
            transition=transition,
            limit=limit,
            lines_hz=lines_hz,
        )


class SpectralPredictor:
    """Residual frames from the network itself.

    Channels are predicted each by itself; of exactly two, which are taken for left and right, the
    prediction is then made as wide as they are just below the cutoff.
    """

    def __init__(
        self,
        info: FrameInfo,
        network: FrameNetwork,
        channels: int,
        conditions: Mapping[str, float],
    ) -> None:
        self._network, self._conditions = network, conditions
        self._textured = np.float32(1 - conditions.get("fidelity", 0.0))
        self._texture = None
        if isinstance(info, SpectralInfo) and info.texture and self._textured:
            self._texture = Texture(
                info.texture,
                info.excitation,
                sample_rate=info.sample_rate,
                window_samples=info.window_samples,
                hop_samples=info.hop_samples,
                lookahead_frames=info.lookahead_frames,
                channels=channels,
                cutoff_hz=conditions["cutoff_hz"],
            )
        self._state = network.initial_state(channels)
        self._late = FrameDelay(info.lookahead_frames, (channels, 0, info.bins), 1, np.complex64)
        self._width = (
            StereoWidth(
                info.sample_rate, info.window_samples, info.hop_samples, conditions["cutoff_hz"]
            )
            if channels == 2
            else None
        )

    def push(self, spectrum: Spectrum) -> tuple[Spectrum, Spectrum]:
        """Return what is observed and the residual; see :class:`Predictor`."""
        signals = {"spectrum": spectrum}
        outputs, self._state = self._network.run(signals, self._conditions, self._state)
        shape = *spectrum.shape, 2
        residual = as_complex(self._network.of_shape(shape, outputs["residual"]))
        observed = self._late.push(spectrum)
        if self._texture is not None:
            textured = self._texture.push(spectrum, observed, residual)
            residual = residual + self._textured * (textured - residual)
        if self._width is not None:
            self._width.fit(observed, residual)
        return observed, residual


class SpectralModel(FrameModel):
    """The first generation of extender: a network that predicts bins."""

    info_type: ClassVar[type[ModelInfo]] = SpectralInfo
    signals: ClassVar[tuple[str, ...]] = ("spectrum",)
    conditions: ClassVar[tuple[str, ...]] = ("cutoff_hz", "fidelity")
    output: ClassVar[str] = "residual"

    def predictor(self, channels: int, conditions: Mapping[str, float]) -> SpectralPredictor:
        """Start predicting frames; see :meth:`FrameModel.predictor`."""
        return SpectralPredictor(self.info, self.network, channels, conditions)
