"""What is imported when: enhancing needs no laboratory, and help needs next to nothing."""

import json
import os
import subprocess
import sys

import pytest

LABORATORY = {"torch", "torchaudio", "scipy", "matplotlib", "h5py", "librosa", "tensorboard"}
LABORATORY |= {
    f"overtone.{room}" for room in ("degrade", "data", "models", "training", "evaluation")
}
HEAVY = LABORATORY | {"numpy", "onnxruntime", "soundfile", "soxr", "rich"}

REPORT = """
import atexit, json, os, sys
atexit.register(lambda: json.dump(sorted(sys.modules), open(os.environ["MODULES"], "w")))
"""


@pytest.fixture
def imported_by(tmp_path):
    """Run code in a fresh interpreter and return the names of all the modules it imported."""

    def run(code, *arguments):
        modules = tmp_path / "modules.json"
        process = subprocess.run(
            [sys.executable, "-c", REPORT + code, *arguments],
            env=os.environ | {"MODULES": str(modules)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert process.returncode == 0, process.stderr
        return set(json.loads(modules.read_text()))

    return run


CLI = "from overtone.cli import main; main()"
ENHANCE = "import sys; from overtone import enhance_files; enhance_files(*sys.argv[1:])"


def test_importing_overtone_imports_nothing_heavy(imported_by):
    assert imported_by("import overtone; overtone.__version__") & HEAVY == set()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["enhance", "--help"]])
def test_help_imports_nothing_heavy(imported_by, arguments):
    modules = imported_by(CLI, *arguments)
    assert "overtone.cli.enhance" in modules
    assert modules & HEAVY == set()


def test_enhancing_a_file_imports_no_laboratory(imported_by, examples_dir, tmp_path):
    source, output = str(examples_dir / "speech_en_8k.flac"), tmp_path / "enhanced.flac"
    # The command leaves the work to another process; the library does it here.
    for code, *words in ((CLI, "enhance", source, "-o"), (ENHANCE, source)):
        modules = imported_by(code, *words, str(output))
        assert output.exists()
        assert modules & LABORATORY == set()
        output.unlink()
    assert "onnxruntime" in modules


def test_the_public_names_import_no_laboratory(imported_by):
    modules = imported_by("import overtone; [getattr(overtone, name) for name in overtone.__all__]")
    assert "overtone.inference" in modules
    assert modules & LABORATORY == set()
