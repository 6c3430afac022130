"""What a release promises: how it is published, what it runs on, and how its command ends."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import overtone.__main__
from overtone.errors import ModelError
from overtone.inference.model import load_model, model_path

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def jobs():
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    return yaml.safe_load(text)["jobs"]


def test_nothing_is_published_that_was_not_tested(jobs):
    needs = {
        name: {*([job["needs"]] if isinstance(job.get("needs"), str) else job.get("needs", []))}
        for name, job in jobs.items()
    }
    assert needs["publish"] == set(jobs) - {"publish"}
    [upload] = [s for s in jobs["publish"]["steps"] if "pypi-publish" in s["uses"]]
    assert "with" not in upload  # no password: the index trusts this workflow


def test_only_the_job_that_publishes_can(jobs):
    able = [name for name, job in jobs.items() if "id-token" in job["permissions"]]
    assert able == ["publish"]
    assert jobs["publish"]["environment"]["name"] == "pypi"
    assert not any("run" in step for step in jobs["publish"]["steps"])


def test_every_python_that_is_allowed_is_installed_with_oldest_and_newest(jobs):
    matrix = jobs["install"]["strategy"]["matrix"]
    assert f">={matrix['python'][0]}" == PROJECT["requires-python"]
    assert set(matrix["resolution"]) == {"highest", "lowest-direct"}
    assert {row["os"].partition("-")[0] for row in matrix["include"]} == {"windows", "macos"}


def test_what_the_workflow_runs_exists(jobs):
    said = " ".join(step.get("run", "") for job in jobs.values() for step in job["steps"])
    for file in re.findall(r"(?:tools|\.ci)/[\w.]+", said):
        assert (ROOT / file).exists()
    for target in re.findall(r"make (\w+)", said):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_get_a_script_and_completions(shell):
    def run(**variables):
        return subprocess.run(
            [sys.executable, "-m", "overtone"],
            env=os.environ | variables,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout

    assert "_OVERTONE_COMPLETE" in run(_OVERTONE_COMPLETE=f"source_{shell}")
    if shell == "bash":
        words = {"COMP_WORDS": "overtone enhance --target", "COMP_CWORD": "2"}
        assert run(_OVERTONE_COMPLETE="complete_bash", **words).split() == ["--target-lufs"]


def test_an_old_python_gets_one_line(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 2))
    with pytest.raises(
        SystemExit, match=r"^overtone needs Python 3\.11 or newer, and this is 3\.10$"
    ):
        overtone.__main__.main()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--version"], 0), (["enhance", "gone.wav"], 1), (["enhance", "--gone"], 2)],
)
def test_exit_codes_are_as_documented(arguments, code, tmp_path):
    """Those of signals are held by ``test_an_interruption_leaves_nothing_half_done``."""
    page = (ROOT / "docs" / "guide" / "use.md").read_text(encoding="utf-8")
    documented = set(map(int, re.findall(r"^\| (\d+) \|", page, re.MULTILINE)))
    assert documented == {0, 1, 2, 128 + 2, 128 + 15}
    command = [sys.executable, "-m", "overtone", *arguments]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == code


@pytest.mark.parametrize("part", [0.0, 0.001, 0.5, 0.999])
def test_a_half_downloaded_model_is_one_line(tmp_path, part):
    whole = model_path("speech").read_bytes()
    cut = tmp_path / "speech.onnx"
    cut.write_bytes(whole[: round(part * len(whole))])
    with pytest.raises(ModelError, match=r"speech\.onnx: ") as error:
        load_model(cut, device="cpu")
    assert "\n" not in str(error.value)
