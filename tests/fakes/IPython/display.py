"""What notebooks show with: it takes the same, and shows nothing."""

from pathlib import Path

import numpy as np


class Audio:
    def __init__(self, data, rate, normalize=True):
        assert np.isfinite(data).all()
        assert rate > 0


class Image:
    def __init__(self, filename):
        assert Path(filename).read_bytes().startswith(b"\x89PNG")


def display(*things):
    assert things
