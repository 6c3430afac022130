"""The extender streams without seams, looks ahead as far as it says, and sees only what is kept."""

import copy

import pytest
import torch
from pydantic import ValidationError

from overtone.models.extender import (
    CROSSOVER_START,
    VISIBLE_END,
    ExtenderConfig,
    SpectralExtender,
)

FRAMES = 12
CUTOFF_HZ = 4000.0


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(3)
    config = ExtenderConfig(window_samples=768, hop_samples=192, channels=16, blocks=2)
    network = SpectralExtender(config).eval()
    with torch.no_grad():
        # Fresh heads hardly answer to their input: nothing would be seen of what leaks.
        for head in (
            network.log_magnitude,
            network.real,
            network.imaginary,
            network.coherence,
            network.embed,
        ):
            head.weight.mul_(10)
    return network


@pytest.fixture
def spectrum(model):
    generator = torch.Generator().manual_seed(5)
    return 0.1 * torch.randn(2, FRAMES, model.config.bins, 2, generator=generator)


def natural(cutoff):
    return torch.zeros_like(cutoff)


def residual_of(model, spectrum, cutoff_hz=CUTOFF_HZ, fidelity=0.0):
    cutoff = torch.full((len(spectrum),), cutoff_hz)
    wanted = torch.full_like(cutoff, fidelity)
    with torch.no_grad():
        return model(spectrum, cutoff, wanted, *model.initial_state(len(spectrum)))[0]


def replaced_part(model, spectrum, cutoff_hz=CUTOFF_HZ):
    """What is put above the cutoff: the residual and the input that it takes away."""
    lookahead = model.config.lookahead_frames
    weight = model.crossover(torch.tensor([cutoff_hz]))[:, None, :, None]
    residual = residual_of(model, spectrum, cutoff_hz)
    return residual[:, lookahead:] + weight * spectrum[:, : FRAMES - lookahead]


@pytest.mark.parametrize("chunks", [[1] * FRAMES, [5, 7], [2, 1, 6, 3]])
def test_any_split_into_chunks_gives_the_same_frames(model, spectrum, chunks):
    cutoff, state, pieces = torch.tensor([3000.0, 8000.0]), model.initial_state(2), []
    with torch.no_grad():
        whole = model(spectrum, cutoff, natural(cutoff), *model.initial_state(2))
        for chunk in spectrum.split(chunks, dim=1):
            residual, *state = model(chunk, cutoff, natural(cutoff), *state)
            pieces.append(residual)
    assert torch.allclose(torch.cat(pieces, dim=1), whole[0], atol=1e-5, rtol=0)
    for found, wanted in zip(state, whole[1:], strict=True):
        assert torch.allclose(found, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("lookahead", [0, 1, 3])
def test_a_frame_answers_to_the_lookahead_and_to_nothing_later(spectrum, lookahead):
    config = ExtenderConfig(
        window_samples=768, hop_samples=192, channels=16, blocks=2, lookahead_frames=lookahead
    )
    torch.manual_seed(0)
    model = SpectralExtender(config).eval()
    changed_frame = 6
    changed = spectrum.clone()
    changed[:, changed_frame] *= 3
    difference = (residual_of(model, changed) - residual_of(model, spectrum)).abs().amax((0, 2, 3))
    # Output frame t belongs to input frame t - lookahead; the first one that may hear of the
    # change is the one that is given out when it arrives.
    assert (difference[:changed_frame] == 0).all()
    assert difference[changed_frame] > 1e-5


def test_the_residual_lags_the_input_by_the_lookahead(model, spectrum):
    top = model.frequencies_hz >= CUTOFF_HZ
    lookahead = model.config.lookahead_frames
    residual = residual_of(model, spectrum)
    found = model.predict(spectrum, torch.full((2,), CUTOFF_HZ), model.initial_state(2).context)
    phase = torch.stack([found.real, found.imaginary], dim=-1)
    prediction = found.log_magnitude.exp().unsqueeze(-1) * phase
    wanted = prediction[:, lookahead:] - spectrum[:, :-lookahead]
    assert torch.allclose(residual[:, lookahead:, top], wanted[:, :, top], atol=1e-6)


@pytest.mark.parametrize("cutoff_hz", [1000.0, 4000.0, 11025.0, 14000.0, 19000.0])
def test_what_lies_above_the_visible_band_changes_nothing_that_is_put_there(
    model, spectrum, cutoff_hz
):
    hidden = model.frequencies_hz > VISIBLE_END * cutoff_hz
    other = spectrum.clone()
    other[:, :, hidden] = 30 * torch.randn(other[:, :, hidden].shape)
    wanted, found = (replaced_part(model, x, cutoff_hz) for x in (spectrum, other))
    # Taking 30 away and adding it again rounds.
    assert torch.allclose(found, wanted, atol=1e-4, rtol=0)
    audible = spectrum.clone()
    audible[:, :, ~hidden] *= 2
    assert (replaced_part(model, audible, cutoff_hz) - wanted).abs().max() > 1e-3


def test_below_the_crossover_the_residual_is_exactly_zero(model, spectrum):
    residual = residual_of(model, spectrum)
    kept = model.frequencies_hz <= CROSSOVER_START * CUTOFF_HZ
    assert (residual[:, :, kept] == 0).all()
    above = model.frequencies_hz >= CUTOFF_HZ
    assert (residual[:, model.config.lookahead_frames :, above].abs().amax((0, 1, 3)) > 0).all()


def test_the_crossover_rises_from_zero_to_one_below_the_cutoff(model):
    weight = model.crossover(torch.tensor([CUTOFF_HZ, 9000.0]))
    for row, cutoff_hz in zip(weight, (CUTOFF_HZ, 9000.0), strict=True):
        assert (row[model.frequencies_hz <= CROSSOVER_START * cutoff_hz] == 0).all()
        assert torch.allclose(row[model.frequencies_hz >= cutoff_hz], torch.tensor(1.0))
        assert (row.diff() >= 0).all()


def test_silence_stays_silent(model, spectrum):
    assert (residual_of(model, torch.zeros_like(spectrum)) == 0).all()


def test_silence_stays_silent_between_sounds(model, spectrum):
    spectrum[:, 4:7] = 0
    lookahead = model.config.lookahead_frames
    residual = residual_of(model, spectrum)
    assert (residual[:, 4 + lookahead : 7 + lookahead] == 0).all()
    assert (residual[:, [3 + lookahead, 7 + lookahead]].abs().amax((0, 2, 3)) > 0).all()


def test_a_hiss_above_the_cutoff_alone_is_taken_away_and_not_answered(model, spectrum):
    """An empty band below says nothing of what was above it."""
    spectrum[:, :, model.frequencies_hz < CUTOFF_HZ] = 0
    assert replaced_part(model, spectrum).abs().max() < 1e-6


def test_items_of_a_batch_do_not_hear_each_other(model, spectrum):
    cutoff = torch.tensor([3000.0, 8000.0])
    with torch.no_grad():
        together = model(spectrum, cutoff, natural(cutoff), *model.initial_state(2))[0]
        for item in range(2):
            one = slice(item, item + 1)
            alone = model(
                spectrum[one], cutoff[one], natural(cutoff[one]), *model.initial_state(1)
            )[0]
            assert torch.allclose(alone, together[one], atol=1e-5, rtol=0)


def test_latency_counts_the_window_and_the_lookahead():
    assert ExtenderConfig().latency_samples == 1536 + 3 * 384
    assert ExtenderConfig().latency_samples / ExtenderConfig().sample_rate <= 0.06


def test_no_bin_from_the_highest_cutoff_up_is_visible():
    config = ExtenderConfig(max_cutoff_hz=12000.0)
    spacing_hz = config.sample_rate / config.window_samples
    assert (config.visible_bins - 1) * spacing_hz < 12000 <= config.visible_bins * spacing_hz


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ({"hop_samples": 400}, "window_samples"),
        ({"hop_samples": 768}, "window_samples"),
        ({"window_samples": 1155, "hop_samples": 385}, "window_samples"),
        ({"max_cutoff_hz": 24001.0}, "max_cutoff_hz"),
        ({"blocks": 0}, "blocks"),
        ({"lookahead_frames": -1}, "lookahead_frames"),
        ({"max_cutoff_hz": float("nan")}, "max_cutoff_hz"),
    ],
)
def test_impossible_shapes_are_refused_by_name(setting, named):
    with pytest.raises(ValidationError, match=named):
        ExtenderConfig(**setting)


def test_fidelity_shrinks_every_bin_by_its_coherence_and_no_more(model, spectrum):
    lookahead = model.config.lookahead_frames
    cutoff = torch.full((2,), CUTOFF_HZ)
    coherence = model.predict(spectrum, cutoff, model.initial_state(2).context).coherence
    assert (coherence > 0).all()
    assert (coherence < 1).all()
    top = model.frequencies_hz > 1.05 * CUTOFF_HZ
    given = spectrum[:, :-lookahead, top]

    def predicted(fidelity):
        residual = residual_of(model, spectrum, fidelity=fidelity)
        return residual[:, lookahead:, top] + given

    whole, half, least = (predicted(fidelity) for fidelity in (0.0, 0.5, 1.0))
    shrunk = whole * coherence[:, lookahead:, top].unsqueeze(-1)
    assert torch.allclose(least, shrunk, atol=1e-6)
    assert torch.allclose(half, (whole + least) / 2, atol=1e-6)


def test_full_fidelity_keeps_all_that_lies_below_the_cutoff(model, spectrum):
    below = model.frequencies_hz <= CUTOFF_HZ
    faithful = residual_of(model, spectrum, fidelity=1.0)
    assert not faithful[:, :, below].any()
    sound = residual_of(model, spectrum)
    assert sound[:, :, below].any()
    assert not sound[:, :, model.frequencies_hz <= CROSSOVER_START * CUTOFF_HZ].any()


def test_a_folded_network_is_the_same_function(model, spectrum):
    model = copy.deepcopy(model)
    with torch.no_grad():
        for block in model.blocks:  # away from one constant, which would hide mistakes
            block.scale.copy_(torch.linspace(-1, 1, len(block.scale)))
    folded = copy.deepcopy(model).fold()
    assert all(block.scale is None for block in folded.blocks)
    inputs = (spectrum, torch.tensor([3000.0, 8000.0]), torch.tensor([0.0, 0.7]))
    with torch.no_grad():
        wanted = model(*inputs, *model.initial_state(2))
        found = folded(*inputs, *folded.initial_state(2))
    for one, other in zip(wanted, found, strict=True):
        assert torch.allclose(one, other, atol=1e-5)
    assert sum(p.numel() for p in folded.parameters()) < sum(p.numel() for p in model.parameters())
