"""Means and their intervals: as wide as they should be, over whole recordings, repeatable."""

import numpy as np
import pytest

from overtone.errors import InvalidInputError
from overtone.evaluation.stats import Mean, mean_with_interval


def bootstrap_interval(*arguments, **options):
    return mean_with_interval(*arguments, **options)[1:]


def test_it_agrees_with_the_normal_interval_of_many_values(rng):
    values = rng.standard_normal(900)
    low, high = bootstrap_interval(values)
    half = 1.96 * values.std() / 30
    assert low == pytest.approx(values.mean() - half, abs=0.01)
    assert high == pytest.approx(values.mean() + half, abs=0.01)


def test_it_covers_the_truth_about_as_often_as_it_says(rng):
    trials = rng.exponential(size=(200, 40))
    intervals = [bootstrap_interval(values, resamples=400, level=0.9) for values in trials]
    covered = np.mean([low <= 1 <= high for low, high in intervals])
    assert 0.82 < covered < 0.95  # percentile intervals of skewed values are a little narrow


def test_patches_of_one_recording_are_one_draw(rng):
    of_files = rng.standard_normal(30)
    patches = np.repeat(of_files, 16)
    files = [f"{number}.wav" for number in range(30) for _ in range(16)]
    # Repeating what is known brings no knowledge ...
    assert bootstrap_interval(patches, files) == pytest.approx(bootstrap_interval(of_files))
    # ... which counting patches as independent would claim.
    low, high = bootstrap_interval(patches)
    grouped_low, grouped_high = bootstrap_interval(patches, files)
    assert (grouped_high - grouped_low) / (high - low) == pytest.approx(4, rel=0.15)


def test_long_recordings_weigh_by_their_patches():
    low, high = bootstrap_interval([0.0, 1.0, 1.0, 1.0], ["a", "b", "b", "b"], level=0.4)
    assert (low, high) == (0.75, 0.75)  # the middle of the draws holds both


def test_it_is_the_same_every_time_and_the_seed_counts(rng):
    values = rng.standard_normal(1500)
    assert bootstrap_interval(values) == bootstrap_interval(list(values))
    assert bootstrap_interval(values) != bootstrap_interval(values, seed=1)


def test_the_order_of_members_within_a_group_does_not_count(rng):
    values, groups = rng.standard_normal(60), np.repeat(np.arange(6), 10)
    order = np.concatenate([group + rng.permutation(10) for group in range(0, 60, 10)])
    shuffled = bootstrap_interval(values[order], groups[order].tolist())
    assert shuffled == pytest.approx(bootstrap_interval(values, groups.tolist()))


def test_the_mean_is_that_of_what_is_defined():
    assert mean_with_interval([1.0, np.nan, 2.0, 6.0]).value == 3
    assert np.isnan(mean_with_interval([np.nan]).value)


def test_it_is_printed_with_its_interval():
    assert Mean(1.023, 0.91, 1.127).text(2) == "1.02 [0.91, 1.13]"
    assert Mean(1.023, -0.91, 1.127).text(1, "+") == "+1.0 [-0.9, +1.1]"
    assert Mean(1.023).text(2) == "1.02"
    assert Mean(np.nan).text(2) == "n/a"


def test_undefined_values_are_left_out(rng):
    values = rng.standard_normal(20)
    holed = np.insert(values, 20, [np.nan, np.nan])
    assert bootstrap_interval(holed) == bootstrap_interval(values)


@pytest.mark.parametrize("values", [[], [1.0], [np.nan, 1.0]])
def test_one_recording_says_nothing_about_others(values):
    assert np.isnan(bootstrap_interval(values)).all()
    assert np.isnan(bootstrap_interval([1.0, 2.0], ["a", "a"])).all()


@pytest.mark.parametrize(
    "arguments",
    [
        {"values": [[1.0], [2.0]]},
        {"values": [1.0, 2.0], "groups": ["a"]},
        {"values": [1.0, 2.0], "resamples": 0},
        {"values": [1.0, 2.0], "level": 1.0},
    ],
)
def test_impossible_arguments_are_refused(arguments):
    with pytest.raises(InvalidInputError):
        bootstrap_interval(**arguments)
