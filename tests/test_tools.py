"""The tools that mend weights in place of training."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from tools import calibrate_envelope, fit_mixture, simulate_cluster, wake_levels

from overtone.models.source_filter import SourceFilterConfig, SourceFilterExtender
from overtone.models.tfilm import TFiLMConfig, TFiLMUNet


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


@pytest.fixture
def half_dead() -> tuple[TFiLMUNet, torch.Tensor, torch.Tensor]:
    """A network two of whose eight outermost channels never pass; those; and inputs."""
    torch.manual_seed(3)
    config = TFiLMConfig(
        filters=(8, 16, 16), kernels=(9, 5, 5), dropout=0.0, block_samples=64, gain=4.0
    )
    network = TFiLMUNet(config).eval()
    dead = torch.zeros(8, dtype=torch.bool)
    dead[[1, 6]] = True
    with torch.no_grad():
        network.last.weight *= 100
        network.up[-1].bias[dead.repeat(2)] = -1e3
    return network, dead, 0.1 * torch.randn(3, 512)


def test_a_gain_moves_into_the_weights(half_dead) -> None:
    network, _, low = half_dead
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                parameter.uniform_(-0.1, 0.1)
        before = network(low)
        wake_levels.amplify(network, 4.0)
        network.config = network.config.model_copy(update={"gain": 16.0})
        torch.testing.assert_close(network(low), before)


def test_only_dead_channels_are_woken(half_dead) -> None:
    network, dead, low = half_dead
    found, factors = wake_levels.dead_channels(network, low)
    assert torch.equal(found, dead)
    wake_levels.graft(network, TFiLMUNet(network.config), dead, factors)
    assert not wake_levels.dead_channels(network, low)[0].any()


def test_training_leaves_what_living_channels_do(half_dead) -> None:
    """Without what the dead channels add, the network is the same before and after."""
    network, dead, low = half_dead
    wake_levels.graft(
        network, TFiLMUNet(network.config), dead, wake_levels.dead_channels(network, low)[1]
    )

    def living() -> torch.Tensor:
        plain = deepcopy(network).eval()
        with torch.no_grad():
            plain.last.weight[:, :8][:, dead] = 0
            return plain(low)

    before, deep_before = living(), network.bottleneck.convolve.weight.clone()
    wake_levels.freeze(network, dead)
    wake_levels.drop_deep_skips(network.train())
    trained = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, 1e-2, weight_decay=0.0)
    for _ in range(5):
        optimiser.zero_grad()
        (network(low) - low).square().mean().backward()
        optimiser.step()
    torch.testing.assert_close(living(), before)
    assert (network.bottleneck.convolve.weight - deep_before).abs().max() > 1e-3
