"""Spectrogram pictures: recordings side by side, all on one scale (extra ``plot``)."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overtone.dsp.stft import hann, stft
from overtone.errors import InvalidInputError
from overtone.report.drawing import (
    DOTS_PER_INCH,
    check_picture_path,
    picture,
    require_matplotlib,
)

RANGE_DB = 90.0
_SATURATED = 1e-3  # share of the loudest points drawn in one colour, to leave more for the rest
_LOWEST_TOP_DB = -60.0  # so that silence is black
_WINDOW_S = 0.032
_MAX_COLUMNS = 1200
_PANELS_PER_ROW = 4
_STYLE = {
    "figure.constrained_layout.h_pad": 0.12,
    "figure.constrained_layout.w_pad": 0.12,
    "axes.edgecolor": "#30363d",
    "axes.facecolor": "#000004",  # the bottom of magma: nothing was recorded there
    "axes.labelcolor": "#c9d1d9",
    "axes.titlecolor": "#f0f6fc",
    "axes.titlesize": 14,
    "axes.titleweight": "bold",
    "axes.titlepad": 9,
    "axes.labelsize": 12,
    "figure.facecolor": "#0d1117",
    "font.family": "sans-serif",
    "font.size": 11,
    "savefig.facecolor": "#0d1117",
    "text.color": "#c9d1d9",
    "xtick.color": "#8b949e",
    "ytick.color": "#8b949e",
}


def plot_spectrograms(
    named_signals: Sequence[tuple[str, NDArray[np.floating], int]],
    path: str | Path | Sequence[Path],
    *,
    cutoff_hz: float | Sequence[float | None] | None = None,
    dots_per_inch: int = DOTS_PER_INCH,
    overwrite: bool = False,
) -> None:
    """Draw the spectrograms of recordings side by side, all on one scale, into one picture.

    ``named_signals`` holds ``(title, samples, sample_rate)``, samples ``[samples]`` or
    ``[channels, samples]`` (the mean power of the channels is drawn). Every panel has the same
    frequency axis, up to the highest Nyquist frequency, and the same time axis, up to the longest
    recording's end, so a low rate shows as emptiness above its own, and a short recording as
    emptiness after it; and the same colours, 90 dB down from the loudest 0.1 % of points.
    ``cutoff_hz``, one for all or one for each (None: no mark), is marked by a dashed line. The
    suffix of ``path`` chooses PNG, PDF or SVG; several paths get one picture
    each. The same recordings give the same bytes.

    Raises :class:`~overtone.errors.MissingExtraError` without matplotlib, and
    :class:`~overtone.errors.InvalidInputError` for another suffix, empty samples, or a picture
    that exists and may not be overwritten.
    """
    paths = [Path(path)] if isinstance(path, str | Path) else path
    for each in paths:
        check_picture_path(each, overwrite=overwrite)
    require_matplotlib()
    if not named_signals:
        raise InvalidInputError("no recording to draw: pass at least one")

    levels = [_levels_db(title, samples, rate) for title, samples, rate in named_signals]
    loud = (float(np.quantile(level, 1 - _SATURATED)) for level in levels)
    top_db = max(_LOWEST_TOP_DB, *loud)
    nyquist_hz = max(rate for _, _, rate in named_signals) / 2
    longest_s = max(samples.shape[-1] / rate for _, samples, rate in named_signals)
    marks = cutoff_hz if isinstance(cutoff_hz, Sequence) else [cutoff_hz] * len(named_signals)
    columns = min(len(named_signals), _PANELS_PER_ROW)
    rows = math.ceil(len(named_signals) / columns)
    size = (1.2 + 4.9 * columns, 0.3 + 3.9 * rows)
    with picture(paths, size, _STYLE, dots_per_inch=dots_per_inch, overwrite=overwrite) as figure:
        panels = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
        drawn = panels[: len(named_signals)]
        for panel, (title, samples, rate), level, mark_hz in zip(
            drawn, named_signals, levels, marks, strict=True
        ):
            image = _draw_panel(panel, level, samples.shape[-1] / rate, rate, top_db)
            panel.set(title=title, xlabel="time (s)", ylim=(0, nyquist_hz / 1000))
            panel.set_xlim(0, longest_s)
            if mark_hz is not None:
                _mark_cutoff(panel, mark_hz)
        for panel in panels[len(named_signals) :]:
            panel.set_visible(False)
        for row in range(rows):
            panels[row * columns].set_ylabel("frequency (kHz)")
        bar = figure.colorbar(image, ax=panels, pad=0.015, aspect=30)
        bar.set_label("level (dB of full scale)")
        bar.outline.set_visible(False)


def _levels_db(title: str, samples: NDArray[np.floating], rate: int) -> NDArray[np.float64]:
    """Return levels ``[bins, columns]`` in dB, 0 dB being a sine of full scale.

    Every recording gets windows of one duration, whatever its rate, so that colours compare.
    """
    channels = np.atleast_2d(samples)
    if channels.ndim != 2 or channels.size == 0:
        raise InvalidInputError(f"{title}: no samples to draw (shape {samples.shape})")
    size = max(round(_WINDOW_S * rate / 2) * 2, 16)
    hop = max(size // 8, math.ceil(channels.shape[1] / _MAX_COLUMNS))
    window = hann(size)
    padded = np.pad(channels, ((0, 0), (size // 2, size // 2)), mode="reflect")
    power = np.zeros(())
    for channel in padded:
        spectrum = stft(channel, window, hop)
        power = power + np.abs(spectrum.T) ** 2 / len(channels)
    return np.asarray(10 * np.log10(np.maximum(power * (2 / window.sum()) ** 2, 1e-20)))


def _draw_panel(
    panel: Any, level_db: NDArray[np.float64], duration_s: float, rate: int, top_db: float
) -> Any:
    image = panel.imshow(
        level_db,
        cmap="magma",
        vmin=top_db - RANGE_DB,
        vmax=top_db,
        extent=(0, duration_s, 0, rate / 2000),
        origin="lower",
        aspect="auto",
        interpolation="bilinear",
    )
    panel.tick_params(length=3)
    return image


def _mark_cutoff(panel: Any, cutoff_hz: float) -> None:
    panel.axhline(cutoff_hz / 1000, color="#f0f6fc", linewidth=1, linestyle=(0, (6, 4)), alpha=0.8)
    panel.annotate(
        f"{cutoff_hz / 1000:.3g} kHz",
        (1, cutoff_hz / 1000),
        xycoords=("axes fraction", "data"),
        xytext=(-6, 4),
        textcoords="offset points",
        horizontalalignment="right",
        color="#f0f6fc",
    )
