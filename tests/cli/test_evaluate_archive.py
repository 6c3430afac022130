"""``overtone evaluate --archive``: one table, the same bytes, and one line for what is wrong."""

import json

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from overtone.cli import app
from overtone.errors import InvalidInputError, ModelError


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    for number in range(3):
        noise = np.cumsum(rng.standard_normal(9000)) * 0.01
        soundfile.write(folder / f"{number}.wav", noise - noise.mean(), 16000, subtype="FLOAT")
    path = folder / "val.h5"
    options = ["--split", "all", "--dimension", "2048", "--stride", "1024", "--batch-size", "2"]
    result = CliRunner().invoke(app, ["prepare", "folder", str(folder), "-o", str(path), *options])
    assert result.exit_code == 0, result.output
    return path


def run(*arguments):
    result = CliRunner().invoke(app, ["evaluate", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_the_table_has_every_method_and_metric(archive):
    result = run("--archive", archive, "-m", "soxr", "-m", "copy-up")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["system", "metric", "spline", "system", "difference"]
    assert [line.split()[0] for line in lines[2:10]] == ["soxr"] * 4 + ["copy-up"] * 4
    assert "val.h5, SHA-256" in result.stdout


@pytest.mark.parametrize("suffix", [".md", ".csv", ".json"])
def test_the_output_is_written_whole_and_the_same_each_time(archive, tmp_path, suffix):
    texts = []
    for name in ("a", "b"):
        path = tmp_path / f"{name}{suffix}"
        assert run("--archive", archive, "-m", "soxr", "-o", path).exit_code == 0
        texts.append(path.read_bytes())
    assert texts[0] == texts[1]
    if suffix == ".json":
        row = json.loads(texts[0])["rows"][0]
        assert row["gain"] == pytest.approx(row["score"] - row["baseline"], abs=2e-6)
    with pytest.raises(InvalidInputError, match="already exists"):
        run("--archive", archive, "-m", "soxr", "-o", path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--archive", "ARCHIVE"], "at least one with --model"),
        (["--archive", "ARCHIVE", "-m", "soxr", "a.wav"], "does not go with files"),
        (["--archive", "ARCHIVE", "-m", "soxr", "-p", "--rate", "8k"], "with --rate, --perceptual"),
        (["a.wav", "b.wav", "-m", "soxr"], "goes with --archive"),
        (["a.wav"], "give REFERENCE and ESTIMATE, or --archive"),
        ([], "give REFERENCE and ESTIMATE, or --archive"),
    ],
)
def test_options_that_do_not_go_together_are_named(archive, arguments, message):
    result = run(*[archive if argument == "ARCHIVE" else argument for argument in arguments])
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_what_cannot_be_used_is_one_error(archive, tmp_path):
    with pytest.raises(InvalidInputError, match=r"nope\.h5: no such file"):
        run("--archive", tmp_path / "nope.h5", "-m", "soxr")
    with pytest.raises(ModelError, match="no system 'nope'"):
        run("--archive", archive, "-m", "soxr", "-m", "nope")
    cut = tmp_path / "cut.h5"
    cut.write_bytes(archive.read_bytes()[:5000])
    with pytest.raises(InvalidInputError, match=r"cut\.h5: cut short"):
        run("--archive", cut, "-m", "soxr", "-o", tmp_path / "out.md")
    assert not (tmp_path / "out.md").exists()
