"""Low-pass filters: the textbook's curves, ordered edges, and nothing but the band that passes."""

import numpy as np
import pytest
from scipy import signal

from overtone.degrade.lowpass import (
    FAMILIES,
    RESAMPLER_PASSBAND,
    LowPass,
    apply,
    compensated,
    passband_droop,
    random_low_pass,
)
from overtone.errors import InvalidInputError

RATE = 48000
CUTOFF_HZ = 3000.0
# Up to an octave above the edge these are the points of the grid that elliptic and Bessel responses
# are interpolated on.
FREQUENCIES_HZ = np.arange(0, RATE / 2, CUTOFF_HZ / 500)


def design(family, order, ripple_db, stop_db):
    """scipy's own analogue low-pass with its edge at CUTOFF_HZ, as a magnitude."""
    edge = 2 * np.pi * CUTOFF_HZ
    b, a = {
        "butterworth": lambda: signal.butter(order, edge, analog=True),
        "chebyshev": lambda: signal.cheby1(order, ripple_db, edge, analog=True),
        "elliptic": lambda: signal.ellip(order, ripple_db, stop_db, edge, analog=True),
        "bessel": lambda: signal.bessel(order, edge, analog=True, norm="mag"),
    }[family]()
    return np.abs(signal.freqs(b, a, worN=2 * np.pi * FREQUENCIES_HZ)[1])


@pytest.mark.parametrize("passes", [1, 2])
@pytest.mark.parametrize("order", [1, 4, 7, 8])
@pytest.mark.parametrize("family", ["butterworth", "chebyshev", "elliptic", "bessel"])
def test_curves_are_those_of_the_analogue_designs(family, order, passes):
    low_pass = LowPass(family, CUTOFF_HZ, order, ripple_db=0.5, stop_db=50, passes=passes)
    wanted = design(family, order, 0.5, 50) ** passes
    error = np.abs(low_pass.magnitude(FREQUENCIES_HZ) - wanted)
    assert error[FREQUENCIES_HZ <= 2 * CUTOFF_HZ].max() < 1e-6
    assert error.max() < 1e-3


@pytest.mark.parametrize("ripple_db", [0.05, 1.0])
def test_ripple_ends_at_the_cutoff(ripple_db):
    for family in ("chebyshev", "elliptic"):
        low_pass = LowPass(family, CUTOFF_HZ, order=6, ripple_db=ripple_db)
        level = low_pass.magnitude(np.array([CUTOFF_HZ]))
        assert -20 * np.log10(level) == pytest.approx(ripple_db, abs=1e-3)


@pytest.mark.parametrize(("depth_db", "power"), [(3.92, 1), (7.84, 2)])
def test_a_droop_is_about_that_of_held_and_of_interpolated_samples(depth_db, power):
    """The textbook's sinc, whose argument at the Nyquist frequency is a half."""
    hz = np.linspace(0, 4000, 50)
    wanted_db = 20 * power * np.log10(np.sinc(hz / 8000))
    found_db = 20 * np.log10(passband_droop(hz, 4000, depth_db, 2.1))
    assert np.abs(found_db - wanted_db).max() < 0.2
    assert passband_droop(np.array([9000.0]), 4000, depth_db, 2.1) == pytest.approx(
        10 ** (-depth_db / 20)
    )


@pytest.mark.parametrize("reach_db", [6.0, 15.0])
def test_a_lifted_slope_is_flat_as_far_as_it_reaches_and_then_as_steep(reach_db):
    low_pass = LowPass("butterworth", CUTOFF_HZ, order=4)
    edge_hz = low_pass.edge_hz(reach_db)
    magnitude = low_pass.magnitude(FREQUENCIES_HZ)
    found = compensated(magnitude, reach_db)
    under, over = 0.999 * edge_hz > FREQUENCIES_HZ, 1.001 * edge_hz < FREQUENCIES_HZ
    assert np.allclose(found[under], 1)
    assert np.allclose(found[over], magnitude[over] * 10 ** (reach_db / 20))


def test_a_resampler_passes_its_band_and_stops_at_the_low_nyquist_frequency():
    level = LowPass("resampler", CUTOFF_HZ).magnitude(FREQUENCIES_HZ)
    assert (level[FREQUENCIES_HZ <= RESAMPLER_PASSBAND * CUTOFF_HZ] == 1).all()
    assert np.allclose(level[FREQUENCIES_HZ >= CUTOFF_HZ], 0, atol=1e-12)
    assert (np.diff(level) <= 0).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_edge_moves_with_the_cutoff_and_outward_with_the_attenuation(family):
    edges = [LowPass(family, CUTOFF_HZ).edge_hz(db) for db in (3.5, 6, 9, 12)]
    assert edges == sorted(edges)
    assert LowPass(family, 2 * CUTOFF_HZ).edge_hz() == pytest.approx(2 * edges[1], rel=1e-9)
    # What is said of the edge holds of the response.
    level = LowPass(family, CUTOFF_HZ).magnitude(np.array([0.99, 1.002]) * edges[1])
    assert level[1] < 10 ** (-6 / 20) < level[0]


def test_more_passes_end_no_later():
    for family in ("butterworth", "chebyshev", "elliptic", "bessel"):
        once, twice = (LowPass(family, CUTOFF_HZ, passes=passes).edge_hz() for passes in (1, 2))
        assert twice <= once


def test_an_edge_that_is_nowhere_near_is_refused():
    with pytest.raises(InvalidInputError, match="60 dB"):
        LowPass("butterworth", CUTOFF_HZ, order=2).edge_hz(60)
    with pytest.raises(InvalidInputError, match="0 dB"):
        LowPass("butterworth", CUTOFF_HZ).edge_hz(0)


@pytest.mark.parametrize("family", FAMILIES)
def test_tones_pass_below_and_vanish_above(family, make_tone):
    low_pass = LowPass(family, CUTOFF_HZ, order=8)
    low, high = (make_tone(f, RATE, 0.5) for f in (300.0, 4 * CUTOFF_HZ))
    # A tone that is reflected has a corner, so the ends are left out.
    inner = slice(RATE // 8, -RATE // 8)
    assert np.abs(apply(low, RATE, low_pass) - low)[:, inner].max() < 0.01
    # Two octaves above its edge even Bessel's gentle slope is 50 dB down.
    assert np.abs(apply(high, RATE, low_pass))[:, inner].max() < 0.5 * 10 ** (-50 / 20)
    assert np.abs(apply(low + high, RATE, low_pass) - low)[:, inner].max() < 0.012


@pytest.mark.parametrize("shape", [(4800,), (2, 4800), (2, 3, 480), (1,), (2, 1), (3, 7), (2, 0)])
def test_shapes_are_kept(shape, rng):
    samples = rng.standard_normal(shape).astype(np.float32)
    filtered = apply(samples, RATE, LowPass("butterworth", CUTOFF_HZ))
    assert filtered.shape == shape
    assert filtered.dtype == np.float32
    assert np.isfinite(filtered).all()


def test_channels_are_filtered_one_by_one(make_noise):
    both = make_noise(RATE, 0.1, channels=2)
    low_pass = LowPass("elliptic", CUTOFF_HZ)
    assert np.array_equal(apply(both, RATE, low_pass)[1], apply(both[1], RATE, low_pass))


def test_nothing_wraps_around_from_one_end_to_the_other():
    click = np.zeros(4800, np.float32)
    click[-20] = 1
    filtered = apply(click, RATE, LowPass("brickwall", CUTOFF_HZ))
    assert np.abs(filtered[:100]).max() < 1e-3
    assert np.abs(filtered[-40:]).max() > 0.1


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"family": "gaussian"}, "'gaussian'.*butterworth"),
        ({"cutoff_hz": 0.0}, "cutoff"),
        ({"cutoff_hz": float("nan")}, "cutoff"),
        ({"order": 0}, "order"),
        ({"passes": 0}, "passes"),
        ({"ripple_db": 0.0}, "ripple"),
        ({"ripple_db": 60.0, "stop_db": 40.0}, "ripple"),
    ],
)
def test_impossible_filters_are_refused(settings, named):
    with pytest.raises(InvalidInputError, match=named):
        LowPass(**{"family": "butterworth", "cutoff_hz": CUTOFF_HZ} | settings)


def test_random_filters_cover_the_families_and_always_have_an_edge():
    rng = np.random.default_rng(0)
    drawn = [random_low_pass(rng, CUTOFF_HZ) for _ in range(400)]
    assert {low_pass.family for low_pass in drawn} == set(FAMILIES)
    assert {low_pass.passes for low_pass in drawn} == {1, 2}
    assert {low_pass.cutoff_hz for low_pass in drawn} == {CUTOFF_HZ}
    edges = np.array([low_pass.edge_hz() for low_pass in set(drawn)])
    assert (edges > 0.9 * CUTOFF_HZ).all()
    assert (edges < 1.5 * CUTOFF_HZ).all()
    again = np.random.default_rng(0)
    assert drawn[:20] == [random_low_pass(again, CUTOFF_HZ) for _ in range(20)]
