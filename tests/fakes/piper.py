"""Piper's interface, from 1.3 on: a voice gives AudioChunk by sentence."""

from types import SimpleNamespace

import numpy as np


class PiperVoice:
    config = SimpleNamespace(sample_rate=22050)

    @staticmethod
    def load(model_path):
        return PiperVoice()

    def synthesize(self, text, syn_config=None):
        noise = np.random.default_rng(0).integers(-999, 999, 11025, dtype=np.int16)
        yield SimpleNamespace(sample_rate=22050, audio_int16_bytes=noise.tobytes())
