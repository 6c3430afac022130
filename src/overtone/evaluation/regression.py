"""What every shipped model must go on scoring: a few seconds of the example recordings.

The scores are stored, and a test compares. A wrong weight file, a frame's shift or another STFT
moves them by far more than :data:`TOLERANCE`. ``tools/store_scores.py`` stores them anew.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overtone.audio.reader import read_audio
from overtone.dsp.resample import resample
from overtone.inference.enhancer import Enhancer
from overtone.metrics import lsd, lsd_hf, snr_db, texture_scores

Samples = NDArray[np.float32]

TOLERANCE = 0.02
EXCERPTS = {"speech_en_48k.flac": 0.5, "piano_44k.flac": 1.0}
"""Example recordings, and where in them the excerpt starts, s."""
SECONDS = 2.0
USUAL_CUTOFF_HZ = 4000.0
GIVEN_CUTOFF = 0.95
"""Of the low rate's Nyquist frequency: where soxr's band ends. The model is given it, so that the
cutoff detector may change without a word here."""
STORE_COMMAND = "python tools/store_scores.py"

Alter = Callable[[Samples, Samples], Samples]


def regression_scores(
    model: str | Path,
    examples: Path,
    *,
    alter: Alter = lambda output, _: output,
) -> dict[str, dict[str, float]]:
    """Score a model's outputs for excerpts of the recordings in ``examples``.

    The excerpts are brought to the model's rate where that is lower, and reduced to twice the
    cutoff it is made for (4 kHz where it is free). ``alter`` gets each output and the input at
    the same rate, ``[1, samples]``, and may spoil the output: a test of the guard itself.
    """
    enhancer = Enhancer(model, device="cpu", threads=1)
    info = enhancer.model.info
    cutoff_hz = max(min(USUAL_CUTOFF_HZ, info.max_cutoff_hz), info.min_cutoff_hz)
    scores = {}
    for name, start_s in EXCERPTS.items():
        whole, rate = read_audio(examples / name)
        excerpt = whole[:1, round(start_s * rate) : round((start_s + SECONDS) * rate)]
        if rate > info.sample_rate:
            excerpt, rate = resample(excerpt, rate, info.sample_rate), info.sample_rate
        low_rate = round(2 * cutoff_hz)
        low = resample(excerpt, rate, low_rate)
        high, _ = enhancer.enhance(
            low, low_rate, output_rate=rate, cutoff_hz=GIVEN_CUTOFF * low_rate / 2
        )
        length = min(excerpt.shape[1], high.shape[1])  # rates that do not divide round
        reference = excerpt[:, :length]
        output = alter(high[:, :length], resample(low, low_rate, rate)[:, :length])
        scores[name] = {
            "lsd": lsd(reference, output),
            "lsd_hf": lsd_hf(reference, output, rate, cutoff_hz),
            "snr_db": snr_db(reference, output),
        }
        texture = texture_scores(reference, output, rate, cutoff_hz)
        scores[name] |= {key: value for key, value in texture.items() if not np.isnan(value)}
    return scores


def departures(
    scores: dict[str, dict[str, float]], stored: dict[str, dict[str, float]]
) -> list[str]:
    """Say which scores are not within :data:`TOLERANCE` of what is stored, a line each."""
    lines = []
    for excerpt in scores.keys() | stored.keys():
        now, then = scores.get(excerpt, {}), stored.get(excerpt, {})
        for name in sorted(now.keys() | then.keys()):
            a, b = now.get(name, np.nan), then.get(name, np.nan)
            if not abs(a - b) <= TOLERANCE:  # nan is a departure, too
                lines.append(f"{excerpt}: {name} is {a:.3f}, stored {b:.3f}")
    return sorted(lines)
