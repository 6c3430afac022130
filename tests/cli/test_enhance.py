"""The command around the enhancer: names, reports, exit codes, interruptions.

A stand-in that copies its input takes the model's place, so that this holds for any model.
"""

import json
import math
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import soundfile

from overtone.cli import main
from overtone.cli.options import HIGHEST_RATE_HZ, LOWEST_RATE_HZ
from overtone.dsp.bandwidth import CutoffEstimate
from overtone.errors import AudioFileError, ModelError
from overtone.inference import jobs
from overtone.inference.checks import MAX_RATE_HZ, MIN_RATE_HZ
from overtone.inference.reports import EnhanceReport


class Copier:
    """Copies audio files, and remembers the options it was called with."""

    def __init__(self):
        self.options = []
        self.settings = None
        self.changes = {}

    def __call__(self, settings, threads):
        self.settings = settings
        if settings.model == "missing":
            raise ModelError("no model named 'missing'; see 'overtone models'")
        return self

    def enhance_file(self, source, destination, *, progress=None, **options):
        self.options.append(options)
        try:
            with source.open("rb") as file:  # a name that soundfile could not encode is no matter
                samples, rate = soundfile.read(file)
        except soundfile.SoundFileError as error:
            raise AudioFileError(f"{source}: is not audio that can be read") from error
        if progress:
            progress(0.5)
        with destination.open("wb") as file:
            soundfile.write(file, samples, rate, format=destination.suffix[1:])
        report = {
            "source": str(source),
            "destination": str(destination),
            "input_rate": rate,
            "output_rate": options["output_rate"] or 48000,
            "channels": samples.ndim,
            "duration_s": len(samples) / rate,
            "cutoff": CutoffEstimate("band-limited", 3912.3, 0.934),
            "cutoff_given": False,
            "model": "copier",
            "seconds": 0.01,
            "clipped_samples": 0,
            "changed": True,
        }
        return EnhanceReport(**(report | self.changes))


@pytest.fixture
def copier(monkeypatch):
    """Put a copier in the enhancer's place, which works here: nobody could import it elsewhere."""
    copier = Copier()
    monkeypatch.setattr("overtone.inference.jobs.make_default_enhancer", copier)

    run = jobs.run

    def run_here(*arguments, **options):
        return run(*arguments, **options | {"isolated": False})

    monkeypatch.setattr("overtone.inference.jobs.run", run_here)
    return copier


@pytest.fixture
def overtone(copier, monkeypatch, capsys):
    """Run the command line here and return its exit code, stdout and stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["overtone", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
        out, err = capsys.readouterr()
        return exit_.value.code, out, err

    return run


@pytest.fixture
def recordings(tmp_path, monkeypatch, make_tone):
    """A working folder with two recordings and a text file that calls itself WAV."""
    for name in ("a.wav", "b.flac"):
        soundfile.write(tmp_path / name, make_tone(440, 8000, 0.1)[0], 8000)
    (tmp_path / "text.wav").write_text("This is not audio.")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_a_recording_gets_an_enhanced_one_beside_it_and_a_line(recordings, overtone):
    code, out, err = overtone("enhance", "a.wav")
    assert (code, err) == (0, "")
    assert out == (
        "a.wav -> a.enhanced.wav: 8 -> 48 kHz, cutoff 3.91 kHz (93% sure), model copier, "
        "0.01 s, 10 times real time\n"
    )
    assert soundfile.info("a.enhanced.wav").frames == 800


def test_options_reach_the_enhancer(recordings, overtone, copier):
    code, *_ = overtone(
        *("enhance", "a.wav", "-o", "x.wav", "-m", "some", "-r", "44.1k", "--cutoff", "3.4 kHz"),
        *(
            "-d",
            "cpu",
            "--bits",
            "32f",
            "-f",
            "--fidelity",
            "0.75",
            "--no-tags",
            "--skip-unchanged",
            "--select=1:30-2:00.5",
            "--select=1:02:03-",
        ),
    )
    assert code == 0
    assert (copier.settings.model, copier.settings.device) == ("some", "cpu")
    assert copier.settings.fidelity == 0.75
    assert copier.options == [
        {
            "output_rate": 44100,
            "cutoff_hz": 3400.0,
            "subtype": "FLOAT",
            "overwrite": True,
            "tags": False,
            "copy_to": None,
            "skip_unchanged": True,
            "select": [(90, 120.5), (3723, math.inf)],
            "target_lufs": None,
        }
    ]
    overtone("enhance", "a.wav", "--cutoff", "auto")
    assert copier.settings.fidelity is None
    assert copier.options[1] == {
        "output_rate": None,
        "cutoff_hz": None,
        "subtype": None,
        "overwrite": False,
        "tags": True,
        "copy_to": Path("a.enhanced.wav"),
        "skip_unchanged": False,
        "select": [],
        "target_lufs": None,
    }


def test_what_was_left_behind_is_said(recordings, overtone, copier):
    copier.changes = {"left_behind": ("BWF data (bext)", "cover art")}
    _, out, _ = overtone("enhance", "a.wav", "--json")
    assert json.loads(out)["left_behind"] == ["BWF data (bext)", "cover art"]
    _, out, _ = overtone("enhance", "a.wav", "-f")
    assert "left behind: BWF data (bext), cover art" in out


def test_a_fidelity_out_of_range_is_refused_before_anything_is_read(recordings, overtone):
    code, out, err = overtone("enhance", "a.wav", "--fidelity", "1.5")
    assert (code, out) == (2, "")
    assert "--fidelity" in err
    assert not (recordings / "a.enhanced.wav").exists()


def test_bad_files_are_named_the_rest_is_done_and_the_exit_code_says_so(recordings, overtone):
    code, out, err = overtone("enhance", "text.wav", "a.wav", "gone.wav", "b.flac")
    assert code == 1
    assert [line.split(" -> ")[0] for line in out.splitlines()] == ["a.wav", "b.flac"]
    assert sorted(err.splitlines()) == [
        "overtone: gone.wav: no such file or folder",
        "overtone: text.wav: is not audio that can be read",
    ]
    assert names(recordings) == ["a.enhanced.wav", "a.wav", "b.enhanced.flac", "b.flac", "text.wav"]


def test_a_folder_goes_into_a_folder(recordings, overtone):
    (recordings / "text.wav").unlink()
    (recordings / "deep").mkdir()
    (recordings / "b.flac").rename(recordings / "deep" / "b.flac")
    assert overtone("enhance", ".", "-o", "out")[0] == 0
    assert names(recordings / "out") == ["a.wav", "deep/b.flac"]
    code, _, err = overtone("enhance", ".", "-o", "out")
    assert code == 1
    assert err.count("exists already") == 2
    assert overtone("enhance", ".", "-o", "out", "--force")[0] == 0
    assert names(recordings / "out") == ["a.wav", "deep/b.flac"]


def test_nothing_is_overwritten_unless_asked(recordings, overtone):
    Path("a.enhanced.wav").write_text("mine")
    code, out, err = overtone("enhance", "a.wav", "b.flac")
    assert code == 1
    assert "a.wav: skipped, a.enhanced.wav exists already; use --force" in err
    assert out.startswith("b.flac -> ")
    assert Path("a.enhanced.wav").read_text() == "mine"
    assert overtone("enhance", "a.wav", "-f")[0] == 0
    assert soundfile.info("a.enhanced.wav").frames == 800


def test_an_input_is_not_overwritten_even_with_force(recordings, overtone):
    before = Path("a.wav").read_bytes()
    code, out, err = overtone("enhance", "a.wav", "-o", "a.wav", "--force")
    assert (code, out) == (1, "")
    assert err == "overtone: a.wav is an input and is never overwritten: name another output\n"
    assert Path("a.wav").read_bytes() == before


def test_a_file_in_place_of_the_output_folder_is_named(recordings, overtone):
    (recordings / "plain").write_text("x")
    code, _, noted = overtone("enhance", "a.wav", "-o", "plain/b.wav")
    assert code == 1
    assert "cannot make the folder plain (File exists); name another output" in noted
    assert (recordings / "plain").read_text() == "x"


def test_a_clash_of_outputs_stops_everything_before_any_work(recordings, overtone, copier):
    Path("b.m4a").touch()
    code, _, err = overtone("enhance", "a.wav", "b.flac", "b.m4a")
    assert code == 1
    assert err.startswith("overtone: b.flac and b.m4a would both be written to b.enhanced.flac")
    assert copier.options == []


def test_only_results_to_enhance_is_said(recordings, overtone):
    Path("done").mkdir()
    Path("a.wav").rename("done/a.enhanced.wav")
    code, _, err = overtone("enhance", "done")
    assert code == 1
    assert "nothing to do" in err


def test_a_missing_model_is_one_line(recordings, overtone):
    code, out, err = overtone("enhance", "a.wav", "b.flac", "-m", "missing")
    assert (code, out) == (1, "")
    assert err == "overtone: no model named 'missing'; see 'overtone models'\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a.wav", "--cutoff", "high"],
        ["a.wav", "--cutoff", "0"],
        ["a.wav", "--cutoff", "-3"],
        ["a.wav", "--rate", "999"],
        ["a.wav", "--rate", "385k"],
        ["a.wav", "--jobs", "0"],
        ["a.wav", "--bits", "12"],
        ["a.wav", "--device", "tpu"],
        ["a.wav", "--unknown"],
    ],
)
def test_wrong_usage_ends_with_2_before_any_work(recordings, overtone, copier, arguments):
    code, out, err = overtone("enhance", *arguments)
    assert (code, out) == (2, "")
    assert "Error:" in err
    assert copier.options == []


def test_the_command_and_the_enhancer_take_the_same_rates():
    assert (LOWEST_RATE_HZ, HIGHEST_RATE_HZ) == (MIN_RATE_HZ, MAX_RATE_HZ)


def test_json_has_one_object_a_file_failures_included(recordings, overtone):
    code, out, _ = overtone("enhance", "gone.wav", "text.wav", "a.wav", "--json")
    assert code == 1
    gone, text, good = map(json.loads, out.splitlines())
    assert gone == {"source": "gone.wav", "error": "gone.wav: no such file or folder"}
    assert set(text) == {"source", "error"}
    assert good["cutoff"] == {
        "verdict": "band-limited",
        "cutoff_hz": 3912.3,
        "confidence": 0.934,
        "lines_hz": [],
        "guess_hz": None,
        "seen": "",
        "mirror_hz": None,
    }
    assert good["realtime_factor"] == pytest.approx(10)
    assert (good["source"], good["destination"]) == ("a.wav", "a.enhanced.wav")


def test_quiet_says_nothing_but_errors(recordings, overtone):
    assert overtone("enhance", "a.wav", "-q") == (0, "", "")
    code, out, err = overtone("enhance", "text.wav", "-q")
    assert (code, out) == (1, "")
    assert "text.wav" in err


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere file names are Unicode")
@pytest.mark.parametrize("option", [[], ["--json"]])
def test_a_name_that_is_not_unicode_is_no_obstacle(recordings, overtone, option):
    source = Path(os.fsdecode(b"caf\xe9.wav"))
    Path("a.wav").rename(source)
    code, out, err = overtone("enhance", source, *option)
    assert (code, err) == (0, "")
    assert r"caf\udce9.enhanced.wav" in out
    assert source.with_name(source.stem + ".enhanced.wav").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cutoff_given": True}, "cutoff 3.91 kHz (given), model copier"),
        ({"warning": "made for others"}, "(93% sure), model copier (made for others), "),
        ({"clipped_samples": 12}, "12 samples clipped"),
        ({"clipped_samples": 1}, "1 sample clipped"),
        (
            {"cutoff": CutoffEstimate("full band", 4000.0, 0.8)},
            "full band to 4 kHz (80% sure), model copier",
        ),
        (
            {"cutoff": CutoffEstimate("band-limited", 3912.3, 0.9999)},
            "cutoff 3.91 kHz (99% sure), model copier",
        ),
        (
            {"cutoff": CutoffEstimate("unsure", None, 0.3)},
            "cutoff unsure, taken as 4 kHz, model copier",
        ),
        (
            {
                "changed": False,
                "warning": "full band already",
                "cutoff": CutoffEstimate("full band", 22050.0, 0.8),
            },
            "full band to 22.05 kHz (80% sure), unchanged: full band already",
        ),
        (
            {"changed": False, "warning": "silent", "cutoff": CutoffEstimate("unsure", None, 0.0)},
            "cutoff unsure, unchanged: silent",
        ),
    ],
)
def test_the_line_says_what_is_unusual(recordings, overtone, copier, changes, said):
    copier.changes = changes
    assert said in overtone("enhance", "a.wav")[1]


def test_plot_needs_its_extra_before_any_work(recordings, overtone, copier, monkeypatch):
    monkeypatch.setattr("overtone.cli.enhance.find_spec", lambda name: None)
    code, _, err = overtone("enhance", "a.wav", "--plot")
    assert code == 1
    assert "pip install 'overtone[plot]'" in err
    assert copier.options == []


def test_plot_draws_each_file_before_and_after(recordings, overtone, monkeypatch):
    calls = []
    monkeypatch.setattr(
        "overtone.report.plot_spectrograms", lambda *args, **kwargs: calls.append((args, kwargs))
    )
    assert overtone("enhance", "a.wav", "-o", "out/", "--plot")[0] == 0
    [((signals, path), options)] = calls
    assert path == Path("out/a.png")
    assert options == {"cutoff_hz": 3912.3, "overwrite": False}
    assert [(title, x.shape, rate) for title, x, rate in signals] == [
        ("before", (1, 800), 8000),
        ("after", (1, 800), 8000),
    ]


def test_pictures_are_written_and_overwritten_by_force_only(recordings, overtone):
    assert overtone("enhance", "a.wav", "--plot")[0] == 0
    picture = Path("a.enhanced.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
    picture.write_text("mine")
    Path("a.enhanced.wav").unlink()
    code, _, err = overtone("enhance", "a.wav", "--plot")
    assert code == 1
    assert "a.enhanced.png exists already" in err
    assert picture.read_text() == "mine"
    assert overtone("enhance", "a.wav", "--plot", "--force")[0] == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_picture_that_fails_is_named_and_the_audio_stays(recordings, overtone, monkeypatch):
    def fail(signals, path, **options):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("overtone.report.plot_spectrograms", fail)
    code, out, err = overtone("enhance", "a.wav", "--plot")
    assert code == 1
    assert out.startswith("a.wav -> a.enhanced.wav")
    assert err == (
        "overtone: a.enhanced.wav: no picture (No space left on device: a.enhanced.png)\n"
    )
    assert Path("a.enhanced.wav").exists()


def test_a_page_of_that_name_is_found_before_any_work(recordings, overtone, copier):
    Path("a.enhanced.html").write_text("mine")
    code, _, err = overtone("enhance", "a.wav", "--html")
    assert code == 1
    assert "a.enhanced.html exists already" in err
    assert copier.options == []
    assert Path("a.enhanced.html").read_text() == "mine"
    assert overtone("enhance", "a.wav", "--html", "--force")[0] == 0
    assert Path("a.enhanced.html").read_text().startswith("<!")
    Path("a.flac").touch()
    code, _, err = overtone("enhance", "a.wav", "a.flac", "--html")
    assert code == 1
    assert "both be written to a.enhanced.html" in err


def test_a_defect_costs_one_file_and_its_traceback_is_for_those_who_ask(
    recordings, overtone, copier
):
    copier.changes = {"no such field": 1}
    code, _, err = overtone("enhance", "a.wav")
    assert code == 1
    assert err.startswith("overtone: a.wav: internal error, please report it: TypeError")
    assert err.count("\n") == 1
    assert "Traceback" in overtone("-v", "enhance", "-f", "a.wav")[2]


# In processes of their own: pipes, terminals, signals. ------------------------------------------

SCRIPT = """
import time
from pathlib import Path
import soundfile
import overtone.inference.jobs as batch
from overtone.dsp.bandwidth import CutoffEstimate
from overtone.inference.checks import MAX_RATE_HZ, MIN_RATE_HZ
from overtone.inference.reports import EnhanceReport

class Slow:
    def enhance_file(self, source, destination, *, progress=None, **options):
        samples, rate = soundfile.read(source)
        part = destination.with_suffix(".part")
        part.touch()
        try:
            while "endless" in source.name:
                time.sleep(0.01)
            soundfile.write(destination, samples, rate)
        finally:
            part.unlink()
        cutoff = CutoffEstimate("full band", 4000.0, 0.9)
        return EnhanceReport(str(source), str(destination), rate, rate, 1, 1.0, cutoff, False,
                             "none", 0.5, 0, False)

def make(settings, threads):
    return Slow()
"""
RUN = "import slow, overtone.inference.jobs as b; b.make_default_enhancer = slow.make; "
RUN += "from overtone.cli import main; main()"


@pytest.fixture
def slow_overtone(tmp_path_factory):
    """Start the command line in a process whose enhancer never ends on ``endless*`` files."""
    modules = tmp_path_factory.mktemp("modules")
    (modules / "slow.py").write_text(SCRIPT)
    path = os.pathsep.join(filter(None, (str(modules), os.environ.get("PYTHONPATH"))))
    env = os.environ | {"PYTHONPATH": path}

    def start(*arguments, **options):
        return subprocess.Popen([sys.executable, "-c", RUN, *arguments], env=env, **options)

    return start


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_leaves_nothing_half_done(
    tmp_path, slow_overtone, make_tone, jobs, number, code
):
    for name in ("endless1.wav", "endless2.wav"):
        soundfile.write(tmp_path / name, make_tone(440, 8000, 0.1)[0], 8000)
    process = slow_overtone(
        *("enhance", ".", "-o", "out", "-j", jobs),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("out/*.part"))) < int(jobs) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in said
    assert list(tmp_path.glob("out/*")) == []


@pytest.mark.skipif(os.name == "nt", reason="pseudo-terminals")
def test_the_bar_is_on_the_terminal_and_the_report_in_the_file(recordings, slow_overtone):
    terminal, theirs = os.openpty()
    process = slow_overtone("enhance", "a.wav", stdout=subprocess.PIPE, stderr=theirs, text=True)
    os.close(theirs)
    seen: list[bytes] = []
    with ThreadPoolExecutor(1) as pool:  # a terminal that nobody looks at is full before long
        pool.submit(_watch, terminal, seen)
        said = process.communicate(timeout=60)[0]
    assert said.splitlines() == [
        "a.wav -> a.enhanced.wav: 8 -> 8 kHz, full band to 4 kHz (90% sure), "
        "unchanged, 0.50 s, 2 times real time"
    ]
    assert b"enhancing" in b"".join(seen)
    os.close(terminal)


def _watch(terminal, seen):
    with suppress(OSError):  # the other end is gone
        while True:
            seen.append(os.read(terminal, 4096))


def run_in_pipe(audio, *arguments):
    main = "from overtone.cli import main; main()"
    command = [sys.executable, "-c", main, "enhance", *map(str, arguments)]
    done = subprocess.run(command, input=audio, capture_output=True, timeout=120)
    return done.returncode, done.stdout, done.stderr.decode()


def test_audio_goes_through_pipes(examples_dir, tmp_path):
    source = examples_dir / "speech_en_8k.flac"
    code, audio, said = run_in_pipe(source.read_bytes(), "-")
    assert code == 0
    assert said.startswith("<stdin> -> <stdout>: 8 -> 48 kHz")
    code, into, said = run_in_pipe(source.read_bytes(), "-", "-o", tmp_path / "through.wav")
    assert (code, said) == (0, "")
    assert into.decode().startswith(f"<stdin> -> {tmp_path / 'through.wav'}: ")
    assert (tmp_path / "through.wav").read_bytes() == audio
    code, out_of, _ = run_in_pipe(b"", source, "-o", "-")
    assert out_of == audio


def test_broken_audio_in_a_pipe_is_one_line(tmp_path):
    code, out, err = run_in_pipe(b"This is not audio.", "-", "-o", tmp_path / "x.wav")
    assert (code, out) == (1, b"")
    assert err.startswith("overtone: <stdin>: is not audio")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_stands_for_one_file(recordings, overtone):
    code, _, err = overtone("enhance", "-", "a.wav")
    assert code == 2
    assert "must be the only one" in err


def test_a_dry_run_says_what_would_be_written(recordings, overtone, copier):
    before = sorted(Path().rglob("*"))
    code, out, err = overtone("enhance", "a.wav", "--suffix", ".wide", "--dry-run")
    assert (code, out, err) == (0, "a.wav -> a.wide.wav\n", "")
    assert sorted(Path().rglob("*")) == before
    code, out, _ = overtone("enhance", "a.wav", "--suffix", ".wide")
    assert code == 0
    assert Path("a.wide.wav").is_file()
    code, out, _ = overtone("enhance", "b.flac", "--dry-run", "--results", "rows.jsonl")
    assert (code, out) == (0, "b.flac -> b.enhanced.flac\n")
    assert not Path("rows.jsonl").exists()
    # What has that name is a result, then.
    code, out, _ = overtone("enhance", ".", "--suffix", ".wide", "--dry-run", "--json")
    assert "a.wide.wav" not in [json.loads(line)["source"] for line in out.splitlines()]


@pytest.mark.parametrize("suffix", ["", "/x", "a/b"])
def test_a_suffix_that_no_name_can_have_is_refused(recordings, overtone, copier, suffix):
    code, _, err = overtone("enhance", "a.wav", "--suffix", suffix)
    assert code == 2
    assert err.startswith("overtone: suffix")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--target-lufs -100", "--target-lufs is -100; give -70 to -5"),
        ("--target-lufs nan", "--target-lufs must be a number, not nan"),
        ("--target-lufs -16 --select 0-1", "give only one"),
        ("--select 2-1", "must end 0.1 s or more after its start"),
        ("--select 0-2 --select 1-3", "two selections overlap"),
        ("--watch --dry-run", "--watch takes folders"),
        ("-o - --plot", "--plot needs an output with a name"),
        ("-o - --html", "--html needs an input and an output with names"),
        ("-o s3://bucket/x.wav --html", "--html needs an output on this machine"),
    ],
)
def test_options_that_cannot_be_are_wrong_usage_whatever_the_files(overtone, copier, options, said):
    code, out, err = overtone("enhance", "gone.wav", *options.split())
    assert (code, out) == (2, "")
    assert err.startswith("overtone: ")
    assert said in err
    assert err.count("\n") == 1


def test_a_resumed_run_leaves_out_what_is_done(recordings, overtone, copier):
    assert overtone("enhance", "a.wav")[0] == 0
    assert overtone("enhance", "a.wav")[0] == 1
    code, out, err = overtone("enhance", "a.wav", "--resume")
    assert (code, out, err) == (0, "", "")
    assert len(copier.options) == 1


def test_the_results_of_a_resumed_run_tell_of_all_that_was_done(recordings, overtone):
    options = ("-o", "out/", "--resume", "--results", "rows.jsonl")
    assert overtone("enhance", "a.wav", "text.wav", *options)[0] == 1
    assert overtone("enhance", "a.wav", "b.flac", *options)[0] == 0
    rows = {
        row["source"]: row for row in map(json.loads, Path("rows.jsonl").read_text().splitlines())
    }
    assert sorted(rows) == ["a.wav", "b.flac", "text.wav"]
    assert rows["a.wav"]["cutoff"] == rows["b.flac"]["cutoff"]


def test_the_version_names_what_it_uses(overtone):
    code, out, _ = overtone("--version", "-v")
    assert code == 0
    for part in (
        "overtone ",
        "Python 3.",
        "numpy ",
        "libsndfile",
        "CPUExecutionProvider",
        "speech",
    ):
        assert part in out
