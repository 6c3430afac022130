"""Model files: what they say of themselves, where they are found, and the session that runs one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from overtone.errors import InvalidInputError, ModelError

METADATA_KEY = "overtone"
PRETRAINED_FOLDER = Path(__file__).parent.parent / "pretrained"
DEFAULT_MODEL = "speech"
DEVICES = ("auto", "cpu", "cuda")


class ModelInfo(BaseModel):
    """What a model file says of itself. Rates and cutoffs in Hz.

    ``context_shape`` is (blocks, past frames, channels), the network's memory for one audio
    channel. ``level_rms`` is the level of active speech or music that the network expects.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    format_version: int = 1
    kind: str = "spectral-extender"
    name: str
    description: str
    sample_rate: int
    window_samples: int
    hop_samples: int
    lookahead_frames: int
    context_shape: tuple[int, int, int]
    min_cutoff_hz: float
    max_cutoff_hz: float
    level_rms: float
    parameters: int
    license: str
    training_data: tuple[str, ...]
    training: str
    config_sha256: str
    overtone_version: str
    # Known from the file rather than written in it.
    size_bytes: int = 0
    is_default: bool = False

    @property
    def bins(self) -> int:
        """Bins of a one-sided spectrum."""
        return self.window_samples // 2 + 1

    @property
    def latency_samples(self) -> int:
        """Algorithmic latency at ``sample_rate``, window and lookahead included."""
        return self.window_samples + self.lookahead_frames * self.hop_samples


class Model:
    """A loaded model: its :class:`ModelInfo` and the network behind :meth:`run`."""

    def __init__(self, path: Path, *, device: str = "auto", threads: int | None = None) -> None:
        self.path = path
        self._session = _open_session(path, device, threads)
        self.info = _read_info(self._session, path)

    def initial_state(self, channels: int) -> list[NDArray[np.float32]]:
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
        state: list[NDArray[np.float32]],
    ) -> tuple[NDArray[np.complex64], list[NDArray[np.float32]]]:
        """Residual frames, which lag ``lookahead_frames``, and the new state.

        ``spectrum`` is ``[channels, frames, bins]``, C-contiguous.
        """
        channels = spectrum.shape[0]
        residual, *state = self._session.run(
            None,
            {
                "spectrum": spectrum.view(np.float32).reshape(*spectrum.shape, 2),
                "cutoff_hz": np.full(channels, cutoff_hz, np.float32),
                "context": state[0],
                "delay": state[1],
            },
        )
        return np.ascontiguousarray(residual).view(np.complex64)[..., 0], state


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
    # Frames of zeros lead to denormal numbers, which are slow.
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    try:
        return onnxruntime.InferenceSession(
            str(path), options, providers=[*wanted, "CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime raises classes of its own, most of them bare
        raise ModelError(f"{path}: not a usable model file ({_first_line(error)})") from error


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _read_info(session: Any, path: Path) -> ModelInfo:
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        raise ModelError(
            f"{path}: an ONNX file, but not an overtone model; make one with `overtone export`"
        )
    try:
        info = ModelInfo.model_validate_json(text)
    except ValidationError as error:
        raise ModelError(
            f"{path}: made for another version of overtone; update overtone or export it again"
        ) from error
    if info.format_version != 1 or info.kind != "spectral-extender":
        raise ModelError(
            f"{path}: format {info.format_version}, kind {info.kind!r}; this overtone reads"
            " format 1, kind 'spectral-extender': update overtone"
        )
    return info.model_copy(
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
    return Model(model_path(name_or_path), device=device, threads=threads)


def list_models() -> list[ModelInfo]:
    """What is shipped in the package, sorted by name."""
    return [load_model(path, device="cpu", threads=1).info for path in _shipped().values()]
