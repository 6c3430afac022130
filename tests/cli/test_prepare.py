"""``overtone prepare``: the original commands work with only the program's name changed."""

import re

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from overtone.cli import app, main
from overtone.data.archive import PatchArchive


@pytest.fixture
def corpus(tmp_path, monkeypatch, rng):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "VCTK-Corpus" / "wav48" / "p225"
    folder.mkdir(parents=True)
    for number in range(1, 11):
        samples = 0.1 * rng.standard_normal(48000)
        soundfile.write(folder / f"p225_{number:03}.wav", samples, 48000)
    names = [f"p225_{number:03}.wav" for number in range(1, 11)]
    (tmp_path / "speaker1-train-files.txt").write_text("\n".join(names) + "\n")
    return folder


def run(*arguments):
    result = CliRunner().invoke(app, ["prepare", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result


ORIGINAL = (
    "--file-list speaker1-train-files.txt --in-dir ./VCTK-Corpus/wav48/p225/ --out {out} --scale 4"
    " --sr 16000 --dimension 8192 --stride 4096 --interpolate --low-pass"
)
NEW = ORIGINAL.replace("--sr", "--rate").replace("--out", "--output")


def test_the_published_command(corpus):
    run("files", *ORIGINAL.format(out="x.h5").split(), "--batch-size", 16)
    with PatchArchive("x.h5") as archive:
        assert len(archive) == 16  # two in each of ten recordings of 1 s, cut to whole batches
        settings = archive.info.settings
        assert (settings.scale, settings.stride, settings.low_pass) == (4, 4096, True)


def test_the_same_command_in_the_names_of_today(corpus):
    for name, command in (("old", ORIGINAL), ("new", NEW)):
        run("files", *command.format(out=f"{name}.h5").split(), "--batch-size=1", "--workers=2")
    old, new = ((corpus.parents[2] / f"{name}.h5").read_bytes() for name in ("old", "new"))
    assert old == new
    said = run("files", "--help").stdout
    assert "--rate" in said
    assert not any(old in said for old in ("--sr", "--out ", "--workers"))


def test_its_batches_of_128_are_the_default(corpus, capsys, monkeypatch):
    command = ["overtone", "prepare", "files", *ORIGINAL.format(out="x.h5").split()]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    assert "less than one batch of 128" in capsys.readouterr().err


def test_a_corpus_is_prepared_and_inspected(corpus):
    run("vctk", ".", "--speaker", "p225", "-o", "t.h5", "--batch-size", 1, "--sam", "0.9")
    said = run("inspect", "t.h5", "--files").stdout
    assert "corpus: vctk" in said
    assert "sam: 0.9" in said
    assert "p225/p225_001.wav" in said


def test_a_split_can_be_printed_without_writing(corpus, tmp_path):
    before = sorted(tmp_path.iterdir())
    train = run("vctk", ".", "--speaker", "p225", "--list").stdout.split()
    validation = run("vctk", ".", "--speaker", "p225", "--split", "validation", "--list").stdout
    assert train == ["p225/p225_001.wav", "p225/p225_002.wav"]
    assert len(validation.split()) == 32
    assert sorted(tmp_path.iterdir()) == before


def test_any_folder_by_name(corpus):
    listed = run("folder", corpus, "--split-by", "name", "--split", "validation", "--list").stdout
    assert listed.split() == ["p225_010.wav"]


def test_the_piano_arrays_command(tmp_path, monkeypatch, rng):
    monkeypatch.chdir(tmp_path)
    np.save("music_valid.npy", (0.1 * rng.standard_normal((4, 20000))).astype(np.float16))
    command = "--file-list music_valid.npy --out p.h5 --scale 4 --sr 16000 --dimension 8192"
    rest = "--stride 131072 --interpolate --low-pass --batch-size 2"
    run("piano", *command.split(), *rest.split())
    with PatchArchive("p.h5") as archive:
        assert (len(archive), archive.info.split) == (4, "validation")


def test_a_genre_lists_its_damaged_track(tmp_path):
    for number in range(50, 60):
        (tmp_path / "genres" / "jazz").mkdir(parents=True, exist_ok=True)
        (tmp_path / "genres" / "jazz" / f"jazz.{number:05}.wav").touch()
    result = run("gtzan", tmp_path, "--genre", "jazz", "--list")
    assert "jazz.00054.wav: known to be damaged" in result.stderr
    assert len(result.stdout.split()) == 8


def test_the_rules_are_printed():
    assert "held_out_speakers" in run("splits").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vctk", ".", "--scale", "1", "-o", "x.h5"], "--scale: .*, not 1"),
        (["vctk", ".", "--dimension", "0", "-o", "x.h5"], "dimension must be .* not 0"),
        (
            ["vctk", ".", "--dimension", "8190", "--no-interpolate", "-o", "x.h5"],
            "multiple of scale",
        ),
        (["vctk", ".", "--split", "dev", "--list"], "no split 'dev'; there are train"),
        (["vctk", ".", "--speaker", "p225"], "give the archive to write with --output"),
        (["folder", ".", "--split-by", "size", "--list"], "--split-by is seed or name"),
        (["piano", "--list"], "either a folder or one array"),
        (["inspect", "speaker1-train-files.txt"], "cut short or not HDF5"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    corpus, tmp_path, monkeypatch, capsys, arguments, message
):
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr("sys.argv", ["overtone", "prepare", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == (1 if "inspect" in arguments else 2)  # a file is no option
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(message, error), error
    assert sorted(tmp_path.rglob("*")) == before
