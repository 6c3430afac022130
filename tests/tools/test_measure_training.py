"""The tool that times a training step runs on any recipe of the extender, without its corpora."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RECIPE = """
name = "tiny"
description = "For tests"

[model]
window_samples = 768
hop_samples = 192
channels = 16
blocks = 1

[loss]
windows = [512, 1024]
band_power = 0.3

[optimiser]
steps = 6
batch_size = 2
crop_frames = 24

[[corpora]]
name = "nowhere"
path = "nowhere"
bandwidth_hz = 11000
licence = "CC0 1.0"
"""


@pytest.fixture
def measure():
    def run(recipe):
        tool = [sys.executable, ROOT / "tools" / "measure_training.py", recipe, "--steps", "1"]
        return subprocess.run(tool, capture_output=True, text=True, cwd=ROOT, check=False)

    return run


TURNS = ("against", "turn of")
ADVERSARY = """
[adversarial]
windows = [256, 512]
channels = 4
"""


@pytest.mark.parametrize(
    ("more", "discriminators"),
    [
        ("", []),
        (
            ADVERSARY,
            [
                f"{turn} discriminator {window}"
                for window in (256, 512)
                for turn in ("against", "turn of")
            ],
        ),
    ],
)
def test_the_parts_add_up_to_the_step(measure, tmp_path, more, discriminators):
    (tmp_path / "tiny.toml").write_text(RECIPE + more)
    done = measure(tmp_path / "tiny.toml")
    assert done.returncode == 0, done.stderr
    heading, *table = done.stdout.splitlines()
    assert heading.startswith("tiny.toml: 0.2 s of audio a step")
    rows = [re.split(r" *\| *", line.strip("| ")) for line in table]
    costs = {row[0]: float(row[-1]) for row in rows[2:]}
    assert list(costs)[:4] == ["examples", "network", "spectral distances", "signal distance"]
    assert [name for name in costs if "discriminator" in name] == discriminators
    step = costs.pop("step")
    assert sum(costs.values()) == pytest.approx(step, abs=1e-3)


def test_a_recipe_of_another_network_is_refused(measure):
    done = measure("configs/lineage/piano_x4.toml")
    assert done.returncode == 2
    assert "piano_x4.toml: not a recipe of the spectral extender" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_recipe_is_named(measure, tmp_path):
    done = measure(tmp_path / "none.toml")
    assert done.returncode == 2
    assert "none.toml: cannot read the recipe" in done.stderr
    assert "Traceback" not in done.stderr
