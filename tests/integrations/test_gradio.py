"""The Gradio app: with Gradio where it is installed, else with what the app takes from it."""

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import pytest
import soundfile

FOLDER = Path(__file__).resolve().parents[2] / "integrations" / "gradio"


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    try:
        importlib.import_module("gradio")
    except ImportError:
        gradio = MagicMock(
            spec=ModuleType, Interface=MagicMock(), Error=type("Error", (Exception,), {})
        )
        gradio.Audio = gradio.Dropdown = gradio.Slider = gradio.Image = gradio.Textbox = MagicMock()
        monkeypatch.setitem(sys.modules, "gradio", gradio)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.syspath_prepend(FOLDER)
    yield importlib.import_module("app")
    del sys.modules["app"]


def test_it_gives_sound_picture_and_report(app: Any, examples_dir: Path) -> None:
    pytest.importorskip("matplotlib")
    app.build()
    after, picture, report = app.enhance(str(examples_dir / "speech_en_8k.flac"), "auto", 0.0)
    assert soundfile.info(after).samplerate == 48000
    assert Path(picture).read_bytes().startswith(b"\x89PNG")
    assert report.startswith("8 -> 48 kHz, cutoff 3.")


def test_what_cannot_be_done_is_said(app: Any, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(app.gr.Error, match="first"):
        app.enhance(None, "auto", 0.0)
    with pytest.raises(app.gr.Error, match=r"text\.wav"):
        app.enhance(str(tmp_path / "text.wav"), "auto", 0.0)
