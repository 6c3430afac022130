"""The entry point: help, version, errors and exit codes of the whole command."""

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
