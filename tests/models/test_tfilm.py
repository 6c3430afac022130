"""TFiLM modulates along time: not along the batch, not across channels."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from overtone.models.tfilm import TFiLM, TFiLMConfig, TFiLMUNet

CHANNELS, BLOCK_STEPS, BLOCKS = 6, 4, 10


@pytest.fixture
def layer():
    torch.manual_seed(4)
    layer = TFiLM(CHANNELS, BLOCK_STEPS)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(3)  # far from linear
    return layer


@pytest.fixture
def x():
    return torch.randn(
        3, BLOCKS * BLOCK_STEPS, CHANNELS, generator=torch.Generator().manual_seed(6)
    )


def lstm_in_numpy(layer, inputs):
    """The textbook recurrence over ``inputs [blocks, channels]``, gates in torch's order."""
    p = {name: value.detach().numpy() for name, value in layer.lstm.named_parameters()}
    hidden = cell = np.zeros(CHANNELS)
    outputs = []
    for row in inputs:
        gates = p["weight_ih_l0"] @ row + p["bias_ih_l0"]
        gates += p["weight_hh_l0"] @ hidden + p["bias_hh_l0"]
        i, f, g, o = gates.reshape(4, CHANNELS)
        cell = cell / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        hidden = np.tanh(cell) / (1 + np.exp(-o))
        outputs.append(hidden)
    return np.array(outputs)


def test_each_block_is_scaled_by_the_lstm_s_output_at_that_block(layer, x):
    out = layer(x).detach().numpy()
    for item in range(3):
        blocks = x[item].numpy().reshape(BLOCKS, BLOCK_STEPS, CHANNELS)
        factors = lstm_in_numpy(layer, blocks.max(axis=1))
        expected = (blocks * factors[:, None, :]).reshape(-1, CHANNELS)
        assert np.allclose(out[item], expected, atol=1e-5)


def test_permuting_the_batch_permutes_the_output(layer, x):
    order = [2, 0, 1]
    assert torch.allclose(layer(x[order]), layer(x)[order], atol=1e-6)


def test_a_change_in_one_item_changes_no_other(layer, x):
    changed = x.clone()
    changed[0] += 1
    before, after = layer(x), layer(changed)
    assert torch.allclose(before[1:], after[1:], atol=1e-6)
    assert not torch.allclose(before[0], after[0], atol=1e-2)


@pytest.mark.parametrize("block", [1, 5, 9])
def test_the_future_does_not_alter_the_modulation_before_it(layer, x, block):
    changed = x.clone()
    changed[:, block * BLOCK_STEPS :] += 2
    before, after = layer.factors(x), layer.factors(changed)
    assert torch.allclose(before[:, :block], after[:, :block], atol=1e-6)
    assert (before[:, block:] - after[:, block:]).abs().amax(dim=(0, 2)).min() > 1e-3


def test_the_past_is_remembered(layer, x):
    changed = x.clone()
    changed[:, :BLOCK_STEPS] += 2
    later = layer.factors(x)[:, 1:4] - layer.factors(changed)[:, 1:4]
    assert later.abs().amax(dim=(0, 2)).min() > 1e-3


def test_both_directions_see_the_future_too(x):
    layer = TFiLM(CHANNELS, BLOCK_STEPS, bidirectional=True)
    changed = x.clone()
    changed[:, -BLOCK_STEPS:] += 2
    before, after = layer.factors(x), layer.factors(changed)
    assert before.shape == (3, BLOCKS, CHANNELS)
    half = CHANNELS // 2
    assert torch.allclose(before[:, :-1, :half], after[:, :-1, :half], atol=1e-6)
    assert not torch.allclose(before[:, :-1, half:], after[:, :-1, half:], atol=1e-4)
    with pytest.raises(ValueError, match="channels must be even for two directions, not 5"):
        TFiLM(5, BLOCK_STEPS, bidirectional=True)


def test_every_level_has_the_papers_number_of_blocks():
    with torch.device("meta"):
        network = TFiLMUNet()
        lengths = [8192 // 2 ** (level + 1) for level in range(5)]
    layers = [block.modulation for block in network.down] + [network.bottleneck.modulation]
    assert [length // layer.block_steps for length, layer in zip(lengths, layers, strict=True)] == [
        32
    ] * 5
    ups = [(2 * lengths[4 - index], layer) for index, layer in enumerate(network.after_shuffle)]
    assert [length // layer.block_steps for length, layer in ups] == [32] * 4
    assert network.config.multiple_samples == 256


def test_the_first_level_s_modulation_reaches_the_next(monkeypatch):
    torch.manual_seed(5)
    config = TFiLMConfig(filters=(8, 8), kernels=(5, 5), block_samples=32)
    network = TFiLMUNet(config).eval()
    low, seen = torch.randn(1, 128), []
    network.down[1].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    network(low)
    monkeypatch.setattr(network.down[0].modulation, "factors", lambda x: torch.zeros(1, 4, 8))
    network(low)
    assert seen[0].abs().max() > 0
    assert not seen[1].any()


def test_early_input_reaches_the_end_through_the_recurrence():
    torch.manual_seed(5)
    config = TFiLMConfig(filters=(8, 8), kernels=(3, 3), last_kernel=3, block_samples=32)
    network = TFiLMUNet(config).double().eval()
    low = torch.randn(1, 2048, dtype=torch.float64)
    changed = low.clone()
    changed[:, :32] += 5
    # Convolutions alone see less than 200 samples.
    assert (network(low) - network(changed))[:, 400:600].abs().max() > 1e-12


def test_paper_widths_are_the_default():
    def convolution(channels_in, channels_out, kernel):
        return channels_in * channels_out * kernel + channels_out

    with torch.device("meta"):
        network = TFiLMUNet()
    convolutions = [
        *((1, 128, 65), (128, 256, 33), (256, 512, 17), (512, 512, 9), (512, 512, 9)),
        *((512, 2 * 512, 9), (1024, 2 * 512, 17), (1024, 2 * 256, 33), (512, 2 * 128, 65)),
        (256, 2, 9),
    ]
    recurrent = sum(8 * c * c + 8 * c for c in (128, 256, 512, 512, 512, 512, 512, 256, 128))
    expected = sum(convolution(*shape) for shape in convolutions) + recurrent
    assert sum(p.numel() for p in network.parameters()) == expected


def test_blocks_that_do_not_fit_the_levels_are_refused():
    with pytest.raises(ValidationError, match=r"multiple of stride .* = 32, not 48"):
        TFiLMConfig(block_samples=48)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_modulation_begins_by_letting_through(bidirectional):
    torch.manual_seed(0)
    layer = TFiLM(16, 4, bidirectional=bidirectional)
    factors = layer.factors(0.05 * torch.randn(2, 64, 16))
    assert factors.min() > 0.4
    assert factors.max() <= 1


def test_the_deepest_level_is_heard_from_the_start():
    torch.manual_seed(0)
    model = TFiLMUNet(TFiLMConfig(filters=(8, 16, 16, 16), dropout=0.0)).eval()
    low = 0.05 * torch.randn(1, 4096)
    with torch.no_grad():
        model.last.weight.normal_(std=0.1)
        whole = model(low) - low
        model.up[0].weight.zero_()
        without = model(low) - low
    assert (whole - without).std() > 1e-3 * whole.std()
