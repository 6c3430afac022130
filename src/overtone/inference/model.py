"""Model files: where they are found, the session that runs one, and how each kind is run."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from overtone.dsp.bandwidth import Slope
from overtone.errors import InvalidInputError, ModelError
from overtone.inference.bands import Top
from overtone.inference.frames import FrameResidual
from overtone.inference.info import (
    METADATA_KEY,
    ModelInfo,
    SpectralInfo,
    WaveformInfo,
    parse_info,
)
from overtone.inference.patches import PatchResidual

FloatArray = NDArray[np.float32]

PRETRAINED_FOLDER = Path(__file__).parent.parent / "pretrained"
DEFAULT_MODEL = "speech"
DEVICES = ("auto", "cpu", "cuda")


class ResidualStream(Protocol):
    """What has to be added to a signal at the model's rate; aligned with it and as long."""

    def push(self, block: FloatArray) -> FloatArray:
        """What of the residual is known after ``block [channels, n]``."""
        ...

    def flush(self) -> FloatArray:
        """The rest; the stream is over."""
        ...


class Model(ABC):
    """A loaded model: its :class:`ModelInfo` and the network behind :meth:`residual_stream`."""

    info: ModelInfo

    def __init__(self, path: Path, session: Any) -> None:
        self.path = path
        self._session = session

    @abstractmethod
    def residual_stream(
        self,
        channels: int,
        cutoff_hz: float,
        gain: float,
        *,
        slope: Slope = (),
        fidelity: float = 0.0,
        top: Top | None = None,
    ) -> ResidualStream:
        """Start predicting what lies above ``cutoff_hz`` in a signal at ``info.sample_rate``.

        ``gain`` brings the signal to the level that the network expects. ``slope`` is the
        low-pass that the recording went through, as the cutoff's estimate has it; it is lifted as
        far as it reaches. ``fidelity`` goes from the most natural sound, 0, to the least error of
        the waveform, 1, where ``info.has_fidelity``. ``top`` is where an output of a lower rate
        ends; a slope must end before it.
        """


class SpectralModel(Model):
    """A spectral extender."""

    def __init__(self, path: Path, session: Any, info: SpectralInfo) -> None:
        super().__init__(path, session)
        self.info: SpectralInfo = info

    def residual_stream(
        self,
        channels: int,
        cutoff_hz: float,
        gain: float,
        *,
        slope: Slope = (),
        fidelity: float = 0.0,
        top: Top | None = None,
    ) -> FrameResidual:
        """Start a stream of frames; see :meth:`Model.residual_stream`."""
        return FrameResidual(
            self, channels, cutoff_hz, gain, slope=slope, fidelity=fidelity, top=top
        )

    def initial_state(self, channels: int) -> list[FloatArray]:
        """The network's memory before the first frame."""
        blocks, past, width = self.info.context_shape
        delay = (channels, self.info.lookahead_frames, self.info.bins, 2)
        return [
            np.zeros((blocks, channels, past, width), np.float32),
            np.zeros(delay, np.float32),
        ]

    def run(
        self,
        spectrum: NDArray[np.complex64],
        cutoff_hz: float,
        state: list[FloatArray],
        fidelity: float = 0.0,
    ) -> tuple[NDArray[np.complex64], list[FloatArray]]:
        """Residual frames, which lag ``lookahead_frames``, and the new state.

        ``spectrum`` is ``[channels, frames, bins]``, C-contiguous.
        """
        channels = spectrum.shape[0]
        inputs = {
            "spectrum": spectrum.view(np.float32).reshape(*spectrum.shape, 2),
            "cutoff_hz": np.full(channels, cutoff_hz, np.float32),
            "context": state[0],
            "delay": state[1],
        }
        if self.info.has_fidelity:
            inputs["fidelity"] = np.full(channels, fidelity, np.float32)
        residual, *state = self._session.run(None, inputs)
        return np.ascontiguousarray(residual).view(np.complex64)[..., 0], state


class WaveformModel(Model):
    """A network of the lineage: AudioUNet, TFiLM or AFiLM."""

    def __init__(self, path: Path, session: Any, info: WaveformInfo) -> None:
        super().__init__(path, session)
        self.info: WaveformInfo = info

    def residual_stream(
        self,
        channels: int,
        cutoff_hz: float,
        gain: float,
        *,
        slope: Slope = (),  # noqa: ARG002 (these networks were trained on a slope as it is)
        fidelity: float = 0.0,  # noqa: ARG002 (and know one answer)
        top: Top | None = None,
    ) -> PatchResidual:
        """Start a stream of patches; see :meth:`Model.residual_stream`."""
        return PatchResidual(self.info, self.run, channels, cutoff_hz, gain, top=top)

    def run(self, low: FloatArray) -> FloatArray:
        """Fill in the top of ``low [channels, samples]``; the result has the same shape.

        ``low`` is at ``info.sample_rate``, decimated and interpolated as in training, at the level
        of training. Any length: the network gets it with zeros after its end.
        """
        samples = low.shape[1]
        padded = np.pad(low, ((0, 0), (0, -samples % self.info.multiple_samples)))
        if not padded.size:
            return np.zeros(low.shape, np.float32)
        (high,) = self._session.run(None, {"low": padded.astype(np.float32, copy=False)})
        return np.asarray(high[:, :samples], np.float32)


def _open_session(path: Path, device: str, threads: int | None) -> Any:
    if device not in DEVICES:
        raise InvalidInputError(f"device {device!r} is unknown; use one of {', '.join(DEVICES)}")
    if threads is not None and threads < 1:
        raise InvalidInputError(f"threads must be at least 1, not {threads}")
    available = onnxruntime.get_available_providers()
    cuda = "CUDAExecutionProvider"
    if device == "cuda" and cuda not in available:
        raise ModelError(
            "device 'cuda' needs a CUDA build of onnxruntime: pip install onnxruntime-gpu, or use"
            " --device cpu"
        )
    wanted = [cuda] if device != "cpu" and cuda in available else []
    options = onnxruntime.SessionOptions()
    # 0 lets onnxruntime take all cores. Errors come as exceptions, so the log stays quiet.
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Idle threads that spin would take the core from whoever feeds the network.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(
            str(path), options, providers=[*wanted, "CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime raises classes of its own, most of them bare
        raise ModelError(f"{path}: not a usable model file ({_first_line(error)})") from error


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _read_info(session: Any, path: Path) -> SpectralInfo | WaveformInfo:
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        raise ModelError(
            f"{path}: an ONNX file, but not an overtone model; make one with `overtone export`"
        )
    return parse_info(text, path).model_copy(
        update={
            "size_bytes": path.stat().st_size,
            "is_default": path == _shipped().get(DEFAULT_MODEL),
        }
    )


def _shipped() -> dict[str, Path]:
    return {path.stem: path for path in sorted(PRETRAINED_FOLDER.glob("*.onnx"))}


def model_path(name_or_path: str | os.PathLike[str]) -> Path:
    """Where a model lies: a shipped name, ``auto`` for the default one, or a file.

    Raises:
        ModelError: there is no such name or file; the message lists the names.
    """
    name = os.fspath(name_or_path)
    shipped = _shipped()
    if name == "auto":
        name = DEFAULT_MODEL
    if name in shipped:
        return shipped[name]
    path = Path(name)
    if path.is_file():
        return path
    raise ModelError(
        f"no model {name!r}; shipped: {', '.join(shipped) or 'none'}, or give the path of an"
        " .onnx file"
    )


def load_model(
    name_or_path: str | os.PathLike[str] = "auto",
    *,
    device: str = "auto",
    threads: int | None = None,
) -> Model:
    """Load a shipped model by name, or one from a file.

    Args:
        name_or_path: ``auto``, a name of :func:`list_models`, or the path of an ``.onnx`` file.
        device: ``auto`` (CUDA where onnxruntime has it), ``cpu`` or ``cuda``.
        threads: of the network; None takes all cores.

    Raises:
        ModelError: there is no such model, or it cannot be used.
    """
    path = model_path(name_or_path)
    session = _open_session(path, device, threads)
    info = _read_info(session, path)
    if info.kind == "waveform":
        return WaveformModel(path, session, info)
    return SpectralModel(path, session, info)


def list_models() -> list[ModelInfo]:
    """What is shipped in the package, sorted by name."""
    return [load_model(path, device="cpu", threads=1).info for path in _shipped().values()]
