"""Films: pictures that stay as they are beside a new sound."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from overtone.audio.reader import probe, read_audio
from overtone.audio.video import VideoWriter, has_pictures
from overtone.errors import AudioFileError

av = pytest.importorskip("av")

RATE = 48000
KINDS = [(".mp4", "aac", "mpeg4"), (".mov", "aac", "mpeg4"), (".m4v", "aac", "mpeg4")]
KINDS += [(".mkv", "flac", "mpeg4"), (".webm", "libopus", "libvpx")]


def make_film(path: Path, codec: str, video: str, delay_s: float = 0.0) -> Path:
    """Two seconds: 20 pictures, subtitles' worth of tags, and a click after one second of sound."""
    kind = {"format": "mp4"} if path.suffix == ".m4v" else {}
    with av.open(str(path), "w", **kind) as container:
        container.metadata["title"] = "Talk"
        picture = container.add_stream(video, rate=10)
        picture.width, picture.height, picture.pix_fmt = 32, 32, "yuv420p"
        sound = container.add_stream(codec, rate=RATE, layout="stereo")
        images = [
            av.VideoFrame.from_ndarray(np.full((32, 32, 3), 10 * i, np.uint8), format="rgb24")
            for i in range(20)
        ]
        for number, image in enumerate(images):
            image.pts = number
        samples = np.zeros((2, 2 * RATE), np.float32)
        samples[:, RATE : RATE + 100] = 0.5
        flat = samples.T.reshape(1, -1)
        if codec == "flac":
            frame = av.AudioFrame.from_ndarray((flat * 32767).astype(np.int16), "s16", "stereo")
        else:
            frame = av.AudioFrame.from_ndarray(flat, "flt", "stereo")
        frame.sample_rate, frame.pts = RATE, round(delay_s * RATE)
        for stream, units in ((picture, images), (sound, [frame])):
            for unit in [*units, None]:
                container.mux(stream.encode(unit))
    return path


def pictures_of(path: Path) -> list[tuple[float, bytes]]:
    with av.open(str(path)) as container:
        return [
            (float(packet.pts * packet.time_base), bytes(packet))
            for packet in container.demux(video=0)
            if packet.dts is not None
        ]


def click_s(path: Path) -> float:
    """When the click is heard, on the film's own clock."""
    with av.open(str(path)) as container:
        start_s = None
        loudest = (0.0, 0.0)
        for frame in container.decode(audio=0):
            start_s = float(frame.pts * frame.time_base)
            values = np.abs(frame.to_ndarray().astype(float)).reshape(-1)
            step = 1 if frame.format.is_planar else 2
            values = values[: values.size // 2] if frame.format.is_planar else values[::step]
            if values.max() > loudest[0]:
                loudest = (values.max(), start_s + int(values.argmax()) / RATE)
        return loudest[1]


@pytest.mark.parametrize(("extension", "codec", "video"), KINDS)
def test_the_pictures_are_copied_and_the_sound_replaced(
    tmp_path: Path, extension: str, codec: str, video: str
) -> None:
    source = make_film(tmp_path / f"in{extension}", codec, video)
    samples, rate = read_audio(source)
    out = tmp_path / f"out{extension}"
    with VideoWriter(out, source, rate, 2) as writer:
        for block in np.array_split(-0.5 * samples, 7, axis=1):
            writer.write(block)
    assert has_pictures(out)
    assert pictures_of(out) == pictures_of(source)
    assert writer.left_behind == ()
    after, rate_after = read_audio(out)
    assert (rate_after, after.shape) == (rate, samples.shape)
    assert np.abs(after).max() == pytest.approx(0.5 * np.abs(samples).max(), rel=0.3)
    with av.open(str(out)) as container:
        assert container.metadata.get("title") == "Talk"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([source.name, out.name])


@pytest.mark.parametrize(("extension", "codec", "video"), KINDS)
def test_sound_that_starts_late_stays_with_its_pictures(
    tmp_path: Path, extension: str, codec: str, video: str
) -> None:
    source = make_film(tmp_path / f"in{extension}", codec, video, delay_s=0.5)
    samples, rate = read_audio(source)
    with VideoWriter(tmp_path / f"out{extension}", source, rate, 2) as writer:
        writer.write(samples)
    assert click_s(tmp_path / f"out{extension}") == pytest.approx(click_s(source), abs=0.005)


def test_what_is_no_film(tmp_path: Path, examples_dir: Path) -> None:
    assert not has_pictures(examples_dir / "speech_en_8k.flac")
    (tmp_path / "text.mp4").write_text("no film")
    assert not has_pictures(tmp_path / "text.mp4")
    assert not has_pictures(tmp_path / "missing.mp4")


def test_an_exception_leaves_no_trace_and_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    source = make_film(tmp_path / "in.mp4", "aac", "mpeg4")

    def write_and_stop() -> None:
        with VideoWriter(tmp_path / "out.mp4", source, RATE, 2) as writer:
            writer.write(np.zeros((2, RATE), np.float32))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_stop()
    assert list(tmp_path.iterdir()) == [source]
    with pytest.raises(AudioFileError, match=r"in\.mp4: already exists"):
        VideoWriter(source, source, RATE, 2)


def test_a_rate_that_the_codec_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AudioFileError, match=r"out\.webm: .*44100 Hz.*48000 Hz"):
        VideoWriter(tmp_path / "out.webm", tmp_path / "in.webm", 44100, 2)


def test_the_command_writes_a_film_or_its_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, examples_dir: Path
) -> None:
    from overtone.inference.jobs import Settings, Source, make_tasks, run

    film = make_film(tmp_path / "talk.mp4", "aac", "mpeg4")
    task = make_tasks([Source(film, tmp_path)])[0]
    assert task.destination == tmp_path / "talk.enhanced.mp4"
    outcomes = list(run([task], Settings(cutoff_hz=4000.0, device="cpu")))
    assert [outcome.error for outcome in outcomes] == [None]
    assert pictures_of(task.destination) == pictures_of(film)
    alone = make_tasks([Source(film, tmp_path)], str(tmp_path / "talk.flac"))
    outcomes = list(run(alone, Settings(cutoff_hz=4000.0, device="cpu")))
    assert [outcome.error for outcome in outcomes] == [None]
    assert probe(tmp_path / "talk.flac").format == "FLAC"


def test_an_m4a_is_no_film(tmp_path: Path) -> None:
    from overtone.inference.jobs import Source, make_tasks

    path = tmp_path / "talk.m4a"
    path.touch()
    assert make_tasks([Source(path, tmp_path)])[0].destination.suffix == ".flac"


def test_sound_alone_that_names_no_channels_becomes_a_film_without_pictures(tmp_path):
    source, out = tmp_path / "talk.wav", tmp_path / "talk.mp4"
    soundfile.write(source, np.zeros((RATE, 2)), RATE)
    with VideoWriter(out, source, RATE, 2) as writer:
        writer.write(np.zeros((2, RATE), np.float32))
    assert probe(out).channels == 2
    assert not has_pictures(out)
