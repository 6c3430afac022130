"""What the page on bandwidth detection measures."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("scipy")

from overtone.dsp.bandwidth import CutoffEstimate
from overtone.evaluation import cutoffs

RATE = 48000


def test_lines_have_the_level_that_is_said(make_noise: Any, rng: np.random.Generator) -> None:
    x = make_noise(RATE, 1.0)[0]
    found = {name: y - plain for name, plain, y in cutoffs.disturbances(x, RATE, rng)}
    for dbfs in cutoffs.LINES_DBFS:
        line = found[f"a line at {dbfs} dBFS"]
        assert 20 * np.log10(np.sqrt(np.mean(line**2))) == pytest.approx(dbfs, abs=0.1)
        spectrum = np.abs(np.fft.rfft(line))
        assert np.argmax(spectrum) in cutoffs.LINES_HZ


def test_a_change_is_where_it_was_made(make_noise: Any) -> None:
    x = make_noise(RATE, 8.0)[0]
    made = dict(cutoffs.changes(x, RATE))
    assert len(made) == 2
    for y in made.values():
        change = cutoffs.find_change(y, RATE)
        assert change.off_s is not None
        assert abs(change.off_s) < 0.5
        assert change.narrow is not None
        assert change.narrow.cutoff_hz == pytest.approx(3830, rel=0.1)
    assert cutoffs.find_change(x, RATE) == cutoffs.Change(None, None)


def test_only_the_same_verdict_and_cutoff_count_as_kept() -> None:
    def limited(hertz: float) -> CutoffEstimate:
        return CutoffEstimate("band-limited", hertz, 0.9)

    full = CutoffEstimate("full band", 24000, 0.9)
    assert cutoffs._alike(limited(4000), limited(4500))
    assert not cutoffs._alike(limited(4000), limited(5000))
    assert not cutoffs._alike(limited(24000), full)
    assert cutoffs._alike(full, full)
