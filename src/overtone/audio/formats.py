"""Which audio formats overtone reads and writes, what each can hold, and how many bits to keep.

Everything here is a table or a decision about names and numbers; nothing touches a disk except
the question whether a path is there. Names of containers and subtypes are libsndfile's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from overtone.errors import AudioFileError


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says.

    ``frames`` counts samples per channel. It is ``None`` where the header does not tell (streamed
    FLAC, WebM, bare AAC, MP3 without index).
    ``format`` and ``subtype`` are libsndfile's names ("WAV", "PCM_24"), or FFmpeg's for container
    and codec ("MP4", "AAC") for files decoded by PyAV.
    """

    path: Path
    sample_rate: int
    channels: int
    frames: int | None
    format: str
    subtype: str

    @property
    def duration_s(self) -> float | None:
        """Length in seconds, or ``None`` where the header does not tell."""
        return None if self.frames is None else self.frames / self.sample_rate


@dataclass(frozen=True)
class OutputFormat:
    """A container that can be written, and its limits.

    ``subtypes`` runs from few bits to many, the plain ones first; ``rates`` of ``None`` means any
    rate up to ``max_rate``.
    """

    container: str
    subtypes: tuple[str, ...]
    default_subtype: str
    max_channels: int = 1024
    max_rate: int = 2**31 - 1
    rates: tuple[int, ...] | None = None
    compression_level: float | None = None


_PCM = ("PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")
_RIFF_SUBTYPES = ("PCM_U8", *_PCM)
_IFF_SUBTYPES = ("PCM_S8", *_PCM)
_OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)

# The predicted high band is the point of the exercise, so MP3 and Vorbis do not run at libsndfile's
# defaults, whose low-pass is at 17 and 19 kHz: these levels keep the band to 24 kHz.
_MP3 = OutputFormat(
    "MP3", ("MPEG_LAYER_III",), "MPEG_LAYER_III", 2, 48000, _MP3_RATES, compression_level=0.0
)
# libsndfile 1.2 crashes the process when Vorbis is opened above 200 kHz.
_VORBIS = OutputFormat("OGG", ("VORBIS",), "VORBIS", 255, 192000, compression_level=0.3)
_OPUS = OutputFormat("OGG", ("OPUS",), "OPUS", 255, 48000, _OPUS_RATES)
_AIFF = OutputFormat("AIFF", _IFF_SUBTYPES, "PCM_24")
_AU = OutputFormat("AU", _IFF_SUBTYPES, "PCM_24")

#: A sample of this or more is no sound, but a damaged number: 1e18, as float32 has it.
MAX_MAGNITUDE = 9.9999998e17
#: No block is of more numbers than this, however many channels and whatever rate.
MAX_BLOCK_VALUES = 1 << 20

#: File name extension -> what is written under it.
OUTPUT_FORMATS: Mapping[str, OutputFormat] = MappingProxyType(
    {
        ".wav": OutputFormat("WAV", _RIFF_SUBTYPES, "PCM_24"),
        ".flac": OutputFormat("FLAC", ("PCM_S8", "PCM_16", "PCM_24"), "PCM_24", 8, 655350),
        ".mp3": _MP3,
        ".ogg": _VORBIS,
        ".oga": _VORBIS,
        ".opus": _OPUS,
        ".aiff": _AIFF,
        ".aif": _AIFF,
        ".w64": OutputFormat("W64", _RIFF_SUBTYPES, "PCM_24"),
        ".rf64": OutputFormat("RF64", _RIFF_SUBTYPES, "PCM_24"),
        # ALAC_32 is left out: libsndfile 1.2 writes noise under that name.
        ".caf": OutputFormat("CAF", (*_IFF_SUBTYPES, "ALAC_16", "ALAC_24"), "PCM_24"),
        ".au": _AU,
        ".snd": _AU,
    }
)

#: Extensions of what libsndfile cannot open and PyAV (extra ``formats``) can.
PYAV_EXTENSIONS = (
    frozenset((".m4a", ".m4b", ".aac", ".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".webm", ".mkv"))
    | frozenset((".mka", ".wma", ".amr", ".awb", ".wv", ".ac3", ".eac3", ".spx", ".ape", ".tta"))
    | frozenset((".dsf", ".mpc"))
)

#: Extensions that a search through folders takes for audio.
INPUT_EXTENSIONS = (
    frozenset(OUTPUT_FORMATS) | {".wave", ".bwf", ".bw64", ".aifc", ".mp2"} | PYAV_EXTENSIONS
)

#: Bits of an integer subtype; a subtype that is missing here is floating point or lossy.
INTEGER_BITS: Mapping[str, int] = MappingProxyType(
    {
        "PCM_S8": 8,
        "PCM_U8": 8,
        "PCM_16": 16,
        "PCM_24": 24,
        "PCM_32": 32,
        "ALAC_16": 16,
        "ALAC_20": 20,
        "ALAC_24": 24,
        "ALAC_32": 32,
    }
)
FLOAT_SUBTYPES = frozenset(("FLOAT", "DOUBLE"))

# Floating point counts as more than any integer, double as more than single.
_DEPTH_ORDER: Mapping[str, int] = {**INTEGER_BITS, "FLOAT": 33, "DOUBLE": 65}


def output_format(path: Path) -> OutputFormat:
    """Return the format that ``path``'s extension asks for.

    Raises:
        AudioFileError: nothing is written under that extension.
    """
    suffix = path.suffix.lower()
    if suffix not in OUTPUT_FORMATS:
        supported = ", ".join(OUTPUT_FORMATS)
        shown = f"files ending in {path.suffix}" if suffix else "a name without extension"
        raise AudioFileError(f"{path}: cannot write {shown}; use one of {supported}")
    return OUTPUT_FORMATS[suffix]


def choose_subtype(
    path: Path, output: OutputFormat, subtype: str | None, like: AudioInfo | None
) -> str:
    """Return the subtype to write: the one asked for, else ``like``'s bit depth, else the default.

    Where the format lacks ``like``'s depth, the next greater is taken, or the greatest there is.
    A lossy or companded source (MP3, AAC, mu-law) has no depth to keep: it gets the default.

    Raises:
        AudioFileError: the format cannot hold ``subtype``.
    """
    if subtype is not None:
        if subtype.upper() not in output.subtypes:
            known = ", ".join(output.subtypes)
            raise AudioFileError(
                f"{path}: {path.suffix} files cannot hold {subtype!r} samples; use one of {known}"
            )
        return subtype.upper()
    if (
        like is None
        or like.subtype not in _DEPTH_ORDER
        or output.default_subtype not in _DEPTH_ORDER
    ):
        return output.default_subtype
    if like.subtype in output.subtypes:
        return like.subtype
    depth = _DEPTH_ORDER[like.subtype]
    enough = [name for name in output.subtypes if _DEPTH_ORDER[name] >= depth]
    return enough[0] if enough else max(output.subtypes, key=_DEPTH_ORDER.__getitem__)


def check_limits(
    path: Path, output: OutputFormat, subtype: str, sample_rate: int, channels: int
) -> None:
    """Raise AudioFileError unless the format can hold this rate (Hz) and number of channels."""
    most = 8 if subtype.startswith("ALAC") else output.max_channels
    if not 1 <= channels <= most:
        raise AudioFileError(
            f"{path}: {path.suffix} files hold 1 to {most} channels, not {channels}; "
            "write .wav instead"
        )
    if output.rates is not None and sample_rate not in output.rates:
        listed = ", ".join(f"{rate}" for rate in output.rates)
        raise AudioFileError(
            f"{path}: {path.suffix} files cannot have a rate of {sample_rate} Hz; "
            f"choose {listed} Hz (output_rate) or write .wav or .flac instead"
        )
    if not 1 <= sample_rate <= output.max_rate:
        raise AudioFileError(
            f"{path}: {path.suffix} files have rates of 1 to {output.max_rate} Hz, "
            f"not {sample_rate}; choose another (output_rate) or write .wav instead"
        )
    # FLAC stores rates above 65535 Hz in tens of Hz.
    if output.container == "FLAC" and sample_rate > 65535 and sample_rate % 10:
        raise AudioFileError(
            f"{path}: .flac files cannot have a rate of {sample_rate} Hz; "
            "choose a multiple of 10 Hz (output_rate) or write .wav instead"
        )


def same_format(info: AudioInfo, destination: Path, subtype: str | None) -> bool:
    """Tell whether a file as ``info`` describes it is what would be written to ``destination``."""
    output = OUTPUT_FORMATS.get(destination.suffix.lower())
    container = "WAV" if info.format in ("WAVEX", "RF64") else info.format
    if output is None or container != output.container.replace("RF64", "WAV"):
        return False
    if container in ("OGG", "MP3") and info.subtype not in output.subtypes:
        return False
    return subtype is None or subtype.upper() == info.subtype
