"""Model files: where they lie, and how one is loaded."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

from pydantic import ValidationError

from overtone.errors import ModelError
from overtone.families import FAMILIES
from overtone.inference.family import FORMAT_VERSION, METADATA_KEY, Model, ModelInfo
from overtone.inference.hub import HUB, from_hub, in_folder
from overtone.inference.network import open_session, read_metadata

logger = logging.getLogger(__name__)

PRETRAINED_FOLDER = Path(__file__).parent.parent / "pretrained"
DEFAULT_MODEL = "speech"
MUSIC_MODEL = "music"

# Several families may write files of one kind, which the same runtime reads.
KINDS = {family.kind: family for family in FAMILIES.values()}


def runtime(kind: str) -> type[Model]:
    """Return what runs model files of a ``kind``."""
    found: type[Model] = KINDS[kind].load("runtime")
    return found


def load_model(
    name_or_path: str | os.PathLike[str] = "auto",
    *,
    device: str = "auto",
    threads: int | None = None,
) -> Model:
    """Load a shipped model by name, or one from a file.

    Args:
        name_or_path: ``auto``, a name of :func:`list_models`, the path of an ``.onnx`` file or of
            a folder that ``save_pretrained`` wrote, or ``hub:owner/name``.
        device: ``auto`` (CUDA where onnxruntime has it), ``cpu`` or ``cuda``.
        threads: of the network; None takes all cores.

    Raises:
        InvalidInputError: ``device`` or ``threads`` is not a possible value.
        ModelError: there is no such model, or it cannot be used.

    Example:
        >>> load_model("speech", device="cpu").info.sample_rate
        48000
    """
    path = model_path(name_or_path)
    info = read_info(path)
    session = open_session(path, device, threads)
    logger.info("model %s from %s on %s", info.name, path, session.get_providers()[0])
    return runtime(info.kind)(path, session, info)


def list_models() -> list[ModelInfo]:
    """Return what is shipped in the package, sorted by name; no network is loaded for it.

    Example:
        >>> [info.name for info in list_models() if info.is_default]
        ['speech']
    """
    return [read_info(path) for path in _shipped().values()]


def model_path(name_or_path: str | os.PathLike[str]) -> Path:
    """Return where a model lies: a shipped name, ``auto`` for the default one, a file or folder.

    ``hub:owner/name`` is fetched from the Hugging Face Hub (extra ``hub``).

    Raises:
        ModelError: there is no such name or file; the message lists the names.
    """
    name = os.fspath(name_or_path)
    shipped = _shipped()
    if name == "auto":
        name = DEFAULT_MODEL
    if name in shipped:
        return shipped[name]
    if name.startswith(HUB):
        return from_hub(name.removeprefix(HUB))
    path = Path(name)
    if name and path.is_dir():  # the path of an empty name is this folder
        return in_folder(path)
    if path.is_file():
        return path
    raise ModelError(
        f"no model {name!r}; shipped: {', '.join(shipped) or 'none'}, or give the path of an"
        " .onnx file"
    )


def read_info(path: Path) -> ModelInfo:
    """Return what the model file ``path`` says of itself.

    Raises:
        ModelError: it is no overtone model, was written for another version, or is damaged.
    """
    text = read_metadata(path).get(METADATA_KEY)
    if text is None:
        raise ModelError(
            f"{path}: an ONNX file, but not an overtone model; make one with `overtone export`"
        )
    try:
        content = json.loads(text)
        version = content.get("format_version", FORMAT_VERSION)
        kind = content.get("kind", "spectral-extender")
        if version != FORMAT_VERSION or kind not in KINDS:
            kinds = " or ".join(repr(known) for known in KINDS)
            raise ModelError(
                f"{path}: format {version}, kind {kind!r}; this overtone reads format"
                f" {FORMAT_VERSION}, kind {kinds}: update overtone"
            )
        info = runtime(kind).info_type.model_validate(content)
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise ModelError(
            f"{path}: made for another version of overtone, or damaged{_problem(error)};"
            " update overtone or export it again"
        ) from error
    is_default = path == _shipped().get(DEFAULT_MODEL)
    return info.model_copy(update={"size_bytes": path.stat().st_size, "is_default": is_default})


def _problem(error: Exception) -> str:
    """Say which number is at fault, if it is one."""
    if not isinstance(error, ValidationError):
        return ""
    first = error.errors()[0]
    key = ".".join(map(str, first["loc"]))
    return f" ({key}: {first['msg']})" if key else f" ({first['msg']})"


def _shipped() -> dict[str, Path]:
    return {path.stem: path for path in sorted(PRETRAINED_FOLDER.glob("*.onnx"))}
