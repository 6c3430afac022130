"""Networks on onnxruntime: opening a session, and running one that works frame by frame."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from overtone.errors import InvalidInputError, ModelError

FloatArray = NDArray[np.float32]
State = dict[str, FloatArray]

DEVICES = ("auto", "cpu", "cuda")
NEW_STATE = "new_"


class FrameNetwork:
    """A network that takes chunks of frames and remembers what it needs between them.

    Everything is read from the graph. An input ``x`` with an output ``new_x`` is a *state*, zero
    before the first frame; its symbolic axis is the channels. An input of one axis is a
    *condition*, one number a channel. The others are *signals*, ``[channels, frames, ...]``.

    Args:
        path: of the file, for messages.
        session: what :func:`open_session` gave.
        signals, conditions: the names that the caller can give; a graph may use fewer.

    Raises:
        ModelError: the graph has inputs of other names.
    """

    def __init__(
        self,
        path: Path,
        session: Any,
        *,
        signals: tuple[str, ...],
        conditions: tuple[str, ...],
    ) -> None:
        self._session = session
        self._outputs = [output.name for output in session.get_outputs()]
        shapes = {entry.name: entry.shape for entry in session.get_inputs()}
        self._states = {
            name: shape for name, shape in shapes.items() if NEW_STATE + name in self._outputs
        }
        self._signals = [name for name in signals if name in shapes]
        self._conditions = [name for name in conditions if name in shapes]
        unknown = shapes.keys() - {*self._states, *signals, *conditions}
        if unknown:
            raise ModelError(
                f"{path}: the network has inputs that this overtone does not know"
                f" ({', '.join(sorted(unknown))}): update overtone"
            )

    def initial_state(self, channels: int) -> State:
        """Return the network's memory before the first frame."""
        return {
            name: np.zeros([n if isinstance(n, int) else channels for n in shape], np.float32)
            for name, shape in self._states.items()
        }

    def run(
        self,
        signals: Mapping[str, NDArray[Any]],
        conditions: Mapping[str, float],
        state: State,
    ) -> tuple[dict[str, FloatArray], State]:
        """Return the outputs by name, and the new state.

        Complex signals ``[channels, frames, bins]`` reach the network as real and imaginary parts,
        ``[channels, frames, bins, 2]``. What the graph has no input for is left out.
        """
        inputs: dict[str, FloatArray] = dict(state)
        for name in self._signals:
            inputs[name] = as_pairs(signals[name])
        channels = len(inputs[self._signals[0]])
        for name in self._conditions:
            inputs[name] = np.full(channels, conditions[name], np.float32)
        outputs = dict(zip(self._outputs, self._session.run(None, inputs), strict=True))
        return outputs, {name: outputs.pop(NEW_STATE + name) for name in self._states}


def as_pairs(values: NDArray[Any]) -> FloatArray:
    """Return complex64 ``[...]`` as float32 ``[..., 2]``; real values as they are."""
    if not np.iscomplexobj(values):
        return values
    return np.ascontiguousarray(values).view(np.float32).reshape(*values.shape, 2)


def as_complex(pairs: FloatArray) -> NDArray[np.complex64]:
    """Return float32 ``[..., 2]`` as complex64 ``[...]``."""
    return np.ascontiguousarray(pairs).view(np.complex64)[..., 0]


def open_session(path: Path, device: str = "auto", threads: int | None = None) -> Any:
    """Open a model file: ``device`` is auto, cpu or cuda; ``threads`` of None takes all cores.

    Raises:
        InvalidInputError: ``device`` or ``threads`` is not a possible value.
        ModelError: the file is not a network, or the device is missing.
    """
    if device not in DEVICES:
        raise InvalidInputError(f"device {device!r} is unknown; use one of {', '.join(DEVICES)}")
    if threads is not None and threads < 1:
        raise InvalidInputError(f"threads must be at least 1, not {threads}")
    available = onnxruntime.get_available_providers()
    cuda = "CUDAExecutionProvider"
    if device == "cuda" and cuda not in available:
        raise ModelError(
            "device 'cuda' needs a CUDA build of onnxruntime: pip install onnxruntime-gpu, or use"
            " device 'cpu'"
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
        first_line = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ModelError(f"{path}: not a usable model file ({first_line})") from error


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of an ONNX file without opening a session.

    An ONNX file is a protocol buffer (https://protobuf.dev/programming-guides/encoding): fields of
    a tag and a value, each with its length. Field 14 holds metadata, a pair of strings each; all
    others, the graph above all, are skipped.

    Raises:
        ModelError: the file cannot be read, or is not a protocol buffer.
    """
    found: dict[str, str] = {}
    try:
        content = memoryview(path.read_bytes())
        for field, value in _fields(content):
            if field == 14:
                pair = {number: bytes(text).decode() for number, text in _fields(value)}
                found[pair.get(1, "")] = pair.get(2, "")
    except (OSError, ValueError, IndexError) as error:
        raise ModelError(f"{path}: not a usable model file ({error})") from error
    return found


def _fields(message: memoryview) -> list[tuple[int, memoryview]]:
    """Return the fields of a protocol buffer that have a length, by number."""
    fields, at = [], 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        tag = varint()
        kind = tag & 7
        if kind == 0:
            varint()
            continue
        sizes = {1: 8, 5: 4}
        size = varint() if kind == 2 else sizes.get(kind, -1)
        if size < 0 or at + size > len(message):
            raise ValueError("damaged or cut off")
        if kind == 2:
            fields.append((tag >> 3, message[at : at + size]))
        at += size
    return fields
