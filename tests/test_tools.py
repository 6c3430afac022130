"""The tools that mend weights in place of training."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tools import calibrate_envelope, fit_mixture, simulate_cluster

from overtone.models.source_filter import SourceFilterConfig, SourceFilterExtender


def test_the_fit_is_the_linear_map_that_made_the_targets() -> None:
    torch.manual_seed(0)
    features = torch.randn(4000, 12, dtype=torch.float64) + 3
    weight, bias = torch.randn(5, 12).double(), torch.randn(5).double()
    found = fit_mixture.fit(features, features @ weight.T + bias)
    torch.testing.assert_close(found[0], weight, rtol=0.01, atol=0.01)
    torch.testing.assert_close(found[1], bias, rtol=0.05, atol=0.05)


def test_centred_logits_give_the_same_shares() -> None:
    model = SourceFilterExtender(SourceFilterConfig(channels=8, dilations=(1,)))
    logits = torch.randn(2, 3, 3 * model.bands)

    def shares(logits: torch.Tensor) -> torch.Tensor:
        return logits.unflatten(-1, (3, model.bands)).softmax(-2)

    found = fit_mixture.centred(logits, model)
    torch.testing.assert_close(shares(found), shares(logits))
    torch.testing.assert_close(
        found.unflatten(-1, (3, model.bands)).mean(-2), torch.zeros(2, 3, model.bands)
    )


def test_a_head_is_smoothed_over_bands_and_over_nothing_else() -> None:
    head = torch.zeros(3 * 8, 5)
    head[8:16] = 2.0  # all bands of one excitation
    torch.testing.assert_close(fit_mixture.smoothed(head, 8), head)
    head = torch.zeros(3 * 8, 5)
    head[8 + 4, 2] = 1.0
    found = fit_mixture.smoothed(head, 8).unflatten(0, (3, 8))
    assert found[1, 3:6, 2].tolist() == [0.25, 0.5, 0.25]
    assert found.sum() == 1


def test_a_bias_is_taken_out_in_full_above_8_khz_and_not_below_4() -> None:
    centres_hz = np.arange(1000.0, 18000.0, 250.0)
    found = calibrate_envelope.smoothed(np.full(centres_hz.size, 2.5), centres_hz)
    assert found[centres_hz >= 8000] == pytest.approx(2.5)
    assert not found[centres_hz <= 4000].any()
    assert (np.diff(found) >= -1e-9).all()


def test_a_cluster_ends_when_the_driver_with_the_slowest_machines_does() -> None:
    """The time of a share is its work over what its machines do together, to a few per cent."""
    times = np.array([[12.0, 0.33]])
    plain = simulate_cluster.Case("all", workers=1280, hours=2e4, stragglers=0.0, life=1e12)
    slow = replace(plain, stragglers=0.2)
    found = {}
    for case in (plain, slow):
        found[case] = simulate_cluster.simulate(case, times)["hours"]
        pace = simulate_cluster.slowest_share(case, np.random.default_rng(1))
        assert pace.shape == (1,)  # of 64 cores
    work_h = plain.hours / 12.0 * 0.33 / plain.drivers / 64
    start_h = plain.start / 3600
    assert found[plain] == pytest.approx(start_h + work_h, rel=0.4)
    assert found[slow] == pytest.approx(start_h + 3 * work_h, rel=0.02)  # one of twenty at least
