"""Recordings become patches as Kuleshov's script makes them."""

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import signal
from scipy.interpolate import splev, splrep

from overtone.data.patches import PatchSettings, cut, make_pair, patch_starts

SETTINGS = {"scale": 4, "dimension": 512, "stride": 256, "interpolate": True, "low_pass": True}


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("samples", [1000, 1001, 1007])
def test_both_sides_of_kuleshovs_protocol(rng, scale, samples):
    high = rng.standard_normal(samples).astype(np.float32)
    settings = PatchSettings(**SETTINGS | {"scale": scale})
    low, cropped = make_pair(high, settings)
    kept = samples // scale * scale
    assert np.array_equal(cropped, high[:kept])
    thinned = signal.decimate(high[:kept].astype(float), scale)
    spline = splrep(np.arange(0, kept, scale), thinned)
    assert low.shape == cropped.shape
    assert np.allclose(low, splev(np.arange(kept), spline), atol=1e-5)


def test_without_interpolation_the_input_is_shorter(rng):
    high = rng.standard_normal(1003).astype(np.float32)
    settings = PatchSettings(**SETTINGS | {"interpolate": False})
    low, cropped = make_pair(high, settings)
    assert (low.size, cropped.size) == (250, 1000)
    assert np.allclose(low, signal.decimate(cropped.astype(float), 4), atol=1e-5)


def test_without_low_pass_samples_are_picked(rng):
    high = rng.standard_normal(1000).astype(np.float32)
    settings = PatchSettings(**SETTINGS | {"interpolate": False, "low_pass": False})
    assert np.array_equal(make_pair(high, settings)[0], high[::4])


@pytest.mark.parametrize("interpolate", [True, False])
@pytest.mark.parametrize("scale", [3, 4])
def test_whole_files_are_cropped_to_256_and_stay_aligned(rng, interpolate, scale):
    high = rng.standard_normal(2000).astype(np.float32)
    settings = PatchSettings(scale=scale, interpolate=interpolate, low_pass=True)
    low, cropped = make_pair(high, settings)
    assert cropped.size % 256 == 0
    assert cropped.size == (1792 if scale == 4 or interpolate else 1536)
    assert low.size == cropped.size // settings.low_step
    assert np.array_equal(cropped, high[: cropped.size])


@pytest.mark.parametrize(
    ("samples", "starts"),
    [(511, []), (512, [0]), (767, [0]), (768, [0, 256]), (1280, [0, 256, 512, 768])],
)
def test_patches_start_a_stride_apart_and_fit(samples, starts):
    assert patch_starts(samples, PatchSettings(**SETTINGS), 0).tolist() == starts


def test_sam_keeps_that_fraction_of_the_patches_by_file_and_seed():
    settings = PatchSettings(**SETTINGS | {"sam": 0.25})
    samples = 256 * 4001
    everything = patch_starts(samples, PatchSettings(**SETTINGS), 3)
    kept = patch_starts(samples, settings, 3)
    assert set(kept) < set(everything)
    assert np.all(np.diff(kept) > 0)
    assert kept.size / everything.size == pytest.approx(0.25, abs=0.03)
    assert np.array_equal(kept, patch_starts(samples, settings, 3))
    assert not np.array_equal(kept, patch_starts(samples, settings, 4))
    other_seed = PatchSettings(**SETTINGS | {"sam": 0.25, "seed": 1})
    assert not np.array_equal(kept, patch_starts(samples, other_seed, 3))


def test_cutting_takes_what_lies_there():
    side = np.arange(20, dtype=np.float32)
    starts = np.array([0, 7, 15])
    assert cut(side, starts, 5).tolist() == [side[s : s + 5].tolist() for s in starts]
    assert cut(side[:3], starts[:0], 5).shape == (0, 5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scale": 1}, "scale"),
        ({"dimension": 0}, "dimension must be a number of samples, or -1 .* not 0"),
        ({"dimension": 510, "interpolate": False}, "dimension 510 must be a multiple of scale 4"),
        ({"stride": 254, "interpolate": False}, "stride 254 must be a multiple of scale 4"),
        ({"stride": 0}, "stride"),
        ({"sam": 0.0}, "sam"),
        ({"sam": 1.5}, "sam"),
        ({"batch_size": 0}, "batch_size"),
        ({"sample_rate": 0}, "sample_rate"),
        ({"strid": 5}, "strid"),
    ],
)
def test_impossible_settings_are_refused_by_name(wrong, message):
    with pytest.raises(ValidationError, match=message):
        PatchSettings(**SETTINGS | wrong)
