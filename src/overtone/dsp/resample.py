"""Sample-rate conversion as a stream, of exactly the length that was promised.

By soxr (VHQ), or by whole numbers without any filter: zeros between samples, every n-th sample.
"""

import numpy as np
import soxr
from numpy.typing import NDArray

QUALITY = "VHQ"

FloatArray = NDArray[np.float32]


def resampled_length(samples: int, rate_in: int, rate_out: int) -> int:
    """Return the length of a conversion: ``samples * rate_out / rate_in``, rounded half up."""
    return (2 * samples * rate_out + rate_in) // (2 * rate_in)


class StreamResampler:
    """Converts blocks ``[channels, n]`` from one rate to another without seams.

    Output starts aligned with the input. Over a whole stream it is exactly
    :func:`resampled_length` samples long. Equal rates pass samples through untouched.

    With ``zero_insertion`` of n, n - 1 zeros follow each sample first: that leaves the band whole
    up to its very end, and mirrors it above. If that makes the rates equal, nothing is filtered.
    """

    def __init__(
        self, rate_in: int, rate_out: int, channels: int, *, zero_insertion: int = 1
    ) -> None:
        self.rate_in, self.rate_out, self.channels = rate_in, rate_out, channels
        self._zero_insertion = zero_insertion
        raised_rate = zero_insertion * rate_in
        self._stream = (
            soxr.ResampleStream(raised_rate, rate_out, channels, dtype="float32", quality=QUALITY)
            if raised_rate != rate_out
            else None
        )
        self._taken = self._given = 0

    def push(self, block: FloatArray) -> FloatArray:
        """Return what of the output is known after ``block``."""
        self._taken += block.shape[1]
        return self._convert(self._insert_zeros(block), last=False)

    def flush(self) -> FloatArray:
        """Return the rest of the output; the stream is over."""
        rest = self._convert(np.zeros((self.channels, 0), np.float32), last=True)
        missing = resampled_length(self._taken, self.rate_in, self.rate_out) - self._given
        # soxr rounds the length of a stream its own way: at most a sample differs.
        return np.pad(rest, ((0, 0), (0, missing))) if missing > 0 else rest

    def _insert_zeros(self, block: FloatArray) -> FloatArray:
        if self._zero_insertion == 1:
            return block
        raised = np.zeros((self.channels, self._zero_insertion * block.shape[1]), np.float32)
        raised[:, :: self._zero_insertion] = self._zero_insertion * block
        return raised

    def _convert(self, block: FloatArray, *, last: bool) -> FloatArray:
        if self._stream is None:
            self._given += block.shape[1]
            return block
        interleaved = np.ascontiguousarray(block.T)
        out = self._stream.resample_chunk(interleaved, last=last)
        out = out.reshape(-1, self.channels).T
        if last:
            most = resampled_length(self._taken, self.rate_in, self.rate_out) - self._given
            out = out[:, :most]
        self._given += out.shape[1]
        return np.ascontiguousarray(out, dtype=np.float32)


class Decimator:
    """Takes every ``factor``-th sample of blocks ``[channels, n]``, from the first on.

    Nothing is filtered: what lies above the Nyquist frequency that remains is folded down.
    """

    def __init__(self, factor: int, channels: int) -> None:
        self._factor, self._channels = factor, channels
        self._skip = 0

    def push(self, block: FloatArray) -> FloatArray:
        """Return what of the output falls into the block."""
        kept = block[:, self._skip :: self._factor]
        self._skip = (self._skip - block.shape[1]) % self._factor
        return kept

    def flush(self) -> FloatArray:
        """Nothing: no sample waits."""
        return np.zeros((self._channels, 0), np.float32)


def resample(samples: FloatArray, rate_in: int, rate_out: int) -> FloatArray:
    """Convert ``[channels, samples]``; the result has :func:`resampled_length` samples."""
    if rate_in == rate_out:
        return samples
    stream = StreamResampler(rate_in, rate_out, samples.shape[0])
    return np.concatenate([stream.push(samples), stream.flush()], axis=1)
