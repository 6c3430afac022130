"""The transform in torch: exact, with exact gradients, and the twin of the one in numpy."""

import numpy as np
import pytest
import torch

from overtone.dsp.stft import StreamOverlapAdd, hann, stft
from overtone.models.stft import frames, overlap_add, power

RATE = 48000


@pytest.fixture
def noise():
    generator = torch.Generator().manual_seed(2)
    return 0.1 * torch.randn(2, RATE // 2, generator=generator)


@pytest.mark.parametrize(("window", "hop"), [(1536, 384), (768, 256), (512, 64)])
def test_overlap_add_gives_back_what_was_framed(noise, window, hop):
    spectrum = frames(noise, window, hop)
    assert spectrum.shape == (2, (noise.shape[1] - window) // hop + 1, window // 2 + 1)
    rebuilt = overlap_add(spectrum, window, hop)
    inner = slice(window - hop, rebuilt.shape[1] - (window - hop))
    assert torch.allclose(rebuilt[:, inner], noise[:, inner], atol=1e-6)
    assert rebuilt.shape[1] == (spectrum.shape[1] - 1) * hop + window


@pytest.mark.parametrize(("window", "hop"), [(16, 4), (12, 4), (16, 8)])
def test_gradients_are_those_of_the_formulas(window, hop):
    """By finite differences; two samples are left over that no frame reaches."""
    generator = torch.Generator().manual_seed(5)
    signal = torch.randn(2, window + 3 * hop + 2, generator=generator, dtype=torch.float64)
    spectrum = frames(signal, window, hop).detach()
    assert spectrum.shape == (2, 4, window // 2 + 1)

    def check(function, *inputs):
        return torch.autograd.gradcheck(function, [x.requires_grad_() for x in inputs], atol=1e-6)

    assert check(lambda x: torch.view_as_real(frames(x, window, hop)), signal)
    assert check(lambda x: power(torch.view_as_complex(x)), torch.view_as_real(spectrum).clone())
    assert check(
        lambda x: overlap_add(torch.view_as_complex(x), window, hop),
        torch.view_as_real(spectrum).clone(),
    )


@pytest.mark.parametrize("window", [512, 1536])
def test_white_noise_has_bins_of_its_variance(window):
    noise = 0.3 * torch.randn(1, 40 * RATE // 10, generator=torch.Generator().manual_seed(0))
    power = frames(noise, window, window // 4).abs().square()[..., 1:-1].mean()
    assert power == pytest.approx(0.09, rel=0.02)


@pytest.mark.parametrize(("window", "hop"), [(512, 128), (1536, 384), (12, 4)])
def test_it_is_the_twin_of_the_transform_in_numpy(noise, window, hop):
    taper = hann(window) / np.sqrt((hann(window) ** 2).sum())
    wanted = stft(noise.numpy(), taper, hop)
    assert np.allclose(frames(noise, window, hop).numpy(), wanted, atol=1e-6)
    # Back again by the runtime's overlap-add, under the window that makes it whole.
    synthesis = hann(window) * np.sqrt((hann(window) ** 2).sum()) * (hop * 8 / 3) / window
    stream = StreamOverlapAdd(2, synthesis, hop)
    rebuilt = stream.push(wanted.astype(np.complex64))
    found = overlap_add(torch.from_numpy(wanted.astype(np.complex64)), window, hop).numpy()
    assert np.allclose(found[:, : rebuilt.shape[1]], rebuilt, atol=1e-6)
