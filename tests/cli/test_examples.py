"""``overtone examples``: all of a list, what is wrong named, nothing overwritten."""

import sys

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from overtone.cli import app
from overtone.errors import InvalidInputError, MissingExtraError, ModelError


def run(*arguments):
    result = CliRunner().invoke(app, ["examples", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def listed(tmp_path, make_noise):
    """A list of two recordings, one of them missing, and the folder where the other lies."""
    soundfile.write(tmp_path / "a.wav", make_noise(16000, 0.2)[0], 16000)
    path = tmp_path / "list.txt"
    path.write_text("a.wav\nmissing.wav\n")
    return path


def test_a_list_is_done_and_what_is_missing_named(listed, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    from overtone.evaluation import examples

    out = tmp_path / "out"
    options = ["--in-dir", tmp_path, "-m", "copy-up", "--rate", "8k", "--scale", 2, "-o", out]
    result = run(listed, *options)
    assert result.exit_code == 1
    assert result.stderr == (
        f"overtone: {tmp_path / 'missing.wav'}: no such file, named in {listed}; give its folder"
        " with --in-dir\n"
    )
    assert "0.20 s, 8000 Hz from 4000 Hz, copy-up" in result.stdout
    written = {path.name: path.read_bytes() for path in out.iterdir()}
    assert len(written) == 6
    assert written["a.png"].startswith(b"\x89PNG")
    assert written["a.pdf"].startswith(b"%PDF")
    with pytest.raises(InvalidInputError, match=r"already exists.*overwrite=True"):
        run(listed, *options)
    monkeypatch.setattr(examples, "plot_spectrograms", lambda *drawn, **options: None)  # is slow
    assert run(listed, *options, "--force").exit_code == 1
    assert {path.name: path.read_bytes() for path in out.iterdir()} == written


def test_a_recording_that_does_not_fit_stops_no_other(tmp_path, make_noise, monkeypatch):
    from overtone.evaluation import examples

    monkeypatch.setattr(examples, "plot_spectrograms", lambda *drawn, **options: None)
    soundfile.write(tmp_path / "a.wav", make_noise(8000, 0.2)[0], 8000)
    soundfile.write(tmp_path / "b.wav", make_noise(16000, 0.2)[0], 16000)
    (tmp_path / "c.wav").write_text("not audio")
    result = run(tmp_path, "-m", "soxr", "-r", "16k", "-o", tmp_path / "out")
    assert result.exit_code == 1
    errors = result.stderr.splitlines()
    assert len(errors) == 2
    assert "a.wav: at 8000 Hz it holds nothing" in errors[0]
    assert "c.wav" in errors[1]
    assert np.isfinite(soundfile.read(tmp_path / "out" / "b_super.wav")[0]).all()


def test_a_model_that_is_not_there_is_said_once(listed, tmp_path):
    with pytest.raises(ModelError, match="no system 'nope'"):
        run(listed, "--in-dir", tmp_path, "-m", "nope", "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_matplotlib_the_extra_is_named_before_any_work(listed, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"overtone\[plot\]"):
        run(listed, "--in-dir", tmp_path, "-m", "soxr", "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_published_inference_line_runs(tmp_path, make_noise, monkeypatch):
    from overtone.evaluation import examples

    monkeypatch.setattr(examples, "plot_spectrograms", lambda *drawn, **options: None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "assets").mkdir()
    soundfile.write("assets/p225_358.wav", make_noise(48000, 0.2)[0], 48000)
    (tmp_path / "assets" / "save_wav_list.txt").write_text("assets/p225_358.wav\n")
    line = (
        "--save-example --wave-file-list assets/save_wav_list.txt --scale 4 --sr 16000"
        " --checkpoint pretrained/vctk_speaker1_pretrained.pth"
    )
    result = run(*line.split())
    assert result.exit_code == 0
    assert "tfilm-speech-x4 takes their place" in result.stderr
    assert "16000 Hz from 4000 Hz, tfilm-speech-x4" in result.stdout
    sizes = {
        name: soundfile.info(tmp_path / f"examples-out/assets/p225_358_{name}.wav").frames
        for name in ("gt", "low_res", "base", "super")
    }
    assert sizes == {"gt": 3200, "low_res": 800, "base": 3200, "super": 3200}
    with pytest.raises(ModelError, match="weights/nope"):
        run("assets", "--checkpoints-root=weights", "--checkpoint=nope")
