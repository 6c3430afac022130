"""``overtone models`` lists what is shipped, for people and for programs."""

import json
import sys

import pytest

from overtone.cli import main
from overtone.inference.spectral import SpectralInfo
from overtone.inference.waveform import WaveformInfo

TOY = SpectralInfo(
    name="toy",
    description="for a test",
    sample_rate=48000,
    window_samples=960,
    hop_samples=480,
    lookahead_frames=2,
    min_cutoff_hz=1000.0,
    max_cutoff_hz=14000.0,
    level_rms=0.05,
    parameters=3_210_000,
    license="Apache-2.0",
    training_data=("corpus one (CC0)", "corpus two (CC BY 4.0)"),
    training="none",
    config_sha256="0" * 64,
    overtone_version="0.1.0",
    size_bytes=6_400_000,
    is_default=True,
)


@pytest.fixture
def models(monkeypatch, capsys):
    def run(found, *arguments):
        monkeypatch.setattr("overtone.inference.model.list_models", lambda: found)
        monkeypatch.setattr(sys, "argv", ["overtone", "models", *arguments])
        with pytest.raises(SystemExit) as exit_:
            main()
        assert exit_.value.code == 0
        return capsys.readouterr().out

    return run


def test_a_model_is_shown_with_its_size_and_the_licences_of_its_data(models):
    assert models([TOY]) == (
        "toy (default): for a test\n"
        "  48 kHz, for recordings that end at 1 to 14 kHz\n"
        "  3.2 M parameters, 6.4 MB, license Apache-2.0\n"
        "  trained on corpus one (CC0); corpus two (CC BY 4.0)\n"
    )


def test_json_holds_all_that_the_file_says(models):
    assert SpectralInfo(**json.loads(models([TOY], "--json"))[0]) == TOY


def test_both_kinds_are_listed(models, waveform_info):
    wave = WaveformInfo(**waveform_info | {"sample_rate": 22050, "max_cutoff_hz": 2756.25})
    shown = models([TOY, wave])
    assert "toy (default): for a test" in shown
    assert "bent: for tests\n  22.05 kHz, for recordings that end at 1.6 to 2.76 kHz\n" in shown
    listed = json.loads(models([TOY, wave], "--json"))
    assert [entry["kind"] for entry in listed] == ["spectral-extender", "waveform"]
    assert WaveformInfo(**listed[1]) == wave


def test_a_build_without_models_says_so(models):
    assert "no models" in models([])
    assert json.loads(models([], "--json")) == []
