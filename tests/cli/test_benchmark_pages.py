"""``overtone benchmark`` archives, cutoff and pictures, as a user meets them."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from overtone.cli import main
from overtone.data.archive import ArchiveInfo, Piece, SourceFile, write_archive
from overtone.data.patches import PatchSettings
from overtone.evaluation.archive_tables import read_rows

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def benchmark(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["overtone", "benchmark", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
        return exit_.value.code, *capsys.readouterr()

    return run


class TestArchives:
    PAGE = "before\n<!-- archive table -->\nold\n<!-- end of archive table -->\nafter\n"
    ROWS = '[[row]]\ndataset = "noise"\narchive = "x.h5"\nsystems = ["soxr", "copy-up"]\n'

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path, rng, monkeypatch):
        settings = PatchSettings(scale=4, dimension=2048, stride=2048, interpolate=True)
        high = rng.standard_normal((4, 2048)).astype(np.float32)
        pieces = [
            Piece(n, np.zeros(1, int), high[n : n + 1] / 2, high[n : n + 1]) for n in range(4)
        ]
        info = ArchiveInfo(corpus="noise", split="all", split_rule="all", settings=settings)
        sources = [SourceFile(f"{n}.wav", str(n) * 64) for n in range(4)]
        write_archive(tmp_path / "x.h5", info, sources, [2048] * 4, iter(pieces))
        (tmp_path / "table.toml").write_text(self.ROWS)
        (tmp_path / "page.md").write_text(self.PAGE)
        monkeypatch.chdir(tmp_path)
        return tmp_path

    def test_the_table_is_renewed_between_its_marks(self, folder, benchmark):
        arguments = ["table.toml", "--archives", ".", "--into", "page.md", "--csv", "all.csv"]
        code, _, noted = benchmark("archives", *arguments)
        assert code == 0, noted
        lines = (folder / "page.md").read_text(encoding="utf-8").splitlines()
        assert (lines[0], lines[1], lines[-2], lines[-1]) == (
            "before",
            "<!-- archive table -->",
            "<!-- end of archive table -->",
            "after",
        )
        assert [line.split(" | ")[4] for line in lines if line.startswith("| noise")] == [
            "soxr",
            "copy-up",
        ]
        assert len((folder / "all.csv").read_text(encoding="utf-8").splitlines()) == 1 + 2 * 4

    def test_what_is_wrong_is_said_before_the_work_and_the_page_kept(self, folder, benchmark):
        (folder / "page.md").write_text("no marks\n")
        code, _, noted = benchmark("archives", "table.toml", "--into", "page.md")
        assert code == 1
        assert noted.startswith("overtone: page.md: has no part to replace")
        assert (folder / "page.md").read_text() == "no marks\n"
        (folder / "table.toml").write_text(self.ROWS + 'metric = "lsd"\n')
        code, _, noted = benchmark("archives", "table.toml")
        assert code == 1
        assert noted.startswith("overtone: table.toml: row.0.metric: unknown key")

    def test_all_archives_are_looked_for_before_the_first_is_scored(self, folder, benchmark):
        (folder / "table.toml").write_text(
            self.ROWS + self.ROWS.replace("x.h5", "y.h5") + self.ROWS.replace("x.h5", "z.h5")
        )
        code, shown, noted = benchmark("archives", "table.toml", "--archives", ".")
        assert (code, shown) == (1, "")
        assert noted.startswith("overtone: .: no y.h5, z.h5; make them with overtone prepare")

    def test_the_shipped_rows_can_be_read(self):
        assert len(read_rows(ROOT / "suites" / "archives" / "audiounet.toml")) == 4

    def test_the_old_name_of_systems_still_works(self, folder):
        (folder / "table.toml").write_text(self.ROWS.replace("systems", "methods"))
        assert read_rows(folder / "table.toml")[0].systems == ["soxr", "copy-up"]


class TestCutoff:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["gone"], "gone: not KIND=FOLDER"),
            (["speech=gone"], "speech=gone: not KIND=FOLDER"),
            (["speech=.", "--whole", "rock"], "--whole rock: no such kind; given: speech"),
        ],
    )
    def test_kinds_that_cannot_be_measured_are_named(self, benchmark, arguments, message):
        page = ROOT / "docs" / "results" / "bandwidth.md"
        code, _, noted = benchmark("cutoff", *arguments, "--into", page)
        assert code == 1
        assert noted.startswith(f"overtone: {message}")

    def test_a_recording_is_measured_through_every_filter(self, benchmark, examples_dir, tmp_path):
        shutil.copy(examples_dir / "speech_nl_male_24k.flac", tmp_path)
        arguments = [f"voice={tmp_path}", "--whole", "voice", "--seconds", "2"]
        _, text, _ = benchmark("cutoff", *arguments)
        assert "Voice, low-passed" in text
        rows = {line.strip()[:8].strip(): line.split() for line in text.splitlines()}
        # Two filtered versions of one excerpt a cutoff, of the five that fit below 8.6 kHz.
        assert rows["soxr HQ"][2:5] == ["5", "100", "%"]
        assert rows["4000 Hz"][2] == "12"
        assert abs(float(rows["soxr HQ"][5])) < 5


class TestPictures:
    @pytest.fixture
    def clips(self, tmp_path, examples_dir):
        """A suite of one clip: an example recording, and what is left of it at 8 kHz."""
        folder = tmp_path / "clips" / "set" / "one"
        folder.mkdir(parents=True)
        for name, example in (("reference", "speech_en_48k"), ("low", "speech_en_8k")):
            shutil.copy(examples_dir / f"{example}.flac", folder / f"{name}.flac")
        return tmp_path / "clips"

    def test_a_clip_is_drawn_under_its_own_name(self, benchmark, clips, tmp_path):
        pytest.importorskip("matplotlib")
        arguments = ["pictures", clips, "set/one", "-o", tmp_path / "pictures"]
        code, _, noted = benchmark(*arguments)
        assert code == 0, noted
        assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["set_one.png"]
        shutil.copytree(clips / "set" / "one", clips / "set" / "another")
        code, _, noted = benchmark("pictures", clips, "set/another", *arguments[2:])
        assert code == 1
        assert "set_one.png" in noted
        assert "--force" in noted
        assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["set_one.png"]

    def test_a_clip_that_is_not_there_is_named_and_nothing_drawn(self, benchmark, clips, tmp_path):
        names = ["set/one", "set/two"]
        code, _, noted = benchmark("pictures", clips, *names, "-o", tmp_path / "pictures")
        assert code == 1
        assert noted.startswith("overtone: set/two: no such clip")
        assert not (tmp_path / "pictures").exists()

    def test_a_suite_without_a_whole_clip_says_what_is_missing(self, benchmark, clips, tmp_path):
        for low in clips.glob("*/*/low.*"):
            low.unlink()
        code, _, noted = benchmark("pictures", clips, "set/one", "-o", tmp_path / "pictures")
        assert code == 1
        assert noted.startswith("overtone: set/one: no such clip")
        assert "low" in noted


class TestProbe:
    def test_it_says_what_cannot_be_probed(self, benchmark, tmp_path, rng):
        for number in range(5):
            case = tmp_path / "clips" / f"x-{number}"
            case.mkdir(parents=True)
            noise = 0.1 * rng.standard_normal(32000) * (number > 0)
            soundfile.write(case / "reference.wav", noise, 16000)
        arguments = ["probe", tmp_path / "clips", "--decimate", 2, "-m", "soxr", "--steps", 2]
        code, text, noted = benchmark(*arguments)
        assert code == 1
        assert "accuracy of the probe" in text
        assert "x/x-0: skipped" in noted
        assert "silent" in noted
