"""The closed form is the filter that scipy runs."""

import numpy as np
import pytest
from scipy import signal

from overtone.dsp.decimation import decimation_response


@pytest.mark.parametrize(("rate", "scale"), [(16000, 2), (16000, 4), (22050, 4), (16000, 8)])
def test_the_filter_is_scipys(rate, scale):
    frequencies = np.linspace(0, rate / 2, 200, endpoint=False)
    sections = signal.cheby1(8, 0.05, 0.8 / scale, output="sos")
    _, once = signal.sosfreqz(sections, frequencies, fs=rate)
    twice = decimation_response(frequencies, rate, scale)
    np.testing.assert_allclose(twice, np.abs(once) ** 2, atol=1e-12)
