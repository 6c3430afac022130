"""Cliffs in a spectrum: where all that is above lies far below what is just under it.

No sound of nature ends so; resamplers, codecs and steep filters do.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BANDS_PER_OCTAVE = 24
SHOULDER_BANDS, GAP_BANDS = 8, 3
"""Of a cliff: all of a third of an octave is higher than all that is an eighth of one above it."""
DIPS = 2
"""But for so many bands."""
BROW_BANDS, BROW_GAP_BANDS = 3, 1
"""Where it falls the most steeply: from all of an eighth of an octave to all above it."""
BRINK_DB = 10.0
"""The edge is where the level has fallen so far."""
FLAT_BANDS, FLAT_DB, FLAT_PART = 12, 2.0, 0.9
EDGE_OF_CLIFF = 0.97
"""Of that frequency: rather too low than too high."""


def find_cliffs(
    levels_db: NDArray[np.floating], gap_bands: int = GAP_BANDS, least_db: float = 0.0
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.floating]]:
    """Find the highest cliff of each of ``levels_db [n, bands]``, 24 bands an octave.

    Returns the last band before the edge, the band at its foot, both ``[n]``, and how high the
    cliff is in dB, ``[n]``; it is none where that is under ``least_db``.
    """
    count = levels_db.shape[1] - SHOULDER_BANDS - gap_bands
    if count < 1:
        none = np.zeros(len(levels_db), np.int64)
        return none, none, np.zeros(len(levels_db))
    above = np.maximum.accumulate(levels_db[:, ::-1], axis=1)[:, ::-1]
    above = above[:, SHOULDER_BANDS + gap_bands :]
    shoulders = np.lib.stride_tricks.sliding_window_view(levels_db, SHOULDER_BANDS, axis=1)
    # A gap between two partials is not the end of the shoulder.
    drop = np.sort(shoulders[:, :count], axis=2)[:, :, DIPS] - above
    at = drop.argmax(axis=1)
    foot = at + SHOULDER_BANDS + gap_bands
    down_db = np.take_along_axis(drop, at[:, None], 1)[:, 0]
    last = np.zeros(len(levels_db), np.int64)
    for row in np.flatnonzero(down_db >= least_db):
        end = foot[row]
        # The shoulder may begin to fall already: its upper quarter says how high it is.
        brink = np.sort(levels_db[row, at[row] : at[row] + SHOULDER_BANDS])[-2] - BRINK_DB
        last[row] = end - 1 - np.argmax(levels_db[row, :end][::-1] > brink)
    return last, foot, down_db


def steepness_db(levels_db: NDArray[np.floating]) -> float:
    """How far ``levels_db [bands]`` fall where they do so the most steeply, for good.

    The slope of a gentle filter falls as far as a resampler's edge, but not so at once.
    """
    above = np.maximum.accumulate(levels_db[::-1])[::-1][BROW_BANDS + BROW_GAP_BANDS :]
    brows = np.lib.stride_tricks.sliding_window_view(levels_db, BROW_BANDS).min(axis=1)
    return float((brows[: above.size] - above).max(initial=0.0))


def is_flat(levels_db: NDArray[np.floating], foot: int) -> bool:
    """Tell whether what is above the foot of a cliff is a white floor, such as dither."""
    above = levels_db[foot:]
    if above.size < FLAT_BANDS:
        return False
    # Images of a resampler may stick out of it.
    return bool(np.quantile(above, FLAT_PART) - np.median(above) < FLAT_DB)
