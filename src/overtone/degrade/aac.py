"""What AAC leaves of a recording: a round trip in memory through FFmpeg's own encoder.

PyAV (extra ``formats``) does the coding. The MP4 container tells the decoder how many priming
samples to drop, so the decoded audio is aligned with the original; a test holds this.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from overtone.degrade.codecs import fit
from overtone.errors import InvalidInputError, MissingExtraError

AAC_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
FRAME_SAMPLES = 1024
_LAYOUTS = {1: "mono", 2: "stereo"}


def aac_roundtrip(samples: ArrayLike, sample_rate: int, bitrate_kbps: float) -> NDArray[np.float32]:
    """Code as AAC-LC in MP4 and decode.

    ``samples`` are ``[samples]``, or ``[channels, samples]`` with one or two channels; so is the
    result. ``bitrate_kbps`` counts all channels; the encoder comes near it. Raises
    MissingExtraError without PyAV, InvalidInputError for a rate or shape that AAC cannot have.
    """
    x = np.asarray(samples, dtype=np.float32)
    if sample_rate not in AAC_RATES_HZ:
        raise InvalidInputError(f"AAC has no rate of {sample_rate} Hz; use one of {AAC_RATES_HZ}")
    if x.ndim not in (1, 2) or (x.ndim == 2 and x.shape[0] not in _LAYOUTS):
        raise InvalidInputError(f"codecs take [samples] or [1 or 2, samples], not {x.shape}")
    if not 8 <= bitrate_kbps <= 512:
        raise InvalidInputError(f"AAC bit rate must be 8 to 512 kbit/s, not {bitrate_kbps:g}")
    if x.shape[-1] == 0:
        return x.copy()
    try:
        import av
    except ImportError as error:
        raise MissingExtraError("coding AAC", "formats") from error
    coded = _encode(av, np.atleast_2d(x), sample_rate, bitrate_kbps)
    with av.open(io.BytesIO(coded), "r") as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
    decoded = np.concatenate(frames, axis=1).astype(np.float32, copy=False)
    return fit(decoded, x.shape[-1]).reshape(x.shape)


def _encode(av: Any, x: NDArray[np.float32], sample_rate: int, bitrate_kbps: float) -> bytes:
    layout = _LAYOUTS[x.shape[0]]
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as container:
        track = container.add_stream("aac", rate=sample_rate, layout=layout)
        track.bit_rate = round(1000 * bitrate_kbps)
        for start in range(0, x.shape[1], FRAME_SAMPLES):
            block = np.ascontiguousarray(x[:, start : start + FRAME_SAMPLES])
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
            frame.sample_rate, frame.pts = sample_rate, start
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    return stream.getvalue()
