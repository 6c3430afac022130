"""What lossy codecs leave of a recording: round trips in memory, from MP3 to the telephone's.

libsndfile does the coding, so nothing beyond the core install is needed; only AAC takes FFmpeg's
encoder through PyAV (extra ``formats``), in MP4, whose header tells the decoder how many priming
samples to drop. libsndfile takes a "compression level" from 0 to 1 instead of a bit rate; the level
that yields a wanted rate was found in its sources and is held by a test. The decoded audio is as
long as the original and aligned with it.
"""

import io
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import ArrayLike, NDArray

from overtone.errors import InvalidInputError, MissingExtraError

Samples = NDArray[np.float32]

MP3_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
MP3_DELAY_SAMPLES = 576 + 529
"""LAME's and the decoder's delay. A frame too small for the LAME tag (up to 64 kbit/s or so)
cannot tell the decoder to remove it."""
OPUS_RATES_HZ = (8000, 12000, 16000, 24000, 48000)
TELEPHONE_SUBTYPES = {"GSM": "GSM610", "mu-law": "ULAW", "A-law": "ALAW"}
GSM_BLOCK_SAMPLES = 320
AAC_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
AAC_FRAME_SAMPLES = 1024
AAC_LAYOUTS = {1: "mono", 2: "stereo"}


def mp3_roundtrip(samples: ArrayLike, sample_rate: int, bitrate_kbps: float) -> Samples:
    """Code as constant-bit-rate MP3 (LAME) and decode.

    ``samples`` are ``[samples]``, or ``[channels, samples]`` with one or two channels; so is the
    result. ``bitrate_kbps`` counts all channels: 32 to 320 from 32 kHz up, 8 to 160 from 16 kHz
    up, 8 to 64 below; LAME takes the standard's nearest rate. Raises InvalidInputError.

    Example:
        >>> noise = np.random.default_rng(0).standard_normal(48000) / 10
        >>> mp3_roundtrip(noise, 48000, 32).shape
        (48000,)
    """
    if sample_rate not in MP3_RATES_HZ:
        raise InvalidInputError(f"MP3 has no rate of {sample_rate} Hz; use one of {MP3_RATES_HZ}")
    low, high = (32, 320) if sample_rate >= 32000 else (8, 160 if sample_rate >= 16000 else 64)
    level = _level("MP3", bitrate_kbps, low, high)
    return _roundtrip(samples, sample_rate, "MP3", "MPEG_LAYER_III", level, "CONSTANT")


def opus_roundtrip(samples: ArrayLike, sample_rate: int, bitrate_kbps: float) -> Samples:
    """Code as Opus (variable bit rate) and decode; shapes as in :func:`mp3_roundtrip`.

    ``bitrate_kbps`` counts all channels, 6 to 256 for each. A rate that Opus does not have is
    coded at 48 kHz, as opusenc does. Raises InvalidInputError.
    """
    x = np.asarray(samples, dtype=np.float32)
    channels = x.shape[0] if x.ndim == 2 else 1
    level = _level("Opus", bitrate_kbps, 6 * channels, 256 * channels)
    if sample_rate in OPUS_RATES_HZ:
        return _roundtrip(x, sample_rate, "OGG", "OPUS", level)
    at_48k = soxr.resample(x.T, sample_rate, 48000, quality="VHQ").T
    decoded = _roundtrip(at_48k, 48000, "OGG", "OPUS", level)
    back = soxr.resample(decoded.T, 48000, sample_rate, quality="VHQ").T
    return fit(np.asarray(back, dtype=np.float32), x.shape[-1])


def vorbis_roundtrip(samples: ArrayLike, sample_rate: int, quality: float) -> Samples:
    """Code as Ogg Vorbis and decode; shapes as in :func:`mp3_roundtrip`, any rate.

    ``quality`` runs from 0 (about 64 kbit/s for 44.1 kHz stereo) to 10 (500), oggenc's scale.
    Raises InvalidInputError.
    """
    if not 0 <= quality <= 10:
        raise InvalidInputError(f"Vorbis quality must be from 0 to 10, not {quality:g}")
    return _roundtrip(samples, sample_rate, "OGG", "VORBIS", 1 - quality / 10)


def telephone_roundtrip(samples: ArrayLike, codec: str) -> Samples:
    """Code ``samples [samples]`` at 8 kHz as a telephone does, and decode; same length.

    ``codec`` is ``GSM`` (06.10 full rate, 13 kbit/s), ``mu-law`` or ``A-law`` (G.711, 64 kbit/s).
    Raises InvalidInputError, also where libsndfile was built without the codec.
    """
    x = np.asarray(samples, dtype=np.float32)
    if codec not in TELEPHONE_SUBTYPES:
        known = ", ".join(TELEPHONE_SUBTYPES)
        raise InvalidInputError(f"no telephone codec {codec!r}; known: {known}")
    subtype = TELEPHONE_SUBTYPES[codec]
    if subtype not in soundfile.available_subtypes("WAV"):
        raise InvalidInputError(f"this libsndfile has no {codec}")
    if x.ndim != 1:
        raise InvalidInputError(f"telephone codecs take [samples], not {x.shape}")
    if x.size == 0:
        return x.copy()
    whole = fit(x, -(-x.size // GSM_BLOCK_SAMPLES) * GSM_BLOCK_SAMPLES)
    stream = io.BytesIO()
    soundfile.write(stream, whole, 8000, format="WAV", subtype=subtype)
    decoded, _ = soundfile.read(io.BytesIO(stream.getvalue()), dtype="float32")
    return fit(decoded, x.size)


def aac_roundtrip(samples: ArrayLike, sample_rate: int, bitrate_kbps: float) -> Samples:
    """Code as AAC-LC in MP4 and decode.

    ``samples`` are ``[samples]``, or ``[channels, samples]`` with one or two channels; so is the
    result. ``bitrate_kbps`` counts all channels; the encoder comes near it. Raises
    MissingExtraError without PyAV, InvalidInputError for a rate or shape that AAC cannot have.
    """
    x = np.asarray(samples, dtype=np.float32)
    if sample_rate not in AAC_RATES_HZ:
        raise InvalidInputError(f"AAC has no rate of {sample_rate} Hz; use one of {AAC_RATES_HZ}")
    if x.ndim not in (1, 2) or (x.ndim == 2 and x.shape[0] not in AAC_LAYOUTS):
        raise InvalidInputError(f"codecs take [samples] or [1 or 2, samples], not {x.shape}")
    if not 8 <= bitrate_kbps <= 512:
        raise InvalidInputError(f"AAC bit rate must be 8 to 512 kbit/s, not {bitrate_kbps:g}")
    if x.shape[-1] == 0:
        return x.copy()
    try:
        import av
    except ImportError as error:
        raise MissingExtraError("coding AAC", "formats") from error
    coded = _encode_aac(av, np.atleast_2d(x), sample_rate, bitrate_kbps)
    with av.open(io.BytesIO(coded), "r") as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
    decoded = np.concatenate(frames, axis=1).astype(np.float32, copy=False)
    return fit(decoded, x.shape[-1]).reshape(x.shape)


def _level(codec: str, bitrate_kbps: float, low_kbps: float, high_kbps: float) -> float:
    """Return the level for a bit rate: libsndfile maps 0..1 linearly to highest..lowest."""
    if not low_kbps <= bitrate_kbps <= high_kbps:
        raise InvalidInputError(
            f"{codec} bit rate must be from {low_kbps} to {high_kbps} kbit/s here, "
            f"not {bitrate_kbps:g}"
        )
    # libsndfile refuses MP3 at exactly 1.
    return min((high_kbps - bitrate_kbps) / (high_kbps - low_kbps), 0.9999)


def _roundtrip(
    samples: ArrayLike,
    sample_rate: int,
    container: str,
    subtype: str,
    level: float,
    bitrate_mode: str | None = None,
) -> Samples:
    x = np.asarray(samples, dtype=np.float32)
    if x.ndim not in (1, 2) or (x.ndim == 2 and x.shape[0] > 2):
        raise InvalidInputError(f"codecs take [samples] or [1 or 2, samples], not {x.shape}")
    if x.shape[-1] == 0:
        return x.copy()
    coded = _encode(np.atleast_2d(x), sample_rate, container, subtype, level, bitrate_mode)
    decoded, _ = soundfile.read(io.BytesIO(coded), dtype="float32", always_2d=True)
    y = decoded.T
    if container == "MP3" and y.shape[-1] != x.shape[-1]:
        y = y[:, MP3_DELAY_SAMPLES:]
    return fit(y, x.shape[-1]).reshape(x.shape)


def _encode(
    x: Samples,
    sample_rate: int,
    container: str,
    subtype: str,
    level: float,
    bitrate_mode: str | None,
) -> bytes:
    stream = io.BytesIO()
    with soundfile.SoundFile(
        stream,
        "w",
        sample_rate,
        x.shape[0],
        format=container,
        subtype=subtype,
        compression_level=level,
        bitrate_mode=bitrate_mode,
    ) as file:
        # A second at a time: libsndfile crashes on long Vorbis writes.
        for start in range(0, x.shape[1], sample_rate):
            file.write(x[:, start : start + sample_rate].T)
    return stream.getvalue()


def fit(x: Samples, samples: int) -> Samples:
    """Cut or zero-pad the last axis to a length."""
    missing = samples - x.shape[-1]
    pad = [(0, 0)] * (x.ndim - 1) + [(0, max(0, missing))]
    return np.pad(x, pad)[..., :samples]


def _encode_aac(av: Any, x: Samples, sample_rate: int, bitrate_kbps: float) -> bytes:
    layout = AAC_LAYOUTS[x.shape[0]]
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as container:
        track = container.add_stream("aac", rate=sample_rate, layout=layout)
        track.bit_rate = round(1000 * bitrate_kbps)
        for start in range(0, x.shape[1], AAC_FRAME_SAMPLES):
            block = np.ascontiguousarray(x[:, start : start + AAC_FRAME_SAMPLES])
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
            frame.sample_rate, frame.pts = sample_rate, start
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    return stream.getvalue()
