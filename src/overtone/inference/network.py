"""Networks on onnxruntime: opening a session, and running one that works frame by frame."""

from __future__ import annotations

import math
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from overtone.errors import InvalidInputError, ModelError
from overtone.files import first_line

FloatArray = NDArray[np.float32]
State = dict[str, FloatArray]

# A state of more numbers a channel than this is no overtone model's.
MAX_STATE = 1 << 24
# Protocol buffers cannot be larger.
MAX_FILE_BYTES = 1 << 31
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
        output: the name of what the caller needs.

    Raises:
        ModelError: the graph has inputs of other names or types, states of no possible size, or
            lacks the output.
    """

    def __init__(
        self,
        path: Path,
        session: Any,
        *,
        signals: tuple[str, ...],
        conditions: tuple[str, ...],
        output: str,
    ) -> None:
        self._path, self._session = path, session
        self._outputs = [output.name for output in session.get_outputs()]
        shapes = {entry.name: entry.shape for entry in session.get_inputs()}
        self._states = {
            name: shape for name, shape in shapes.items() if NEW_STATE + name in self._outputs
        }
        self._signals = [name for name in signals if name in shapes]
        self._conditions = [name for name in conditions if name in shapes]
        known = {*self._states, *signals, *conditions}
        check_names(path, session, inputs=known, outputs={output})
        if not self._signals:
            raise ModelError(f"{path}: the network takes no sound ({' or '.join(signals)})")
        for name, shape in self._states.items():
            if math.prod(n for n in shape if isinstance(n, int)) > MAX_STATE:
                raise ModelError(f"{path}: the network's state {name} is too large: {shape}")

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
        results = run_session(self._path, self._session, inputs)
        outputs = dict(zip(self._outputs, results, strict=True))
        new = {name: outputs.pop(NEW_STATE + name) for name in self._states}
        return outputs, {name: self.of_shape(state[name].shape, new[name]) for name in new}

    def of_shape(self, shape: tuple[int, ...], values: Any) -> FloatArray:
        """Return what the network gave if it is float32 of this shape; else it is no model."""
        return of_shape(self._path, shape, values)


def check_names(path: Path, session: Any, *, inputs: set[str], outputs: set[str]) -> None:
    """Raise ModelError unless all inputs of a graph are known and numbers, and it has outputs."""
    entries = {entry.name: entry.type for entry in session.get_inputs()}
    unknown = entries.keys() - inputs
    if unknown:
        raise ModelError(
            f"{path}: the network has inputs that this overtone does not know"
            f" ({', '.join(sorted(unknown))}): update overtone"
        )
    if set(entries.values()) - {"tensor(float)"}:
        raise ModelError(f"{path}: the network takes {', '.join(sorted(set(entries.values())))}")
    missing = outputs - {entry.name for entry in session.get_outputs()}
    if missing:
        raise ModelError(f"{path}: the network lacks its output {', '.join(sorted(missing))}")


def run_session(path: Path, session: Any, inputs: Mapping[str, FloatArray]) -> list[Any]:
    """Run a network; whatever fails in it is a ModelError."""
    try:
        return list(session.run(None, dict(inputs)))
    except Exception as error:  # onnxruntime raises classes of its own, most of them bare
        raise ModelError(f"{path}: its network fails ({first_line(error)})") from error


def of_shape(path: Path, shape: tuple[int, ...], values: Any) -> FloatArray:
    """Return ``values`` if they are float32 of this shape, else raise ModelError."""
    if not isinstance(values, np.ndarray) or values.dtype != np.float32 or values.shape != shape:
        given = f"{values.dtype} {values.shape}" if isinstance(values, np.ndarray) else "no array"
        raise ModelError(f"{path}: its network gave {given}, not float32 {shape}")
    return values


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
    onnxruntime.disable_telemetry_events()  # where it was imported before overtone was
    options = onnxruntime.SessionOptions()
    # 0 lets onnxruntime take all cores. Errors come as exceptions, so the log stays quiet.
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Idle threads that spin would take the core from whoever feeds the network.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=[*wanted, "CPUExecutionProvider"]
        )
        for entry in (*session.get_inputs(), *session.get_outputs()):
            _ = entry.name, entry.shape  # whose names may be no text
    except Exception as error:  # onnxruntime raises classes of its own, most of them bare
        raise ModelError(f"{path}: not a usable model file ({first_line(error)})") from error
    if device == "cuda" and cuda not in session.get_providers():  # it takes the CPU, and is silent
        raise ModelError(
            "device 'cuda' cannot be used: onnxruntime found no GPU, or not the CUDA and cuDNN that"
            " it was built for; use device 'cpu'"
        )
    return session


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
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ValueError("more than 2 GB")
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
            memoryview(content) as message,
        ):
            for value in _fields(message, 14):
                pair = {n: b"".join(_fields(value, n)).decode() for n in (1, 2)}
                found[pair[1]] = pair[2]
    except (OSError, ValueError, IndexError) as error:
        raise ModelError(f"{path}: not a usable model file ({error})") from error
    return found


def _fields(message: memoryview | bytes, number: int) -> list[bytes]:
    """Return the fields of a protocol buffer that have a length, of one number."""
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
            if shift > 63:
                raise ValueError("damaged")

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
        if kind == 2 and tag >> 3 == number:
            fields.append(bytes(message[at : at + size]))
        at += size
    return fields
