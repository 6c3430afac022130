"""The second generation of extender at work: excitations, a network's gains, their sum.

See :mod:`overtone.dsp.excitation` for the source. The network is the filter: from the power of the
kept bins, relative to a running level, it gives the amplitude of every excitation in every band.
Frames come out ``lookahead_frames`` late.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from overtone.dsp.excitation import NAMES, ExcitationConstants, Excitations, power_of
from overtone.dsp.stft import FrameDelay
from overtone.inference.bands import crossover
from overtone.inference.family import ModelInfo
from overtone.inference.network import FrameNetwork
from overtone.inference.spectral import FrameInfo, FrameModel
from overtone.inference.stereo import StereoImage, StereoWidth

FloatArray = NDArray[np.float32]
Spectrum = NDArray[np.complex64]

# Frames whose kept band is weaker than this, bin by bin, are digital silence and stay silent.
SILENCE_POWER = 1e-12
# Keeps the running level above that of a recording's last bit.
LEVEL_FLOOR = 1e-9


class SourceFilterInfo(FrameInfo):
    """A source-filter extender: power of kept bins in, gains of excitations out.

    Bins are seen up to ``visible_end`` of the cutoff. The level is the mean over the last
    ``level_frames``. ``faithful`` names the shipped model that takes over as fidelity rises.
    """

    kind: Literal["source-filter"] = "source-filter"
    visible_bins: int = Field(gt=0)
    visible_end: float = Field(gt=0, le=1)
    level_frames: int = Field(gt=0, le=65536)
    band_centres_hz: tuple[float, ...] = Field(min_length=2, max_length=1024)
    excitations: tuple[str, ...] = Field(min_length=1, max_length=len(NAMES))
    excitation: ExcitationConstants
    # A name: never the path of some other file.
    faithful: str = Field(default="", pattern=r"^[\w-]*$", max_length=200)

    @model_validator(mode="after")
    def _check_excitation(self) -> Self:
        if self.visible_bins > self.bins:
            raise ValueError(f"visible_bins must be at most {self.bins}")
        if self.lookahead_frames < self.overlaps - 1:
            raise ValueError("lookahead_frames must be at least window_samples / hop_samples - 1")
        if any(after <= before for before, after in pairwise(self.band_centres_hz)):
            raise ValueError("band_centres_hz must rise")
        if not set(self.excitations) <= set(NAMES):
            raise ValueError(f"excitations must be of {', '.join(NAMES)}")
        return self.check_excitation(self.excitation)

    @property
    def companion(self) -> str:
        """The model that takes over as fidelity rises."""
        return self.faithful


class RunningLevel:
    """Mean energy of the last ``count`` frames that were not digital silence."""

    def __init__(self, channels: int, count: int) -> None:
        self._past = np.zeros((channels, count))

    def push(self, energy: FloatArray, active: NDArray[np.bool_]) -> FloatArray:
        """Return the level ``[channels, frames]`` at each frame; ``energy`` of the same shape."""
        count = self._past.shape[1]
        held = np.concatenate([self._past, np.where(active, energy, 0.0)], axis=1)
        self._past = held[:, energy.shape[1] :].copy()
        total, number = (
            np.cumsum(np.pad(values, ((0, 0), (1, 0))), axis=1, dtype=np.float64)
            for values in (held, held > 0)
        )
        total, number = (s[:, count + 1 :] - s[:, 1:-count] for s in (total, number))
        return (total / np.maximum(number, 1)).astype(np.float32)


class SourceFilterPredictor:
    """Residual frames from excitations and the network's gains; see :class:`Predictor`."""

    def __init__(
        self,
        info: SourceFilterInfo,
        network: FrameNetwork,
        channels: int,
        conditions: Mapping[str, float],
        *,
        seed: int = 0,
    ) -> None:
        self._info, self._network, self._conditions = info, network, conditions
        cutoff_hz = conditions["cutoff_hz"]
        hz = np.fft.rfftfreq(info.window_samples, 1 / info.sample_rate)
        weight = crossover(hz, cutoff_hz).astype(np.float32)
        self._first = int(np.argmax(weight > 0)) if weight.any() else info.bins
        self._weight = weight[self._first :]
        rows = [
            np.interp(hz[self._first :], info.band_centres_hz, unit)
            for unit in np.eye(len(info.band_centres_hz))
        ]
        self._interpolation = np.stack(rows).astype(np.float32)
        self._visible = (hz <= info.visible_end * cutoff_hz)[: info.visible_bins]
        self._state = network.initial_state(channels)
        self._level = RunningLevel(channels, info.level_frames)
        self._excitations = Excitations(
            info.excitation,
            info.excitations,
            sample_rate=info.sample_rate,
            window_samples=info.window_samples,
            hop_samples=info.hop_samples,
            channels=channels,
            cutoff_hz=cutoff_hz,
            seed=seed,
            first_bin=self._first,
        )
        late, hops = info.lookahead_frames, info.window_samples // info.hop_samples
        shape = len(info.excitations), channels, 0, info.bins - self._first
        self._late_spectrum = FrameDelay(late, (channels, 0, info.bins), 1, np.complex64)
        self._late_amplitude = FrameDelay(late, (channels, 0), 1, np.float32)
        self._late_excitation = FrameDelay(late - (hops - 1), shape, 2, np.complex64)
        self._image = self._width = None
        if channels == 2:
            self._image = StereoImage(
                info.sample_rate, info.window_samples, info.hop_samples, cutoff_hz
            )
            self._width = StereoWidth(
                info.sample_rate, info.window_samples, info.hop_samples, cutoff_hz
            )
        self._noises = [n for n, name in enumerate(info.excitations) if "noise" in name]

    def push(self, spectrum: Spectrum) -> tuple[Spectrum, Spectrum]:
        """Return what is observed and the residual."""
        power = power_of(spectrum[..., : self._info.visible_bins]) * self._visible
        energy = power.sum(-1)
        active = energy > SILENCE_POWER * self._info.visible_bins
        level = self._level.push(energy, active)
        relative = {"power": power / (level + np.float32(LEVEL_FLOOR))[..., None]}
        outputs, self._state = self._network.run(relative, self._conditions, self._state)
        shape = (*energy.shape, len(self._info.excitations), len(self._info.band_centres_hz))
        gains = self._network.of_shape(shape, outputs["gains"])
        observed = self._late_spectrum.push(spectrum)
        amplitude = self._late_amplitude.push(np.where(active, np.sqrt(level), np.float32(0)))
        excitation = self._late_excitation.push(self._excitations.push(spectrum))
        if self._image is not None:
            self._image.share(observed, [excitation[n] for n in self._noises])
        predicted = np.zeros(excitation.shape[1:], np.complex64)
        # Between bands the envelope is interpolated in decibels, but shares of power as they are:
        # those of the sum then add up to one everywhere.
        envelope = 0.5 * np.logaddexp.reduce(2 * gains, axis=2)
        shares = np.exp(2 * (gains - envelope[:, :, None]))
        for number, source in enumerate(excitation):
            source *= np.sqrt(shares[:, :, number] @ self._interpolation)
            predicted += source
        predicted *= np.exp(envelope @ self._interpolation) * amplitude[..., None]
        residual = np.zeros_like(observed)
        predicted -= observed[..., self._first :]
        residual[..., self._first :] = self._weight * predicted
        if self._width is not None:
            self._width.fit(observed, residual)
        return observed, residual


class SourceFilterModel(FrameModel):
    """The second generation of extender; see :mod:`overtone.models.source_filter`."""

    info_type: ClassVar[type[ModelInfo]] = SourceFilterInfo
    signals: ClassVar[tuple[str, ...]] = ("power",)
    conditions: ClassVar[tuple[str, ...]] = ("cutoff_hz",)
    output: ClassVar[str] = "gains"
    info: SourceFilterInfo

    def predictor(self, channels: int, conditions: Mapping[str, float]) -> SourceFilterPredictor:
        """Start predicting frames; see :meth:`FrameModel.predictor`."""
        return SourceFilterPredictor(self.info, self.network, channels, conditions)
