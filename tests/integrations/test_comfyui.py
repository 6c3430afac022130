"""The ComfyUI node, inside fakes of the modules that it asks ComfyUI for."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import overtone

PACK = Path(__file__).resolve().parents[2] / "integrations" / "comfyui" / "__init__.py"


class ProgressBar:
    """As comfy.utils has it."""

    moves: list[tuple[int, int]]

    def __init__(self, total: int, node_id: str | None = None) -> None:
        self.total, self.current = total, 0
        ProgressBar.moves = []

    def update(self, value: int) -> None:
        self.current += value
        ProgressBar.moves.append((self.current, self.total))


class InterruptedByUserError(Exception):
    """comfy.model_management.InterruptProcessingException."""


@pytest.fixture
def comfy(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The host's modules; ``comfy.asked`` counts its questions, the ``comfy.stop``-th raises."""
    host: Any = ModuleType("comfy")
    host.utils, host.model_management = (
        ModuleType("comfy.utils"),
        ModuleType("comfy.model_management"),
    )
    host.asked, host.stop = 0, None

    def throw_exception_if_processing_interrupted() -> None:
        host.asked += 1
        if host.asked == host.stop:
            raise InterruptedByUserError

    host.utils.ProgressBar = ProgressBar
    host.model_management.throw_exception_if_processing_interrupted = (
        throw_exception_if_processing_interrupted
    )
    for module in (host, host.utils, host.model_management):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return host


def load() -> Any:
    """Import the pack as ComfyUI does, by its path."""
    spec = importlib.util.spec_from_file_location("overtone_comfyui", PACK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(node: Any, audio: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Call a node as ComfyUI does: by the names that it declares."""
    declared = node.INPUT_TYPES()
    defaults = {
        name: kind[0] if isinstance(kind, list) else settings["default"]
        for name, (kind, settings) in declared["optional"].items()
    }
    assert declared["required"] == {"audio": ("AUDIO",)}
    assert node.RETURN_TYPES == ("AUDIO",)
    (out,) = getattr(node(), node.FUNCTION)(audio=audio, **defaults | options)
    return out


def test_a_batch_comes_out_as_enhance_gives_each(comfy: Any, make_noise: Any) -> None:
    torch = pytest.importorskip("torch")
    pack = load()
    assert pack.NODE_CLASS_MAPPINGS.keys() == pack.NODE_DISPLAY_NAME_MAPPINGS.keys()
    (node,) = pack.NODE_CLASS_MAPPINGS.values()
    batch = np.stack([make_noise(8000, 2.5, channels=2), make_noise(8000, 2.5, channels=2) / 9])
    out = run(node, {"waveform": torch.from_numpy(batch), "sample_rate": 8000}, model="speech")
    assert out["sample_rate"] == 48000
    assert out["waveform"].shape == (2, 2, 120000)
    assert out["waveform"].dtype == torch.float32
    for found, samples in zip(out["waveform"].numpy(), batch, strict=True):
        expected, _ = overtone.enhance(samples, 8000, model="speech")
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert ProgressBar.moves[-1] == (40000, 40000)
    assert len(ProgressBar.moves) == 6  # three blocks each


def test_a_given_cutoff_is_used_and_silence_stays(comfy: Any) -> None:
    torch = pytest.importorskip("torch")
    silence = {"waveform": torch.zeros(1, 1, 4000), "sample_rate": 8000}
    out = run(load().OvertoneEnhance, silence, cutoff_khz=3.0)
    assert not out["waveform"].any()
    with pytest.raises(overtone.errors.InvalidInputError, match="9000"):
        run(load().OvertoneEnhance, silence, cutoff_khz=9.0)


def test_it_stops_between_blocks(comfy: Any, make_noise: Any) -> None:
    torch = pytest.importorskip("torch")
    long = {"waveform": torch.from_numpy(make_noise(8000, 4)[None]), "sample_rate": 8000}
    comfy.stop = 6  # four blocks are analysed, and one enhanced
    with pytest.raises(InterruptedByUserError):
        run(load().OvertoneEnhance, long)
    assert ProgressBar.moves == [(8000, 32000)]


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("torch", "runs inside ComfyUI, which brings torch"),
        ("comfy.utils", "runs inside ComfyUI"),
        ("overtone", r"overtone is not in ComfyUI's Python: python -m pip install overtone"),
    ],
)
def test_what_is_missing_is_said_in_a_line(
    comfy: Any, monkeypatch: pytest.MonkeyPatch, missing: str, said: str
) -> None:
    if missing == "overtone":
        monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=said) as raised:
        load()
    assert "\n" not in str(raised.value)
