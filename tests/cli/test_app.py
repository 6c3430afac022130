"""The entry point: help, version, errors and exit codes of the whole command."""

import json
import re
import subprocess
import sys

import pytest

import overtone
from overtone.cli import main
from overtone.errors import OvertoneError

COMMANDS = (
    "enhance",
    "stream",
    "live",
    "models",
    "evaluate",
    "plot",
    "train",
    "export",
    "benchmark",
)


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command line here and return its exit code, stdout and stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["overtone", *arguments])
        with pytest.raises(SystemExit) as exit_:
            main()
        return exit_.value.code, *capsys.readouterr()

    return run


def test_version(run):
    assert run("--version") == (0, f"overtone {overtone.__version__}\n", "")


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_lists_every_command(run, flag):
    code, out, err = run(flag)
    assert (code, err) == (0, "")
    for command in COMMANDS:
        assert f"\n  {command} " in out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_and_its_options(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0
    assert f"Usage: overtone {command} " in out


def test_no_command_shows_the_help(run):
    code, out, err = run()
    assert code == 2
    assert "enhance" in out + err


def test_an_unknown_command_is_wrong_usage(run):
    code, out, err = run("enlarge")
    assert (code, out) == (2, "")
    assert "enlarge" in err


def test_our_errors_are_one_line_and_exit_code_1(run, monkeypatch):
    def fail():
        raise OvertoneError("call.wav: cannot\n   be read")

    monkeypatch.setattr("overtone.inference.model.list_models", fail)
    assert run("models") == (1, "", "overtone: call.wav: cannot be read\n")


def test_a_defect_is_a_line_and_its_traceback_is_for_those_who_ask(run, monkeypatch):
    def fail():
        raise ZeroDivisionError

    monkeypatch.setattr("overtone.inference.model.list_models", fail)
    code, out, err = run("models")
    assert (code, out) == (1, "")
    assert err.startswith("overtone: internal error, please report it: ZeroDivisionError")
    assert err.count("\n") == 1
    code, out, err = run("-v", "models")
    assert code == 1
    assert "raise ZeroDivisionError" in err


def test_a_reader_that_leaves_is_no_error_worth_a_word():
    process = subprocess.Popen(
        [sys.executable, "-c", "from overtone.cli import main; main()", "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()
    _, err = process.communicate(timeout=60)
    assert err == ""


def test_the_log_of_all_processes_is_shown_to_those_who_ask(tmp_path, examples_dir):
    call = str(examples_dir / "speech_en_8k.flac")
    command = [sys.executable, "-m", "overtone", "-v", "enhance", call, "-o", str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120).stderr
    assert "overtone.inference.model: model speech from" in said
    assert "speech_en_8k.flac: AudioInfo(" in said


@pytest.mark.parametrize("words", [("-v", "models"), ("models", "-v"), ("models", "--verbose")])
def test_the_log_is_asked_for_before_or_after_the_command(run, monkeypatch, words):
    shown = []
    monkeypatch.setattr("overtone.logs.show", lambda: shown.append(1))
    assert run(*words)[0] == 0
    assert shown


def test_after_two_dashes_a_name_is_a_name(run):
    code, _, err = run("enhance", "--dry-run", "--", "-v")
    assert (code, err) == (1, "overtone: -v: no such file or folder\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--bits 12", "'--bits': '12' is not one of"),
        ("--fidelity 2", "'--fidelity': give a number of at most 1"),
        ("--fidelity -1", "'--fidelity': give a number of at least 0"),
        ("--strength nan", "'--strength': must be a number, not nan"),
        ("--strength=-inf", "'--strength': must be a number, not -inf"),
        ("--fidelity inf", "'--fidelity': must be a number, not inf"),
        ("-j two", "give a whole number"),
    ],
)
def test_a_value_that_cannot_be_is_told_in_the_options_words(run, words, said):
    code, _, err = run("enhance", "call.wav", *words.split())
    assert code == 2
    # Older versions of typer have words of their own.
    assert re.search(f"{said}|is not in the range|nan|is not a valid int", err)
    assert not re.search("Input should|Value error", err)


def test_an_empty_model_is_no_model(run, examples_dir):
    code, _, err = run("enhance", str(examples_dir / "speech_en_8k.flac"), "-m", "", "-o", "x.wav")
    assert code == 1
    assert err.startswith("overtone: no model ''; shipped: ")


def test_a_folder_that_is_missing_is_to_be_made(run, examples_dir, tmp_path):
    results = tmp_path / "none" / "done.jsonl"
    call = str(examples_dir / "speech_en_8k.flac")
    code, _, err = run("enhance", call, "-o", str(tmp_path / "x.wav"), "--results", str(results))
    assert code == 1
    assert err.endswith(f"; make the folder {results.parent} first\n")
    assert not (tmp_path / "x.wav").exists()


def test_results_do_not_replace_the_list_of_files(run, examples_dir, tmp_path):
    listed = tmp_path / "files.jsonl"
    listed.write_text(json.dumps({"source": str(examples_dir / "speech_en_8k.flac")}))
    before = listed.read_bytes()
    arguments = ["--manifest", str(listed), "-o", f"{tmp_path}/out/", "--results", str(listed)]
    code, _, err = run("enhance", *arguments, "--resume")
    assert code == 1
    assert "files.jsonl: is also an input" in err
    assert listed.read_bytes() == before


def test_one_file_under_two_names_is_refused_before_any_work(run, examples_dir, tmp_path):
    call = examples_dir / "speech_en_8k.flac"
    rows = [{"source": str(call)}, {"source": str(call.parent / ".." / "examples" / call.name)}]
    listed = tmp_path / "files.jsonl"
    listed.write_text("\n".join(map(json.dumps, rows)))
    code, _, err = run("enhance", "--manifest", str(listed), "-o", f"{tmp_path}/out/")
    assert code == 1
    assert "would both be written to" in err
    assert not (tmp_path / "out").exists()
