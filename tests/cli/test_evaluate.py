"""``overtone evaluate``: pairs scored and reported, what is wrong named, nothing overwritten."""

import csv
import io
import json

import numpy as np
import pytest
import soundfile
import typer
from typer.testing import CliRunner

from overtone.cli.evaluate import evaluate
from overtone.errors import InvalidInputError, MissingExtraError
from overtone.metrics import lsd, lsd_hf, snr_db

RATE = 16000


@pytest.fixture
def run():
    app = typer.Typer(rich_markup_mode=None)
    app.command()(evaluate)

    def invoke(*arguments):
        result = CliRunner().invoke(app, list(map(str, arguments)))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


@pytest.fixture
def folders(tmp_path, make_noise):
    """Return folders of three references and two estimates of them."""
    for name in ("a", "b", "c"):
        save(tmp_path / "ref" / f"{name}.wav", make_noise(RATE, 0.5))
    for name, gain in (("a", 0.5), ("b", 0.1)):
        samples, _ = soundfile.read(tmp_path / "ref" / f"{name}.wav")
        save(tmp_path / "est" / f"{name}.enhanced.wav", gain * samples)
    return tmp_path / "ref", tmp_path / "est"


def save(path, samples, rate=RATE):
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, np.atleast_2d(samples).T, rate, subtype="FLOAT")
    return path


def test_two_files_give_their_scores_and_settings(run, folders):
    reference, estimate = folders[0] / "a.wav", folders[1] / "a.enhanced.wav"
    result = run(reference, estimate, "--cutoff", "4k", "--format", "json")
    assert result.exit_code == 0
    content = json.loads(result.stdout)
    (row,) = content["rows"]
    y, x = soundfile.read(reference)[0], soundfile.read(estimate)[0]
    assert row["file"] == "a.enhanced.wav"
    assert row["snr_db"] == pytest.approx(snr_db(y, x), abs=1e-5)
    assert row["lsd"] == pytest.approx(lsd(y, x), abs=1e-5)
    assert row["lsd_hf"] == pytest.approx(lsd_hf(y, x, RATE, 4000), abs=1e-5)
    assert "summary" not in content
    settings = "\n".join(content["settings"])
    assert "sample rate 16000 Hz; cutoff 4000 Hz" in settings
    assert "LSD: Hann 2048, hop 512" in settings


def test_folders_give_rows_a_mean_and_the_names_of_what_is_left(run, folders):
    result = run(*folders, "--format", "csv")
    assert result.exit_code == 1
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["file"] for row in rows] == ["a", "b", "mean of 2"]
    lsds = [float(row["lsd"]) for row in rows]
    assert lsds[2] == pytest.approx((lsds[0] + lsds[1]) / 2, abs=1e-5)
    assert lsds[0] == pytest.approx(0.602, abs=0.01)
    assert result.stderr.splitlines() == [
        f"overtone: {folders[0] / 'c.wav'}: nothing in {folders[1]} to score against it"
    ]


def test_a_damaged_file_does_not_stop_the_others(run, folders):
    (folders[0] / "c.wav").unlink()
    (folders[1] / "a.enhanced.wav").write_text("not audio")
    result = run(*folders)
    assert result.exit_code == 1
    assert result.stdout.startswith("b\n")
    assert len(result.stderr.splitlines()) == 1
    assert "a.enhanced.wav" in result.stderr


def test_no_table_is_printed_when_nothing_was_scored(run, folders):
    (folders[1] / "a.enhanced.wav").write_text("not audio")
    result = run(folders[0] / "a.wav", folders[1] / "a.enhanced.wav", "-o", folders[1] / "x.csv")
    assert (result.exit_code, result.stdout) == (1, "")
    assert not (folders[1] / "x.csv").exists()


class TestDifferences:
    @pytest.fixture
    def reference(self, tmp_path, make_noise):
        return save(tmp_path / "ref.wav", make_noise(RATE, 0.5))

    def test_of_rate_are_refused_and_the_cure_named(self, run, tmp_path, reference, make_noise):
        estimate = save(tmp_path / "est.wav", make_noise(8000, 0.5), 8000)
        result = run(reference, estimate)
        assert result.exit_code == 1
        assert result.stderr == (
            f"overtone: {estimate}: sampled at 8000 Hz, its reference at 16000 Hz: "
            "bring both to one rate with --rate 16000\n"
        )
        result = run(reference, estimate, "--rate", "16k", "--format", "json")
        assert result.exit_code == 0
        settings = json.loads(result.stdout)["settings"]
        assert "sample rate 16000 Hz, all resampled to it by soxr VHQ" in settings[0]

    def test_of_a_few_samples_are_trimmed_and_told(self, run, tmp_path, reference):
        samples, _ = soundfile.read(reference)
        estimate = save(tmp_path / "est.wav", 0.5 * samples[:-160])
        result = run(reference, estimate, "--format", "json")
        assert result.exit_code == 0
        content = json.loads(result.stdout)
        assert content["rows"][0]["snr_db"] == pytest.approx(6.0206, abs=1e-3)
        assert "lengths differed in 1 pair, by 10 ms at most" in "\n".join(content["settings"])

    def test_of_more_are_refused(self, run, tmp_path, reference, make_noise):
        result = run(reference, save(tmp_path / "est.wav", make_noise(RATE, 0.61)))
        assert result.exit_code == 1
        assert "lasts 0.610 s, its reference 0.500 s" in result.stderr

    def test_of_channels_are_refused(self, run, tmp_path, reference, make_noise):
        result = run(reference, save(tmp_path / "est.wav", make_noise(RATE, 0.5, channels=2)))
        assert result.exit_code == 1
        assert "2 channels, its reference 1" in result.stderr


def test_figures_that_do_not_exist_are_explained(run, folders):
    result = run(folders[0] / "a.wav", folders[0] / "a.wav")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[2].split() == ["SNR", "dB", "↑", "n/a"]
    assert lines[4].split() == ["LSD", "↓", "0.000"]
    assert lines[-1].startswith("n/a: silent reference, estimate equal to it")
    assert "inf" not in result.stdout


@pytest.mark.parametrize(
    ("name", "start"), [("x.md", "| file |"), ("x.csv", "file,"), ("x.json", "{"), ("x", "file ")]
)
def test_the_name_of_the_output_chooses_the_format(run, folders, name, start):
    (folders[0] / "c.wav").unlink()
    path = folders[0].parent / name
    result = run(*folders, "-o", path)
    assert (result.exit_code, result.stdout) == (0, "")
    assert path.read_text(encoding="utf-8").startswith(start)


def test_an_existing_output_is_kept_unless_forced(run, folders):
    path = folders[0].parent / "scores.md"
    path.write_text("old")
    with pytest.raises(InvalidInputError, match=r"scores\.md: already exists.*overwrite=True"):
        run(*folders, "-o", path)
    assert path.read_text() == "old"
    run(*folders, "-o", path, "--force")
    assert path.read_text(encoding="utf-8").startswith("| file |")
    for recording in sorted(folders[0].glob("*.wav"))[0], sorted(folders[1].glob("*"))[0]:
        before = recording.read_bytes()
        with pytest.raises(InvalidInputError, match="is also an input"):
            run(*folders, "-o", recording, "--force")
        assert recording.read_bytes() == before


def test_an_option_says_what_it_expects(run, folders):
    result = run(*folders, "--cutoff", "low")
    assert result.exit_code == 2
    assert "'low'" in result.stderr


def test_a_cutoff_beyond_a_file_names_the_file_and_how_far_it_reaches(run, folders):
    estimate = folders[1] / "a.enhanced.wav"
    result = run(folders[0] / "a.wav", estimate, "--cutoff", "9k")
    assert result.exit_code == 1
    assert result.stderr == (
        f"overtone: {estimate}: cutoff 9000 Hz: must be above 0 and below half the sample rate,"
        " 8000 Hz\n"
    )


def test_listener_models_need_their_extra(run, folders, monkeypatch):
    from overtone.metrics import perceptual

    monkeypatch.setattr(perceptual.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"overtone\[metrics\]"):
        run(*folders, "-p")
