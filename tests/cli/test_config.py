"""Options in overtone.toml: what comes first, what is shown, and what is refused in one line."""

import sys

import pytest

from overtone.cli import config, main


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run the command line in a working folder, and return its exit code, stdout and stderr."""
    (tmp_path / "work").mkdir()
    (tmp_path / "own").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(config.typer, "get_app_dir", lambda _: str(tmp_path / "own"))

    def run(*arguments, work=None, own=None):
        for folder, text in (("work", work), ("own", own)):
            if text is not None:
                (tmp_path / folder / "overtone.toml").write_text(text, encoding="utf-8")
        monkeypatch.setattr(sys, "argv", ["overtone", *arguments])
        with pytest.raises(SystemExit) as exit_:
            main()
        return exit_.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def asked(monkeypatch):
    """What the command asks of the library."""
    asked = {}

    def enhance_files(sources, target, **options):
        asked.update(options, output=target)

    monkeypatch.setattr("overtone.inference.jobs.enhance_files", enhance_files)
    return asked


def test_command_line_then_working_folder_then_own_file(run, asked):
    code, *_ = run(
        *("enhance", "call.wav", "--jobs", "4"),
        work='[enhance]\njobs = 3\nrate = "44.1k"\nselect = ["0:01-0:02"]\n',
        own='[enhance]\njobs = 2\nrate = 96000\nstrength = -3\ntags = false\nmodel = "music"\n',
    )
    assert code == 0
    assert (asked["jobs"], asked["output_rate"], asked["select"]) == (4, 44100, [(1, 2)])
    assert (asked["strength_db"], asked["tags"], asked["model"]) == (-3, False, "music")


def test_either_spelling_and_plain_numbers_will_do(run, asked):
    run("enhance", "call.wav", own="[enhance]\nskip_unchanged = true\nfidelity = 1\n")
    assert (asked["skip_unchanged"], asked["fidelity"]) == (True, 1)
    run("enhance", "call.wav", own="[enhance]\nskip-unchanged = true\n")
    assert asked["skip_unchanged"] is True


def test_commands_below_commands_have_tables_below_tables(run):
    _, out, _ = run("config", work="[benchmark.quality]\nperceptual = true\n")
    assert "benchmark.quality.perceptual = True" in out


def test_config_shows_what_is_in_force_and_from_where(run, tmp_path):
    code, out, err = run(
        "config", work="[enhance]\njobs = 3\n", own='[enhance]\njobs = 2\n[serve]\nport = "9000"\n'
    )
    own = tmp_path / "own" / "overtone.toml"
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "overtone.toml",
        "  enhance.jobs = 3",
        str(own),
        "  enhance.jobs = 2 (but overtone.toml comes first)",
        "  serve.port = 9000",
    ]


def test_without_files_config_says_where_they_would_be(run, tmp_path):
    code, out, _ = run("config")
    assert code == 0
    assert out == f"overtone.toml: not there\n{tmp_path / 'own' / 'overtone.toml'}: not there\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[enhance]\nfidelty = 1", "enhance.fidelty: unknown key; did you mean fidelity?"),
        ("[enhanse]\njobs = 1", "enhanse: no such table; did you mean enhance?"),
        ("jobs = 4", "jobs: no such table"),
        ("enhance = 4", "enhance: no such table"),
        ("[enhance]\njobs = 0", "enhance.jobs: "),
        ("[enhance]\nrate = 'fast'", "enhance.rate: 'fast' is not a frequency"),
        ("[enhance]\ndevice = 'tpu'", "enhance.device: 'tpu' is not one of 'auto'"),
        ("[enhance]\ntags = 'no'", "enhance.tags: true or false"),
        ("[enhance]\njobs = true", "enhance.jobs: no switch"),
        ("[enhance]\njobs = [1, 2]", "enhance.jobs: takes one value, not 2"),
        ("[enhance]\nforce = true", "enhance.force: unknown key"),
        ("[enhance", "not a TOML file"),
    ],
)
def test_what_no_command_knows_is_one_line_that_names_file_and_key(run, text, said):
    for arguments in (("enhance", "call.wav"), ("models",), ("config",)):
        code, out, err = run(*arguments, work=text)
        assert (code, out) == (1, "")
        assert err.startswith(f"overtone: overtone.toml: {said}"), err
        assert err.count("\n") == 1


def test_help_and_version_do_not_ask_the_files(run):
    assert run("--version", work="nonsense")[0] == 0
    assert run("--help")[0] == 0
