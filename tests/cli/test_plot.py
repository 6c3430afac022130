"""``overtone plot`` draws what it is given, or says in a line why not."""

import pytest
import soundfile
import soxr
import typer
from typer.testing import CliRunner

from overtone.cli.plot import plot
from overtone.errors import AudioFileError, InvalidInputError


@pytest.fixture
def run():
    app = typer.Typer(rich_markup_mode=None)
    app.command()(plot)

    def invoke(*arguments):
        result = CliRunner().invoke(app, list(map(str, arguments)))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


@pytest.fixture
def recordings(tmp_path, make_noise):
    paths = [tmp_path / "low.wav", tmp_path / "high.wav"]
    for path, rate in zip(paths, (8000, 48000), strict=True):
        soundfile.write(path, make_noise(rate, 0.2, channels=2).T, rate)
    return paths


def test_a_picture_is_written_once(run, recordings, tmp_path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "picture.png"
    assert run(*recordings, "-o", picture, "--cutoff", "4k").exit_code == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InvalidInputError, match=r"already exists.*overwrite=True"):
        run(*recordings, "-o", picture)
    assert run(*recordings, "-o", picture, "-f").exit_code == 0


def test_what_cannot_be_drawn_is_named_and_nothing_written(run, recordings, tmp_path):
    picture = tmp_path / "picture.png"
    (tmp_path / "text.wav").write_text("not audio")
    with pytest.raises(AudioFileError, match=r"text\.wav"):
        run(*recordings, tmp_path / "text.wav", "-o", picture)
    with pytest.raises(InvalidInputError, match=r"picture\.bmp"):
        run(*recordings, "-o", tmp_path / "picture.bmp")
    assert not picture.exists()


def test_titles_name_the_file_and_its_rate(run, recordings, tmp_path, monkeypatch):
    from overtone import report

    drawn = []
    monkeypatch.setattr(
        report, "plot_spectrograms", lambda signals, path, **options: drawn.extend(signals)
    )
    run(*recordings, "-o", tmp_path / "picture.svg")
    assert [title for title, _, _ in drawn] == ["low.wav (8 kHz)", "high.wav (48 kHz)"]
    assert drawn[1][1].shape == (2, 9600)


@pytest.fixture
def marks(run, tmp_path, monkeypatch):
    """Return a function that runs the command and says what was to be marked."""
    from overtone import report

    def marked(*arguments):
        drawn = {}
        monkeypatch.setattr(
            report, "plot_spectrograms", lambda signals, path, **options: drawn.update(options)
        )
        result = run(*arguments, "-o", tmp_path / "picture.svg")
        return drawn["cutoff_hz"] if result.exit_code == 0 else result.output

    return marked


def test_the_cutoff_is_found_for_each_recording_unless_told(marks, examples_dir, tmp_path):
    samples, rate = soundfile.read(examples_dir / "speech_en_48k.flac", dtype="float32")
    full, dull = tmp_path / "full.wav", tmp_path / "dull.wav"
    soundfile.write(full, samples, rate)
    low = soxr.resample(samples, rate, 8000)
    soundfile.write(dull, soxr.resample(low, 8000, rate), rate)
    none, found = marks(full, dull)
    assert none is None
    assert found == pytest.approx(3900, rel=0.1)
    assert marks(full, dull, "--cutoff", "5.5k") == [5500, 5500]
    assert marks(full, dull, "--cutoff", "none") == [None, None]


def test_a_cutoff_that_is_none_is_refused(marks, recordings):
    assert "'high' is not a frequency" in marks(*recordings, "--cutoff", "high")
