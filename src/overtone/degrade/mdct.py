"""What a transform codec at a low bit rate leaves, cheap enough to be drawn anew in every crop.

MP3, AAC and Vorbis quantise the lapped cosine transform (MDCT; Princen, Johnson & Bradley 1987)
of each frame, band by band. At a given bit rate the signal-to-noise ratio that is left falls with
frequency: of LAME's output at 32 to 96 kbit/s for speech at 48 kHz it was measured as 24 dB at
the bottom and then a constant number of dB less for each Bark, from 0.6 at 96 kbit/s over 0.85 at
64 and 0.95 at 48 to 1.1 at 32. Where nothing of the 24 dB is left, coefficients become zero:
holes that open and close from frame to frame. This quantiser does the same with that number.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from overtone.errors import InvalidInputError

Samples = NDArray[np.float32]

# Signal-to-noise ratio of the lowest bands, dB.
BOTTOM_SNR_DB = 24.0
# MP3's long blocks: 576 lines, scale-factor bands of ISO/IEC 11172-3, table B.8, at 48 kHz.
BLOCK_SECONDS = 576 / 48000
BAND_LINES = (0, 4, 8, 12, 16, 20, 24, 30, 36, 42, 50, 60, 72, 88, 106, 128, 156, 190, 230, 276)
BAND_EDGES_HZ = np.array([*BAND_LINES, 330, 384]) * (24000 / 576)


def transform_coded(samples: Samples, sample_rate: int, snr_fall_db: float) -> Samples:
    """Quantise ``samples [..., samples]`` as a transform codec does; same shape and alignment.

    ``snr_fall_db``: by how much the signal-to-noise ratio falls for each Bark, dB; 0.6 to 1.1 is
    MP3 at 96 to 32 kbit/s. No band is cut off as a whole: low-pass the recording for that.

    Raises InvalidInputError for a negative fall.
    """
    if not snr_fall_db >= 0:
        raise InvalidInputError(f"the ratio's fall must be 0 dB or more, not {snr_fall_db:g}")
    length = samples.shape[-1]
    # Half a block must be whole.
    block = max(2, 2 * round(BLOCK_SECONDS * sample_rate / 2))
    lines = _mdct(samples, block)
    line_hz = (np.arange(block) + 0.5) * (sample_rate / 2 / block)
    band = np.searchsorted(BAND_EDGES_HZ, line_hz, side="right") - 1
    starts = np.flatnonzero(np.diff(band, prepend=-1))
    counts = np.diff(starts, append=block)
    energy = np.add.reduceat(lines * lines, starts, axis=-1) / counts
    centre_hz = np.add.reduceat(line_hz, starts) / counts
    snr_db = BOTTOM_SNR_DB - snr_fall_db * np.maximum(_bark(centre_hz), 0)
    # A uniform quantiser's noise is a twelfth of its step squared.
    step = np.sqrt(12 * energy) * (10 ** (-snr_db / 20)).astype(np.float32)
    step = np.repeat(step, counts, axis=-1) + np.float32(1e-12)
    return _inverse_mdct(np.round(lines / step) * step, length)


def _bark(frequency_hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the critical-band rate, Bark (Traunmueller 1990)."""
    return 26.81 * frequency_hz / (1960 + frequency_hz) - 0.53


def _taper(block: int) -> Samples:
    return np.sin(np.pi * (np.arange(2 * block) + 0.5) / (2 * block)).astype(np.float32)


def _mdct(samples: Samples, block: int) -> Samples:
    """Map ``[..., samples]`` to ``[..., frames, block]``, a frame for every block and one more."""
    length = samples.shape[-1]
    count = -(-length // block) + 1
    around = [(0, 0)] * (samples.ndim - 1)
    padded = np.pad(samples, [*around, (block, count * block - length)])
    whole = padded.reshape(*samples.shape[:-1], count + 1, block)
    pieces = np.concatenate([whole[..., :-1, :], whole[..., 1:, :]], axis=-1) * _taper(block)
    a, b, c, d = np.split(pieces, 4, axis=-1)
    folded = np.concatenate([-c[..., ::-1] - d, a - b[..., ::-1]], axis=-1)
    return np.asarray(fft.dct(folded, type=4, norm="ortho"), np.float32)


def _inverse_mdct(lines: Samples, length: int) -> Samples:
    """Return the inverse of :func:`_mdct`: overlapping halves cancel each other's aliases."""
    block = lines.shape[-1]
    first, second = np.split(fft.dct(lines, type=4, norm="ortho"), 2, axis=-1)
    pieces = np.concatenate([second, -second[..., ::-1], -first[..., ::-1], -first], axis=-1)
    pieces *= _taper(block)
    whole = pieces[..., :-1, block:] + pieces[..., 1:, :block]
    return np.asarray(whole.reshape(*lines.shape[:-2], -1)[..., :length], np.float32)
