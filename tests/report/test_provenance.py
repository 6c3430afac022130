"""Where numbers were made: a day, a version, a commit, a machine."""

import datetime
import re
import shutil
import subprocess

import pytest

from overtone import __version__
from overtone.report import provenance as provenance_module
from overtone.report.provenance import machine, provenance, source_commit


def test_a_page_can_say_when_by_what_and_where():
    said = provenance()
    datetime.date.fromisoformat(said["date"])
    assert said["overtone"].startswith(__version__)
    assert said.items() >= machine().items()
    assert all(said.values())
    assert {"processor", "memory", "numpy", "onnxruntime"} <= said.keys()


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """Let the source lie in a fresh checkout, and return a function that runs git there."""
    if shutil.which("git") is None:
        pytest.skip("no git here")
    source = tmp_path / "src" / "overtone" / "report" / "provenance.py"
    source.parent.mkdir(parents=True)
    source.write_text("first\n")
    monkeypatch.setattr(provenance_module, "__file__", str(source))

    def git(*arguments):
        name = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        subprocess.run(["git", "-C", tmp_path, *name, *arguments], check=True, capture_output=True)

    git("init")
    return git, source


def test_the_commit_is_named_and_changes_are_owned_up_to(checkout):
    git, source = checkout
    git("add", ".")
    git("commit", "-m", "first")
    clean = source_commit()
    assert re.fullmatch(r"[0-9a-f]{10,}", clean)
    source.write_text("second\n")
    assert source_commit() == f"{clean} with changes"


def test_a_checkout_around_an_installed_package_is_not_its_own(checkout):
    git, _ = checkout
    git("commit", "--allow-empty", "-m", "the package itself is not in it")
    assert source_commit() is None


def test_without_git_there_is_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert source_commit() is None
    assert provenance()["overtone"] == __version__
