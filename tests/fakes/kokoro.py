"""Kokoro's interface: a pipeline gives (graphemes, phonemes, audio at 24 kHz) by sentence."""

import torch


class KPipeline:
    def __init__(self, lang_code):
        assert lang_code == "a"

    def __call__(self, text, voice):
        for sentence in text.split(". "):
            yield sentence, "phonemes", torch.rand(12000) / 9
