"""What is fuzzed: for each kind of file, good examples, and what overtone does with such a file.

A target may refuse a file by an OvertoneError of one line; everything else is a finding.
"""

import functools
import io
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from service import request_seeds, socket_seeds, use_request, use_socket

from overtone.errors import OvertoneError

ROOT = Path(__file__).resolve().parents[2]
RATE = 8000
FORMATS = ("wav", "flac", "mp3", "ogg", "opus", "aiff", "w64", "rf64", "caf", "au")
FFMPEG = {"m4a": "aac", "webm": "libopus", "mkv": "aac", "wv": "wavpack", "ac3": "ac3"}


class FindingError(Exception):
    """A promise that did not hold, though nothing was raised."""


@dataclass(frozen=True)
class Target:
    """``seeds()`` gives good files; ``use(path)`` does with one what a user does."""

    suffix: str
    seeds: Callable[[], list[bytes]]
    use: Callable[[Path], None]


def _noise(seconds: float = 0.3, channels: int = 2):
    rng = np.random.default_rng(1)
    return (0.1 * rng.standard_normal((channels, round(seconds * 2 * RATE)))).astype(np.float32)


def _audio_seeds(suffix: str) -> list[bytes]:
    from overtone.audio.carried import Carried
    from overtone.audio.tags import Tags
    from overtone.audio.writer import AudioWriter

    seeds = []
    for channels in (1, 2):
        file, carried = io.BytesIO(), Carried(2 * RATE, Tags({"title": ["Fuzz"]}))
        with AudioWriter(file, 2 * RATE, channels, file_format=suffix, carried=carried) as writer:
            writer.write(_noise(channels=channels))
        seeds.append(file.getvalue())
    return seeds


def _ffmpeg_seeds(suffix: str) -> list[bytes]:
    import av

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"a.{suffix}")
        with av.open(str(path), "w") as container:
            stream = container.add_stream(FFMPEG[suffix], rate=48000, layout="mono")
            frame = av.AudioFrame.from_ndarray(_noise(1.0, 1), "fltp", "mono")
            frame.sample_rate = 48000
            for piece in (frame, None):
                for made in av.AudioResampler(stream.format, "mono", 48000, 960).resample(piece):
                    container.mux(stream.encode(made))
            container.mux(stream.encode(None))
        return [path.read_bytes()]


@functools.cache
def _enhancer():
    from overtone import Enhancer

    return Enhancer("speech-faithful", device="cpu", threads=1)


def _use_audio(path: Path) -> None:
    """Read it all, with its tags; write it out; enhance one in sixteen, by its bytes."""
    from overtone.audio.reader import AudioReader, probe
    from overtone.audio.writer import AudioWriter

    out = path.with_name("out.flac")
    try:
        with AudioReader(path) as reader:
            info = reader.info
            if info.channels > 8 or not 1000 <= info.sample_rate <= 192_000:
                return
            whole = 0
            with AudioWriter(out, info.sample_rate, info.channels, carried=reader.carried()) as to:
                for block in reader.blocks(8000):
                    whole += block.shape[1]
                    if whole > 2_000_000:
                        raise OvertoneError("long enough")
                    to.write(block)
    except OvertoneError:
        if out.exists():
            raise FindingError("a partial output") from None
        raise
    if probe(out).frames != whole:
        raise FindingError(f"wrote {probe(out).frames} of {whole} samples")
    if sum(path.read_bytes()[-64:]) % 16 == 0:
        _enhancer().enhance_file(path, path.with_name("enhanced.wav"))
        samples = _samples(path.with_name("enhanced.wav"))
        if not np.isfinite(samples).all():
            raise FindingError("NaN came out")


def _samples(path: Path):
    from overtone.audio.reader import read_audio

    return read_audio(path)[0]


def _stream_seeds() -> list[bytes]:
    from overtone.audio.pcm import PcmFormat

    formats = [PcmFormat(kind, RATE, 1) for kind in ("s16", "s24", "s32", "f32")]
    return [made.wav_header() + made.encode(_noise(0.1, 1)) for made in formats]


def _use_stream(path: Path) -> None:
    from overtone import StreamEnhancer
    from overtone.audio.pcm import read_wav_header

    with path.open("rb") as file:
        pcm, limit = read_wav_header(file, "stream")
        stream = StreamEnhancer(
            pcm.sample_rate, pcm.channels, enhancer=_enhancer(), cutoff_hz=pcm.sample_rate / 4
        )
        data = file.read(min(limit or 1 << 16, 1 << 16))
        whole = len(data) // pcm.frame_bytes * pcm.frame_bytes
        out = np.concatenate([stream.push(pcm.decode(data[:whole])), stream.flush()], axis=1)
    if not np.isfinite(out).all():
        raise FindingError("NaN came out")


def _model_seeds() -> list[bytes]:
    import onnx
    from onnx import helper

    from overtone.inference.model import list_models

    ends = [helper.make_tensor_value_info(n, 1, ["channels", "samples"]) for n in ("low", "high")]
    node = helper.make_node("Abs", ["low"], ["high"])
    graph = helper.make_graph([node], "g", ends[:1], ends[1:])
    seeds = []
    for info in list_models():
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        made.metadata_props.add(key="overtone", value=info.model_dump_json())
        seeds.append(made.SerializeToString())
    assert onnx.load_from_string(seeds[0])
    return seeds


def _use_model(path: Path) -> None:
    from overtone import Enhancer

    enhancer = Enhancer(path, device="cpu", threads=1)
    low = enhancer.model.info.sample_rate
    if low > 96_000:
        return
    rate = max(1000, low // 4)
    samples, _ = enhancer.enhance(_noise(0.1, 1)[0], rate, output_rate=low, cutoff_hz=rate / 2)
    if not np.isfinite(samples).all():
        raise FindingError("NaN came out")


def _archive_seeds() -> list[bytes]:
    from overtone.data import archive
    from overtone.data.patches import PatchSettings

    settings = PatchSettings(scale=2, dimension=64, stride=32, interpolate=True)
    info = archive.ArchiveInfo(corpus="c", split="train", split_rule="by hand", settings=settings)
    rng = np.random.default_rng(0)
    sides = [rng.standard_normal((3, 64)).astype(np.float32) for _ in range(2)]
    pieces = [archive.Piece(0, np.arange(3) * 32, *sides)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.h5")
        sources = [archive.SourceFile("a.wav", "0" * 64)]
        archive.write_archive(path, info, sources, [64] * 3, iter(pieces))
        return [path.read_bytes()]


def _use_archive(path: Path) -> None:
    from overtone.data.archive import PatchArchive, describe

    with PatchArchive(path) as archive:
        describe(archive)
        for low, high in (archive[at] for at in range(min(len(archive), 100))):
            if not len(low) <= len(high):
                raise FindingError(f"a patch of {len(low)} and {len(high)} samples")


def _use_recipe(path: Path) -> None:
    from overtone.training.families import load_recipe

    load_recipe(path)


def _use_suite(path: Path) -> None:
    from overtone.evaluation.suites import read_suite

    read_suite(path, path.parent)


def _texts(pattern: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted(ROOT.glob(pattern))]


def _checkpoint_seeds() -> list[bytes]:
    """The three files of a checkpoint as one: a JSON line for the two, then the weights."""
    from overtone.training.families import load_recipe

    config = load_recipe(next(iter(sorted(ROOT.glob("configs/*.toml"))))).model_dump_json()
    progress = json.dumps({"step": 1, "seconds": 1.0})
    return ["\n".join((config, progress, "")).encode() + b"\x08" + b"\0" * 7 + b'{"a":{} }']


def _use_checkpoint(path: Path) -> None:
    from overtone.training.checkpoint import load_model

    parts = [*path.read_bytes().split(b"\n", 2), b"", b""]
    folder = path.with_name("checkpoint")
    folder.mkdir(exist_ok=True)
    names = ("config.json", "progress.json", "model.safetensors")
    for name, content in zip(names, parts, strict=False):
        (folder / name).write_bytes(content)
    load_model(folder)


TARGETS: dict[str, Target] = {
    **{
        suffix: Target(suffix, functools.partial(_audio_seeds, suffix), _use_audio)
        for suffix in FORMATS
    },
    **{
        suffix: Target(suffix, functools.partial(_ffmpeg_seeds, suffix), _use_audio)
        for suffix in FFMPEG
    },
    "stream": Target("wav", _stream_seeds, _use_stream),
    "model": Target("onnx", _model_seeds, _use_model),
    "archive": Target("h5", _archive_seeds, _use_archive),
    "recipe": Target("toml", functools.partial(_texts, "configs/*.toml"), _use_recipe),
    "suite": Target("toml", functools.partial(_texts, "suites/*.toml"), _use_suite),
    "checkpoint": Target("checkpoint", _checkpoint_seeds, _use_checkpoint),
    "request": Target("http", request_seeds, use_request),
    "socket": Target("ws", socket_seeds, use_socket),
}
