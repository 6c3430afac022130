"""Where a codec's or a filter's output really ends, by comparison with the original."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import signal


def codec_edge_hz(original: NDArray[Any], coded: NDArray[Any], sample_rate: int) -> float:
    """Return where ``coded`` falls 10 dB under ``original`` for half an octave or for good, in Hz.

    Both are ``[samples]`` at one rate. Only bands from 1 kHz up count, in which either lies
    within 75 dB of its strongest; where none falls, it is the end of the last of them.
    """
    hz, before = signal.welch(original, sample_rate, nperseg=2048)
    _, after = signal.welch(coded, sample_rate, nperseg=2048)
    edges_hz = 1000 * 2 ** (np.arange(200) / 24)
    edges_hz = edges_hz[edges_hz < sample_rate / 2]
    bands = np.digitize(hz, edges_hz)
    levels = np.array(
        [
            [power[bands == band].mean() for band in range(1, len(edges_hz))]
            for power in (before, after)
        ]
    )
    there = np.any(levels > levels.max() * 10**-7.5, axis=0)
    fallen = levels[1] < 0.1 * levels[0]
    for band in np.flatnonzero(there & fallen):
        if np.all(fallen[band : band + 12][there[band : band + 12]]):
            return float(edges_hz[band])
    return float(edges_hz[np.flatnonzero(there)[-1] + 1])
