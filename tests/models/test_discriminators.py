"""The discriminators judge each item's predicted band, and nothing else reaches them."""

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from overtone.models.discriminators import (
    LEVEL_SPREAD,
    USUAL_LEVEL,
    DiscriminatorConfig,
    SpectrogramDiscriminators,
)

RATE = 48000
CUTOFF = torch.tensor([4000.0, 9000.0])
BANDWIDTH = torch.tensor([24000.0, 16000.0])
LEVEL = torch.tensor([0.01, 0.01])


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    return SpectrogramDiscriminators(DiscriminatorConfig(windows=(512, 1024), channels=4), RATE)


@pytest.fixture
def part(network):
    return network.parts[0]


@pytest.fixture
def noise():
    return 0.1 * torch.randn(2, 6000, generator=torch.Generator().manual_seed(2))


def outside_of(part):
    return part.inside(CUTOFF, BANDWIDTH)[:, None].expand(-1, 20, -1) == 0


def test_a_change_outside_the_band_changes_nothing_that_is_judged(part, noise):
    spectrogram = part.spectrogram(noise, LEVEL)[:, :20]
    inside = part.inside(CUTOFF, BANDWIDTH)
    other = torch.where(outside_of(part), spectrogram + 3, spectrogram)
    one, two = part.discriminate(spectrogram, inside), part.discriminate(other, inside)
    assert torch.equal(one.scores, two.scores)
    assert all(torch.equal(a, b) for a, b in zip(one.features, two.features, strict=True))
    within = torch.where(outside_of(part), spectrogram, spectrogram + 3)
    assert not torch.equal(part.discriminate(within, inside).scores, one.scores)


def test_no_gradient_leads_out_of_the_band(part, noise):
    spectrogram = part.spectrogram(noise, LEVEL)[:, :20].requires_grad_()
    judged = part.discriminate(spectrogram, part.inside(CUTOFF, BANDWIDTH))
    (judged.scores.sum() + sum(f.abs().sum() for f in judged.features)).backward()
    assert (spectrogram.grad[outside_of(part)] == 0).all()
    assert spectrogram.grad[~outside_of(part)].abs().max() > 0


def test_a_tone_far_below_the_cutoff_is_not_heard(network, noise):
    time = torch.arange(noise.shape[1]) / RATE
    tone = 0.1 * torch.sin(2 * math.pi * 500 * time)
    with torch.no_grad():
        one, two = (network(x, LEVEL, CUTOFF, BANDWIDTH) for x in (noise, noise + tone))
    for a, b in zip(one, two, strict=True):
        assert torch.allclose(a.scores, b.scores, atol=1e-4)


def test_the_band_runs_from_the_cutoff_to_the_bandwidth(part):
    hz = np.linspace(0, RATE / 2, 257)
    wanted = [(hz >= c) & (hz <= b) for c, b in zip(CUTOFF.numpy(), BANDWIDTH.numpy(), strict=True)]
    assert np.array_equal(part.inside(CUTOFF, BANDWIDTH).numpy(), np.array(wanted, "f4"))


def test_places_that_count_have_their_centre_in_the_band(part, noise):
    """A change of one bin moves the features around it, by whose place ``inside`` is known."""
    bins = 257
    everything = torch.ones(2, bins)
    spectrogram = part.spectrogram(noise, LEVEL)[:, :20]
    for bin_ in (64, 160):
        changed = spectrogram.clone()
        changed[:, :, bin_] += 5
        one, two = (
            part.discriminate(spectrogram, everything),
            part.discriminate(changed, everything),
        )
        moved = (one.features[0] - two.features[0]).abs().amax(dim=(0, 1, 2)).nonzero()[:, 0]
        # The first layer steps over 4 bins with a kernel of 9.
        assert moved.tolist() == [bin_ // 4 + offset for offset in (-1, 0, 1)]
    mask = torch.zeros(2, bins)
    mask[:, 64] = 1
    assert part.discriminate(spectrogram, mask).features_inside[0].nonzero()[:, 1].tolist() == [
        16,
        16,
    ]


def test_shapes_of_scores_and_features_match_their_places(network, noise):
    for judged in network(noise, LEVEL, CUTOFF, BANDWIDTH):
        assert judged.scores.shape[0] == 2
        assert judged.scores.shape[2] == judged.inside.shape[1]
        for values, inside in zip(judged.features, judged.features_inside, strict=True):
            assert values.shape[1] == 4
            assert (values.shape[0], values.shape[3]) == inside.shape


def test_levels_are_relative_to_the_recording(network, noise):
    with torch.no_grad():
        one = network(noise, LEVEL, CUTOFF, BANDWIDTH)
        louder = network(10 * noise, 100 * LEVEL, CUTOFF, BANDWIDTH)
        off = network(10 * noise, LEVEL, CUTOFF, BANDWIDTH)
    for a, b, c in zip(one, louder, off, strict=True):
        assert torch.allclose(a.scores, b.scores, atol=1e-4)
        assert not torch.allclose(a.scores, c.scores, atol=1e-3)


def test_the_spectrogram_is_the_logarithm_of_power_over_the_level(part, noise):
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    piece = noise[1, 3 * 128 : 3 * 128 + 512].numpy() * window
    power = np.abs(np.fft.rfft(piece)) ** 2 / (window**2).sum()
    wanted = (np.log10(power / 0.01) - USUAL_LEVEL) / LEVEL_SPREAD
    assert np.allclose(part.spectrogram(noise, LEVEL)[1, 3].numpy(), wanted, atol=1e-3)


def test_silence_is_judged_too(network):
    silence = torch.zeros(2, 6000)
    for judged in network(silence, torch.zeros(2), CUTOFF, BANDWIDTH):
        assert torch.isfinite(judged.scores).all()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"windows": [510]}, "multiple of 4.*510"),
        ({"windows": [32]}, "at least 64, not 32"),
        ({"windows": []}, "at least 1 item"),
        ({"channels": 0}, "greater than 0"),
        ({"layers": 3}, "Extra inputs"),
    ],
)
def test_impossible_shapes_are_refused(settings, said):
    with pytest.raises(ValidationError, match=said):
        DiscriminatorConfig.model_validate(settings)
