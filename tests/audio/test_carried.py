"""Tags, cover art, cue points, loops and BWF data: kept where there is a place, else named."""

import io
import struct
from pathlib import Path

import mutagen
import numpy as np
import pytest
import soundfile
from mutagen import flac, id3, mp4

from overtone.audio.carried import append_chunks, read_carried, write_carried
from overtone.audio.reader import AudioReader, read_audio
from overtone.audio.riff import read_chunks
from overtone.audio.tags import Chapter
from overtone.audio.writer import AudioWriter

DATA = Path(__file__).resolve().parent.parent / "data" / "files"
RATE, RATE_OUT = 8000, 48000
TEXTS = {"title": ["Tape 12"], "artist": ["Someone", "Another"], "tracknumber": ["3"]}
TEXTS |= {"date": ["1974"], "comment": ["hello"], "mood": ["calm"]}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
CHAPTERS = [Chapter(0.0, "Question"), Chapter(0.5, "Answer")]


def copy(source: Path, destination: Path) -> tuple[str, ...]:
    """Write what ``source`` carries with a second of silence; return what was left behind."""
    with AudioReader(source) as reader:
        carried = reader.carried()
    with AudioWriter(destination, RATE_OUT, 1, carried=carried) as writer:
        writer.write(np.zeros((1, RATE_OUT), np.float32))
    assert abs(read_audio(destination)[0].shape[1] - RATE_OUT) < 2
    return writer.left_behind


def carried_by(path: Path):
    with AudioReader(path) as reader:
        return reader.carried()


def chunks_of(path: Path) -> dict[bytes, bytes]:
    with path.open("rb") as file:
        return {chunk.name: chunk.read(file) for chunk in list(read_chunks(file))}


@pytest.fixture
def tagged(tmp_path: Path) -> Path:
    """A FLAC file with texts, a picture and chapters."""
    path = tmp_path / "tagged.flac"
    soundfile.write(path, np.zeros(RATE), RATE)
    file = flac.FLAC(path)
    file.update(TEXTS)
    file["ENCODER"] = "of no interest"
    file["CHAPTER000"], file["CHAPTER000NAME"] = "00:00:00.000", "Question"
    file["CHAPTER001"], file["CHAPTER001NAME"] = "00:00:00.500", "Answer"
    picture = flac.Picture()
    picture.data, picture.mime, picture.type = PNG, "image/png", 3
    file.add_picture(picture)
    file.save()
    return path


@pytest.mark.parametrize("extension", [".flac", ".mp3", ".ogg", ".opus", ".wav", ".aiff"])
def test_tags_pictures_and_chapters_go_from_format_to_format(
    tagged: Path, tmp_path: Path, extension: str
) -> None:
    out = tmp_path / f"out{extension}"
    assert copy(tagged, out) == ()
    tags = carried_by(out).tags
    assert {name: tags.texts.get(name) for name in TEXTS} == TEXTS
    assert "encoder" not in tags.texts
    assert [(p.data, p.mime, p.type) for p in tags.pictures] == [(PNG, "image/png", 3)]
    assert tags.chapters == CHAPTERS
    # And back again.
    assert copy(out, tmp_path / "back.flac") == ()
    assert carried_by(tmp_path / "back.flac").tags.texts == tags.texts


@pytest.mark.parametrize("extension", [".caf", ".au", ".w64"])
def test_a_format_without_a_place_for_tags_names_them(
    tagged: Path, tmp_path: Path, extension: str
) -> None:
    assert copy(tagged, tmp_path / f"o{extension}") == ("tags", "cover art", "chapters")


def test_pictures_find_no_place_in_rf64(tagged: Path, tmp_path: Path) -> None:
    assert copy(tagged, tmp_path / "out.rf64") == ("cover art",)
    assert carried_by(tmp_path / "out.rf64").tags.texts["title"] == ["Tape 12"]


def test_the_tags_of_an_mp3(tmp_path: Path) -> None:
    assert copy(DATA / "tags_art.mp3", tmp_path / "out.flac") == ()
    file = flac.FLAC(tmp_path / "out.flac")
    assert (file["title"], file["artist"], file["date"]) == (["Tape12"], ["Someone"], ["1974"])
    assert len(file.pictures[0].data) == 248
    assert copy(DATA / "tags_art.mp3", tmp_path / "out.mp3") == ()
    assert str(id3.ID3(tmp_path / "out.mp3")["TALB"]) == "Interviews"


def test_frames_that_only_id3_knows(tmp_path: Path) -> None:
    source = tmp_path / "a.mp3"
    soundfile.write(source, np.zeros(44100), 44100)
    tags = id3.ID3()
    tags.add(id3.POPM(email="a@b", rating=200))
    tags.save(source)
    assert copy(source, tmp_path / "b.mp3") == ()
    assert id3.ID3(tmp_path / "b.mp3").getall("POPM")[0].rating == 200
    assert copy(source, tmp_path / "b.flac") == ("ID3 frames (POPM)",)


def test_the_tags_of_an_m4a(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "a.m4a"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=RATE_OUT, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 9600), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = RATE_OUT, 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    file = mp4.MP4(path)
    file.add_tags() if file.tags is None else None
    file["\xa9nam"], file["\xa9ART"] = "Tape 12", "Someone"
    file["covr"] = [mp4.MP4Cover(PNG, mp4.MP4Cover.FORMAT_PNG)]
    file.save()
    assert copy(path, tmp_path / "out.flac") == ()
    tags = carried_by(tmp_path / "out.flac").tags
    assert tags.texts == {"title": ["Tape 12"], "artist": ["Someone"]}
    assert tags.pictures[0].data == PNG


def test_what_ffmpeg_alone_knows(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "a.mka"), "w") as container:
        container.metadata["title"] = "Tape 12"
        stream = container.add_stream("flac", rate=RATE_OUT, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 9600), np.int16), "s16", "mono")
        frame.sample_rate, frame.pts = RATE_OUT, 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    assert copy(tmp_path / "a.mka", tmp_path / "out.mp3") == ()
    assert carried_by(tmp_path / "out.mp3").tags.texts == {"title": ["Tape 12"]}


def test_damaged_tags_are_said_and_cost_nothing_else(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.mp3", np.zeros(44100), 44100)
    tag = b"ID3\x09\x00\x00\x00\x00\x00\x0b" + bytes(11)
    (tmp_path / "a.mp3").write_bytes(tag + (tmp_path / "a.mp3").read_bytes())
    assert copy(tmp_path / "a.mp3", tmp_path / "out.flac") == ("damaged tags",)


# --- Chunks of WAV -------------------------------------------------------------------------------


def wav_with(path: Path, *chunks: tuple[bytes, bytes], kind: str = "WAV") -> Path:
    soundfile.write(path, np.zeros(RATE), RATE, "PCM_16", format=kind)
    append_chunks(path, list(chunks))
    return path


def cue(*positions: int) -> bytes:
    points = [
        struct.pack("<II4sIII", number, position, b"data", 0, 0, position)
        for number, position in enumerate(positions, 1)
    ]
    return struct.pack("<I", len(points)) + b"".join(points)


LABELS = b"adtllabl" + struct.pack("<II", 13, 1) + b"Question\0\0"
SMPL = struct.pack("<9I6I", 0, 0, 125000, 60, 0, 0, 0, 1, 0, 7, 0, 1000, 4000, 0, 0)


@pytest.mark.parametrize("kind", ["WAV", "RF64"])
def test_positions_in_samples_follow_the_rate(tmp_path: Path, kind: str) -> None:
    odd = (b"abcd", b"odd")
    chunks = [(b"cue ", cue(1000, 4000)), (b"LIST", LABELS), (b"smpl", SMPL), odd]
    source = wav_with(tmp_path / "a.wav", *chunks, kind=kind)
    out = tmp_path / ("out.wav" if kind == "WAV" else "out.rf64")
    assert copy(source, out) == ()
    found = chunks_of(out)
    assert found[b"cue "] == cue(6000, 24000)
    assert found[b"LIST"] == LABELS
    assert struct.unpack("<9I6I", found[b"smpl"])[2] == round(1e9 / RATE_OUT)
    assert struct.unpack("<9I6I", found[b"smpl"])[11:13] == (6000, 24000)
    assert found[b"abcd"] == b"odd"
    assert soundfile.info(out).frames == RATE_OUT


def test_the_time_reference_of_a_broadcast_wave(tmp_path: Path) -> None:
    before = chunks_of(DATA / "bext.wav")[b"bext"]
    assert copy(DATA / "bext.wav", tmp_path / "out.wav") == ()
    after = chunks_of(tmp_path / "out.wav")[b"bext"]
    time = [struct.unpack("<Q", chunk[338:346])[0] for chunk in (before, after)]
    assert time[1] == time[0] * RATE_OUT // RATE
    assert (before[:338], before[346:]) == (after[:338], after[346:])


def test_the_length_of_a_region(tmp_path: Path) -> None:
    region = b"adtlltxt" + struct.pack("<IIIIHHHH", 20, 1, 500, 0, 0, 0, 0, 0)
    copy(wav_with(tmp_path / "a.wav", (b"LIST", region)), tmp_path / "out.wav")
    assert struct.unpack("<I", chunks_of(tmp_path / "out.wav")[b"LIST"][16:20]) == (3000,)


@pytest.mark.parametrize("extension", [".flac", ".mp3", ".ogg", ".aiff"])
def test_cue_points_become_chapters_and_loops_are_named(tmp_path: Path, extension: str) -> None:
    chunks = [(b"cue ", cue(1000, 4000)), (b"LIST", LABELS), (b"smpl", SMPL)]
    source = wav_with(tmp_path / "a.wav", *chunks)
    assert copy(source, tmp_path / f"out{extension}") == ("loops (smpl)",)
    chapters = carried_by(tmp_path / f"out{extension}").tags.chapters
    assert chapters == [Chapter(0.125, "Question"), Chapter(0.5, "")]


def test_a_broadcast_wave_written_as_flac_says_what_is_lost(tmp_path: Path) -> None:
    assert copy(DATA / "bext.wav", tmp_path / "out.flac") == ("BWF data (bext)",)


def test_a_file_that_carries_nothing_is_not_touched(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(RATE), RATE)
    content = (tmp_path / "a.wav").read_bytes()
    carried = read_carried(io.BytesIO(content), RATE)
    assert carried.empty
    assert write_carried(tmp_path / "a.wav", "WAV", "PCM_16", RATE, carried) == ()
    assert (tmp_path / "a.wav").read_bytes() == content


def test_mutagen_is_not_loaded_to_read_sound() -> None:
    import subprocess
    import sys

    program = "import sys, overtone.inference.enhancer; sys.exit('mutagen' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
    assert mutagen.version


@pytest.mark.parametrize("kind", ["FLAC", "WAV"])
@pytest.mark.parametrize("title", ["", "Tape 12"])
def test_without_mutagen_tags_are_named_where_there_are_any(monkeypatch, kind, title) -> None:
    monkeypatch.setattr("overtone.audio.carried.has_mutagen", lambda: False)
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", RATE, 1, format=kind) as sound:
        if title:
            sound.title = title
        sound.write(np.zeros(RATE))
    unread = read_carried(file, RATE).unread
    # The texts of WAV are chunks, which are carried without mutagen.
    assert ("pip install 'overtone[formats]'" in unread) == (bool(title) and kind == "FLAC")
