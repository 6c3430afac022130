"""The network of gains: causality, chunks, and what it must not see."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from overtone.models.source_filter import (
    VISIBLE_END,
    SourceFilterConfig,
    SourceFilterExtender,
    band_interpolation,
)

SMALL = SourceFilterConfig(channels=32, dilations=(1, 2))


@pytest.fixture
def model() -> SourceFilterExtender:
    torch.manual_seed(1)
    model = SourceFilterExtender(SMALL).eval()
    for parameter in model.parameters():  # untrained heads give nearly the same for everything
        parameter.data += 0.05 * torch.randn_like(parameter)
    return model


def inputs(frames: int = 40, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(2)
    power = 10 ** (-6 * torch.rand(batch, frames, SMALL.visible_bins))
    return power, torch.tensor([3400.0, 8000.0])[:batch]


@torch.no_grad()
def test_any_chunks_give_the_same(model: SourceFilterExtender) -> None:
    power, cutoff = inputs()
    whole, _ = model(power, cutoff, *model.initial_state(2))
    (context,), parts = model.initial_state(2), []
    for part in power.split([1, 7, 2, 30], dim=1):
        gains, context = model(part, cutoff, context)
        parts.append(gains)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_nothing_changes_the_past(model: SourceFilterExtender) -> None:
    power, cutoff = inputs()
    before, _ = model(power, cutoff, *model.initial_state(2))
    power[:, 25:] *= 100
    after, _ = model(power, cutoff, *model.initial_state(2))
    torch.testing.assert_close(after[:, :25], before[:, :25])
    assert not torch.allclose(after[:, 25:], before[:, 25:])


@torch.no_grad()
def test_what_lies_above_the_cutoff_is_not_seen(model: SourceFilterExtender) -> None:
    power, cutoff = inputs()
    before, _ = model(power, cutoff, *model.initial_state(2))
    hidden = model.frequencies_hz > VISIBLE_END * cutoff[:, None]
    after, _ = model(power.masked_fill(hidden[:, None], 1.0), cutoff, *model.initial_state(2))
    torch.testing.assert_close(after, before)


@torch.no_grad()
def test_folding_changes_nothing(model: SourceFilterExtender) -> None:
    power, cutoff = inputs()
    before, _ = model(power, cutoff, *model.initial_state(2))
    after, _ = model.fold()(power, cutoff, *model.initial_state(2))
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_excitations_share_the_power_of_the_envelope(model: SourceFilterExtender) -> None:
    power, cutoff = inputs()
    gains, _ = model(power, cutoff, *model.initial_state(2))
    assert gains.shape == (2, 40, 3, len(SMALL.band_centres_hz))
    total = torch.logsumexp(2 * gains, 2)
    assert (total >= 2 * gains.amax(2)).all()


def test_interpolation_adds_up_to_one() -> None:
    weights = band_interpolation(SMALL)
    torch.testing.assert_close(weights.sum(0), torch.ones(SMALL.bins))
    assert (weights >= 0).all()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"lookahead_frames": 2}, "lookahead_frames"),
        ({"excitations": ("pulses", "sawtooth")}, "pulses, modulated_noise, noise"),
        ({"excitations": ()}, "pulses, modulated_noise, noise"),
        ({"hop_samples": 300}, "hop_samples"),
        ({"max_cutoff_hz": 30000}, "max_cutoff_hz"),
    ],
)
def test_impossible_shapes_are_refused(wrong: dict[str, object], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        SourceFilterConfig.model_validate(wrong)
