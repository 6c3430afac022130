"""AFiLM modulates along time by attention over the blocks."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from overtone.models.afilm import AFiLM, AFiLMConfig, AFiLMUNet, positions

CHANNELS, BLOCK_STEPS, BLOCKS = 8, 4, 10


@pytest.fixture
def layer():
    torch.manual_seed(4)
    return AFiLM(CHANNELS, BLOCK_STEPS, layers=2, heads=2, feedforward=12).eval()


@pytest.fixture
def x():
    return torch.randn(
        3, BLOCKS * BLOCK_STEPS, CHANNELS, generator=torch.Generator().manual_seed(6)
    )


def encoder_in_numpy(layer, x):
    """Two rounds of the original Transformer encoder over ``x [blocks, channels]``."""
    angles = np.arange(len(x))[:, None] / 10000 ** (np.arange(0, CHANNELS, 2) / CHANNELS)
    x = x * np.sqrt(CHANNELS)
    x[:, 0::2] += np.sin(angles)
    x[:, 1::2] += np.cos(angles)
    for block in layer.layers:
        p = {name: value.detach().numpy() for name, value in block.named_parameters()}

        def norm(x, name, p=p):
            x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
            return x * p[f"{name}.weight"] + p[f"{name}.bias"]

        joint = x @ p["self_attn.in_proj_weight"].T + p["self_attn.in_proj_bias"]
        heads = []
        for head in range(2):
            part = slice(head * CHANNELS // 2, (head + 1) * CHANNELS // 2)
            q, k, v = (joint[:, i * CHANNELS : (i + 1) * CHANNELS][:, part] for i in range(3))
            scores = np.exp(q @ k.T / np.sqrt(CHANNELS / 2))
            heads.append(scores / scores.sum(-1, keepdims=True) @ v)
        mixed = np.hstack(heads) @ p["self_attn.out_proj.weight"].T + p["self_attn.out_proj.bias"]
        x = norm(x + mixed, "norm1")
        hidden = np.maximum(x @ p["linear1.weight"].T + p["linear1.bias"], 0)
        x = norm(x + hidden @ p["linear2.weight"].T + p["linear2.bias"], "norm2")
    return x


def test_each_block_is_scaled_by_the_encoder_s_output_at_that_block(layer, x):
    with torch.no_grad():
        out = layer(x).numpy()
    for item in range(3):
        blocks = x[item].numpy().reshape(BLOCKS, BLOCK_STEPS, CHANNELS)
        factors = encoder_in_numpy(layer, blocks.max(axis=1))
        expected = (blocks * factors[:, None, :]).reshape(-1, CHANNELS)
        assert np.allclose(out[item], expected, atol=1e-4)


def test_permuting_the_batch_permutes_the_output(layer, x):
    order = [2, 0, 1]
    assert torch.allclose(layer(x[order]), layer(x)[order], atol=1e-5)


def test_a_change_in_one_item_changes_no_other(layer, x):
    changed = x.clone()
    changed[0] += torch.randn_like(changed[0])
    before, after = layer(x), layer(changed)
    assert torch.allclose(before[1:], after[1:], atol=1e-5)
    assert not torch.allclose(before[0], after[0], atol=1e-2)


def test_every_block_attends_to_every_other(layer, x):
    changed = x.clone()
    changed[:, -BLOCK_STEPS:] += torch.randn(3, BLOCK_STEPS, CHANNELS)
    difference = (layer.factors(x) - layer.factors(changed)).abs().amax(dim=(0, 2))
    assert difference.min() > 1e-5


def test_order_matters(layer, x):
    blocks = x.reshape(3, BLOCKS, BLOCK_STEPS, CHANNELS)
    turned = blocks.flip(1).reshape(x.shape)
    assert not torch.allclose(layer.factors(turned).flip(1), layer.factors(x), atol=1e-2)


def test_layers_start_from_different_weights(layer):
    first, second = (block.linear1.weight for block in layer.layers)
    assert not torch.equal(first, second)


def test_positions_are_the_sinusoids_of_the_transformer():
    codes = positions(50, 6)
    for step in (0, 7, 49):
        for channel in range(6):
            angle = step / 10000 ** (channel // 2 * 2 / 6)
            expected = np.cos(angle) if channel % 2 else np.sin(angle)
            assert codes[step, channel].item() == pytest.approx(expected, abs=1e-5)


def test_the_paper_s_encoder_is_the_default():
    with torch.device("meta"):
        network = AFiLMUNet()
    layers = network.bottleneck.modulation.layers
    assert len(layers) == 4
    assert layers[0].self_attn.num_heads == 8
    assert layers[0].linear1.out_features == 2048
    assert network.config.multiple_samples == 256


def test_filters_that_do_not_divide_among_heads_are_refused():
    with pytest.raises(ValidationError, match="filters must be multiples of heads 8, not 20"):
        AFiLMConfig(filters=(16, 20), kernels=(9, 9))
