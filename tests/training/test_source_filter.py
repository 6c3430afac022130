import pytest
import torch

from overtone.training.source_filter import scaled_envelope


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_share_of_the_gradient_reaches_the_envelope(share):
    torch.manual_seed(0)
    envelope = torch.randn(2, 5, 1, 7, dtype=torch.float64, requires_grad=True)
    mixture = torch.randn(2, 5, 3, 7, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 5, 3, 7, dtype=torch.float64)

    def gradients(share):
        gains = envelope + 0.5 * mixture.log_softmax(2)
        scaled = scaled_envelope(gains, share)
        assert torch.equal(scaled, gains)
        return torch.autograd.grad((weight * scaled.exp()).sum(), [envelope, mixture])

    whole, part = gradients(1.0), gradients(share)
    assert torch.allclose(part[0], share * whole[0])
    assert torch.allclose(part[1], whole[1])
