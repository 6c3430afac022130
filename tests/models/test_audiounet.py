"""What every network of the AudioUNet family keeps, and AudioUNet's own parts."""

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from overtone.models.afilm import AFiLMConfig, AFiLMUNet
from overtone.models.audiounet import AudioUNet, AudioUNetConfig, ChannelNorm
from overtone.models.tfilm import TFiLMConfig, TFiLMUNet
from overtone.models.unet import TimeConv, max_pool, modulate, subpixel_shuffle

SMALL = {"filters": (8, 16), "kernels": (9, 5)}
NETWORKS = {
    "audiounet": lambda **k: AudioUNet(AudioUNetConfig(**SMALL | k)),
    "tfilm": lambda **k: TFiLMUNet(TFiLMConfig(**SMALL | {"block_samples": 32} | k)),
    "afilm": lambda **k: AFiLMUNet(
        AFiLMConfig(**SMALL | {"block_samples": 32, "heads": 2, "feedforward": 16} | k)
    ),
}
every_network = pytest.mark.parametrize("name", NETWORKS)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """On a busy machine, threads that wait for each other take ten times as long as one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def build(name, **settings):
    torch.manual_seed(1)
    network = NETWORKS[name](**settings)
    with torch.no_grad():
        network.last.weight.mul_(100)  # fresh, it adds next to nothing
    return network


@every_network
@pytest.mark.parametrize("samples", [1, 100, 256, 1000, 1024])
def test_any_length_comes_out_as_it_went_in(name, samples):
    network = build(name).eval()
    assert network(torch.randn(2, samples)).shape == (2, samples)


@every_network
def test_padding_is_zeros_at_the_end(name):
    network = build(name).eval()
    multiple = network.config.multiple_samples
    low = torch.randn(1, 3 * multiple - 5)
    padded = network(F.pad(low, (0, 5)))
    assert torch.allclose(network(low), padded[:, :-5], atol=1e-6)


@every_network
def test_the_last_convolution_is_added_to_the_input(name):
    network = build(name).eval()
    low = torch.randn(2, 512)
    assert (network(low) - low).abs().max() > 1e-3
    torch.nn.init.zeros_(network.last.weight)
    assert torch.equal(network(low), low)


@every_network
def test_a_fresh_network_nearly_returns_its_input(name):
    torch.manual_seed(1)
    low = torch.randn(2, 512)
    assert (NETWORKS[name]().eval()(low) - low).abs().max() < 0.1


@every_network
def test_items_of_a_batch_are_independent(name):
    network = build(name).eval()
    low = torch.randn(4, 512)
    out = network(low)
    order = torch.tensor([2, 0, 3, 1])
    assert torch.allclose(network(low[order]), out[order], atol=1e-5)
    changed = low.clone()
    changed[1] += 1
    others = [0, 2, 3]
    assert torch.allclose(network(changed)[others], out[others], atol=1e-5)


@every_network
def test_every_weight_is_reached_by_the_loss(name):
    network = build(name, dropout=0.0).eval()
    (network(torch.randn(2, 1024)) - torch.randn(2, 1024)).square().mean().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().max() > 0, key


@every_network
def test_dropout_acts_in_training_only(name):
    network = build(name)
    low = torch.randn(1, 512)
    assert not torch.equal(network(low), network(low))
    network.eval()
    assert torch.equal(network(low), network(low))


@every_network
@pytest.mark.parametrize("level", [0, 1])
def test_a_share_of_examples_does_without_a_skip_connection(name, level):
    shares = [0.0, 0.0]
    shares[level] = 0.3
    settings = {"dropout": 0.0, "filters": (8, 16)}
    settings |= {"batch_norm": False} if name == "audiounet" else {}
    settings |= {"attention_dropout": 0.0} if name == "afilm" else {}
    network = build(name, skip_dropout=shares, **settings)
    low = torch.randn(1, 128)
    with torch.no_grad():
        whole = network.eval()(low)
        in_training = network.train()(low.expand(400, -1))
    thinned = (in_training - whole).abs().amax(1) > 1e-4
    assert 0.2 < thinned.float().mean() < 0.4
    # Silent or not: there are two outputs, and no third.
    outputs = in_training[thinned]
    assert torch.allclose(outputs, outputs[:1].expand_as(outputs), atol=1e-5)


@every_network
def test_gain_multiplies_what_comes_in_and_divides_what_is_added(name):
    plain, loud = build(name).eval(), build(name, gain=8.0).eval()
    loud.load_state_dict(plain.state_dict())
    low = torch.randn(2, 512, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        assert torch.allclose(loud(low) - low, plain(8 * low) / 8 - low, atol=1e-5)


@every_network
@pytest.mark.parametrize("scale", [2, 4, 8])
def test_every_scale_of_the_papers_can_be_named(name, scale):
    config = build(name, scale=scale).config
    assert config.scale == scale
    assert type(config).model_validate_json(config.model_dump_json()) == config


@every_network
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scale": 3}, "scale"),
        ({"filters": (8,)}, "one value a level, not 1 and 2"),
        ({"filters": (8, 0)}, "filters must be at least 1, not 0"),
        ({"kernels": (9, 4)}, "kernels must be odd.*not 4"),
        ({"last_kernel": 8}, "kernels must be odd.*not 8"),
        ({"stride": 1}, "stride"),
        ({"skip_dropout": (0.5,)}, "skip_dropout needs one value a level, 2 in all.* not 1"),
        ({"skip_dropout": (0.5, 1.0)}, "skip_dropout"),
        ({"dropout": 1.0}, "dropout"),
        ({"widths": (8, 16)}, "widths"),
    ],
)
def test_impossible_configurations_are_refused_by_key(name, wrong, message):
    with pytest.raises(ValidationError, match=message):
        NETWORKS[name](**wrong)


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("dilation", [1, 2])
def test_time_conv_is_a_convolution_over_time(stride, dilation):
    torch.manual_seed(2)
    conv = TimeConv(3, 5, 7, stride=stride, dilation=dilation)
    torch.nn.init.normal_(conv.bias)
    x = torch.randn(2, 64, 3)
    expected = F.conv1d(
        x.transpose(1, 2), conv.weight, conv.bias, stride, 3 * dilation, dilation
    ).transpose(1, 2)
    assert conv(x).shape == (2, 64 // stride, 5)
    assert torch.allclose(conv(x), expected, atol=1e-5)


def test_shuffling_turns_channels_into_time_in_order():
    # Two steps of (first half, second half) with two channels each.
    x = torch.tensor([[[1, 2, 3, 4], [5, 6, 7, 8]]])
    assert subpixel_shuffle(x, 2).tolist() == [[[1, 2], [3, 4], [5, 6], [7, 8]]]


def test_pooling_and_modulation_go_along_time_channel_by_channel():
    x = torch.arange(24.0).reshape(1, 6, 4)
    assert max_pool(x, 3).tolist() == [[[8, 9, 10, 11], [20, 21, 22, 23]]]
    factors = torch.tensor([[[1.0, 2, 3, 4], [0, -1, 0.5, 10]]])
    modulated = modulate(x, factors, 3)
    for step in range(6):
        for channel in range(4):
            expected = x[0, step, channel] * factors[0, step // 3, channel]
            assert modulated[0, step, channel] == expected


def test_batch_statistics_are_over_batch_and_time():
    norm = ChannelNorm(3)
    x = torch.randn(4, 50, 3) * torch.tensor([1.0, 5, 0.1]) + 2
    y = norm(x)
    assert torch.allclose(y.mean((0, 1)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(y.std((0, 1)), torch.ones(3), atol=1e-2)


def test_paper_widths_are_the_default():
    def convolution(channels_in, channels_out, kernel):
        return channels_in * channels_out * kernel + channels_out

    with torch.device("meta"):
        network = AudioUNet()
    norms = sum(2 * 2 * filters for filters in (128, 256, 512, 512)) + 2 * 512
    convolutions = [
        *((1, 128, 65), (128, 256, 33), (256, 512, 17), (512, 512, 9), (512, 512, 9)),
        *((512, 4 * 512, 9), (1024, 4 * 512, 17), (1024, 4 * 256, 33), (512, 4 * 128, 65)),
        (256, 4, 9),
    ]
    expected = sum(convolution(*shape) for shape in convolutions) + norms
    assert sum(p.numel() for p in network.parameters()) == expected
    assert network.config.multiple_samples == 1024


def test_without_batch_norm_there_is_none():
    network = build("audiounet", batch_norm=False)
    assert not any(isinstance(module, ChannelNorm) for module in network.modules())
