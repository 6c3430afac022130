"""What fuzzing ever found stays mended; and a short run of every harness, so that none rots."""

from pathlib import Path

import pytest
from targets import TARGETS

from fuzz import FINDINGS, check, make, mutate

SEEDS = range(3)


@pytest.mark.parametrize("path", sorted(FINDINGS.iterdir()), ids=lambda path: path.name)
def test_a_finding_stays_mended(path: Path):
    assert check(path.name.partition("-")[0], path.read_bytes()) == ""


@pytest.mark.parametrize("kind", TARGETS)
def test_good_files_and_a_few_mutated_ones_are_used_or_refused(kind):
    seeds = {kind: TARGETS[kind].seeds()}
    for content in [seeds[kind][0], *(make(kind, seed, seeds) for seed in SEEDS)]:
        assert check(kind, content) == ""


def test_the_same_seed_gives_the_same_input():
    import random

    one, other = (mutate(b"abc" * 100, [b"xyz"], random.Random(7)) for _ in range(2))
    assert one == other != b"abc" * 100


def test_a_defect_is_a_finding(monkeypatch):
    def fail(path):
        raise ZeroDivisionError

    target = TARGETS["wav"]
    monkeypatch.setitem(TARGETS, "wav", type(target)(target.suffix, target.seeds, fail))
    assert "ZeroDivisionError" in check("wav", b"")
