"""``overtone live``: tried on a device made of arrays, since there may be none here."""

import sys
import types

import numpy as np
import pytest

from overtone.cli import main
from overtone.cli.live import describe
from overtone.errors import InvalidInputError
from overtone.inference import Enhancer, StreamEnhancer
from overtone.inference.microphone import Meter, run_duplex


class PortAudioError(Exception):
    pass


class FakeStream:
    """Plays ``sound [samples, channels]``, then ends as the test wishes; records what it hears."""

    def __init__(self, sound, end, **settings):
        self.sound, self.end, self.settings = sound, end, settings
        self.written, self.open, self.late = [], False, False

    def __enter__(self):
        self.open = True
        return self

    def __exit__(self, *_):
        self.open = False

    def read(self, frames):
        block, self.sound = self.sound[:frames], self.sound[frames:]
        if len(block) < frames:
            raise self.end
        return block, self.late

    def write(self, block):
        assert block.flags.c_contiguous
        assert block.dtype == np.float32
        self.written.append(block)
        return False


@pytest.fixture
def device(monkeypatch, make_noise):
    """Install a sounddevice whose stream is ``device.stream`` once opened."""
    device = types.SimpleNamespace(
        sound=make_noise(48000, 0.5).T, end=KeyboardInterrupt(), refusal=None, stream=None
    )

    def open_stream(**settings):
        if device.refusal:
            raise device.refusal
        device.stream = FakeStream(device.sound, device.end, **settings)
        return device.stream

    module = types.ModuleType("sounddevice")
    module.PortAudioError = PortAudioError
    module.Stream = open_stream
    module.query_devices = lambda: "  0 Microphone, ALSA (1 in, 0 out)"
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    return device


@pytest.fixture
def live(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["overtone", "live", *arguments])
        with pytest.raises(SystemExit) as exit_:
            main()
        return exit_.value.code, *capsys.readouterr()

    return run


def test_what_is_played_is_what_was_said_enhanced_and_later(live, device):
    code, _, err = live("--cutoff", "4k", "--input-device", "0", "--output-device", "Head")
    assert code == 0
    assert "37 ms later" in err
    played = np.concatenate(device.stream.written)
    stream = StreamEnhancer(48000, cutoff_hz=4000, enhancer=Enhancer(device="cpu", threads=1))
    wanted = stream.push(device.sound.T)
    latency = stream.latency_samples
    assert not played[:latency].any()
    assert len(played) == latency + wanted.shape[1]
    np.testing.assert_allclose(played[latency:].T, wanted, atol=1e-5)
    assert device.stream.settings["device"] == (0, "Head")
    assert device.stream.settings["samplerate"] == 48000
    assert not device.stream.open


def test_a_device_that_vanishes_is_one_clear_line(live, device):
    device.end = PortAudioError("Device unavailable\n[PaErrorCode -9985]")
    code, out, err = live("--cutoff", "4k")
    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == (
        "overtone: an audio device went away (Device unavailable [PaErrorCode -9985]);"
        " connect it and start again"
    )
    assert not device.stream.open


@pytest.mark.parametrize("refusal", [PortAudioError("Invalid sample rate"), ValueError("no such")])
def test_devices_that_cannot_be_opened(live, device, refusal):
    device.refusal = refusal
    code, _, err = live("--cutoff", "4k")
    assert code == 1
    assert "cannot be opened at 48000 Hz with 1 channels" in err.splitlines()[-1]
    assert "--list-devices" in err.splitlines()[-1]


def test_devices_are_listed(live, device):
    assert live("--list-devices") == (0, "  0 Microphone, ALSA (1 in, 0 out)\n", "")


def test_a_microphone_without_cutoff_is_asked_for_it(live, device):
    code, _, err = live()
    assert code == 1
    assert "cutoff" in err
    assert device.stream is None


def test_without_sounddevice_the_extra_is_named(live, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    code, _, err = live("--cutoff", "4k")
    assert (code, err.count("\n")) == (1, 1)
    assert "overtone[live]" in err


def test_without_portaudio_the_library_is_named(live, monkeypatch, tmp_path):
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    code, _, err = live("--cutoff", "4k")
    assert (code, err.count("\n")) == (1, 1)
    assert "libportaudio2" in err


def test_meters_tell_level_load_and_dropouts(device):
    device.sound = np.full((4800, 1), 0.1, np.float32)
    device.sound[2400:] = np.nan  # a driver's accident is heard as silence
    meters = []
    stream = StreamEnhancer(48000, cutoff_hz=4000, enhancer=Enhancer(device="cpu", threads=1))

    def on_block(meter):
        meters.append(meter)
        device.stream.late = len(meters) == 3

    with pytest.raises(KeyboardInterrupt):
        run_duplex(stream, block_ms=10, on_block=on_block)
    assert [round(meter.seconds, 3) for meter in meters[:3]] == [0.01, 0.02, 0.03]
    assert meters[4].level_dbfs == pytest.approx(-20, abs=0.01)
    assert -25 < meters[-1].level_dbfs < -20
    assert [meter.dropouts for meter in meters] == [0] * 3 + [1] * 7
    assert all(meter.load > 0 for meter in meters)


def test_both_devices_need_one_rate(device):
    stream = StreamEnhancer(8000, enhancer=Enhancer(device="cpu", threads=1))
    with pytest.raises(InvalidInputError, match="8000 and 48000"):
        run_duplex(stream)


@pytest.mark.parametrize(
    ("level_dbfs", "bar"), [(-120, "-" * 30), (-30, "#" * 15 + "-" * 15), (3, "#" * 30)]
)
def test_the_line_of_the_meters(level_dbfs, bar):
    line = describe(Meter(seconds=1, level_dbfs=level_dbfs, load=0.25, dropouts=2))
    assert line.startswith(f"[{bar}] ")
    assert line.endswith(" dB  load  25%  2 late")
