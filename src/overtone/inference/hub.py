"""Models in folders and on the Hugging Face Hub.

A folder holds ``model.onnx``, which is all that overtone needs; ``config.json``, what the model
says of itself, with size and SHA-256 of the file; ``model.safetensors``, its weights for other
programs; and ``README.md``, the model card.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from overtone.errors import InvalidInputError, MissingExtraError, ModelError
from overtone.files import atomic_write, read_json, sha256_of, write_text

HUB = "hub:"  # in front of a name on the hub
MODEL, CONFIG, WEIGHTS, CARD = "model.onnx", "config.json", "model.safetensors", "README.md"
USE = """
## Use

```python
import overtone

enhancer = overtone.Enhancer.from_pretrained("OWNER/NAME")
enhancer.enhance_file("call.wav", "call-48k.wav")
```
"""


def from_hub(name: str, **options: Any) -> Path:
    """Return the model file of ``owner/name`` on the hub, or what the cache has of it.

    ``options`` are those of ``huggingface_hub.snapshot_download``: ``revision``, ``cache_dir``,
    ``local_files_only``. With ``HF_HUB_OFFLINE=1`` nothing is asked for.

    Raises:
        MissingExtraError: huggingface_hub is not installed.
        ModelError: there is no such model, it cannot be had, or it is not whole.
    """
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingExtraError(f"{name}: the model hub", "hub") from error
    try:
        folder = snapshot_download(name, allow_patterns=[MODEL, CONFIG], **options)
    except Exception as error:  # of many libraries
        raise ModelError(f"{name}: not to be had from the hub ({_reason(error)})") from error
    return in_folder(Path(folder))


def is_hub_name(name: str) -> bool:
    """Whether a name is ``owner/name``, and no path that is there.

    Example:
        >>> is_hub_name("owner/name"), is_hub_name("speech"), is_hub_name("./folder/model.onnx")
        (True, False, False)
    """
    return bool(re.fullmatch(r"\w[\w.-]*/[\w.-]+", name)) and not Path(name).exists()


def _reason(error: Exception) -> str:
    """Return why the hub gave nothing, in a line."""
    known = {
        "RepositoryNotFoundError": "no such model, or a private one: hf auth login",
        "RevisionNotFoundError": "no such revision",
        "LocalEntryNotFoundError": "not in the cache, and the hub cannot be asked: no network, or "
        "HF_HUB_OFFLINE is set",
        "OfflineModeIsEnabled": "HF_HUB_OFFLINE is set",
    }
    plain = " ".join(str(error).split()).partition(". ")[0]
    return known.get(type(error).__name__, plain)


def in_folder(folder: Path) -> Path:
    """Return the model file in a folder, once it is known to be what was put there.

    Raises:
        ModelError: there is none, or its size or hash differs from what ``config.json`` says.
    """
    path = folder / MODEL
    if not path.is_file():
        raise ModelError(f"{folder}: no {MODEL} here; give a folder that save_pretrained wrote")
    try:
        expected = read_json(folder / CONFIG)["file"]
        size, digest = expected["bytes"], expected["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder}: {CONFIG} is missing or damaged; download it again") from error
    if (path.stat().st_size, sha256_of(path)) != (size, digest):
        raise ModelError(f"{path}: not whole, or changed; delete it and download it again")
    return path


def save_pretrained(model: Path, info: Any, folder: str | os.PathLike[str]) -> None:
    """Write a model file as a folder for the hub; files that are there are replaced.

    Raises:
        MissingExtraError: onnx, safetensors and huggingface_hub are not installed.
        InvalidInputError: it cannot be written.
    """
    try:
        import huggingface_hub  # noqa: F401
        import onnx
        from safetensors.numpy import save_file
    except ImportError as error:
        raise MissingExtraError("saving for the hub", "hub") from error
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInputError(f"{folder}: cannot be a folder ({error.strerror})") from error
    with atomic_write(folder / MODEL, overwrite=True) as temporary:
        shutil.copyfile(model, temporary)
    graph = onnx.load(model).graph
    weights = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    with atomic_write(folder / WEIGHTS, overwrite=True) as temporary:
        save_file(weights, temporary, metadata={"format": "np"})
    config = info.model_dump(mode="json", exclude={"size_bytes", "is_default"}) | {
        "library_name": "overtone",
        "file": {"bytes": model.stat().st_size, "sha256": sha256_of(model)},
    }
    write_text(json.dumps(config, indent=2) + "\n", folder / CONFIG, overwrite=True)
    write_text(_card(model, info), folder / CARD, overwrite=True)


def push_to_hub(folder: Path, name: str, **options: Any) -> str:
    """Upload a folder as ``owner/name``, made if need be; return its address.

    Raises:
        MissingExtraError: huggingface_hub is not installed.
        ModelError: the hub does not take it.
    """
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise MissingExtraError("the model hub", "hub") from error
    api = HfApi()
    try:
        api.create_repo(name, exist_ok=True)
        return str(api.upload_folder(repo_id=name, folder_path=folder, **options))
    except Exception as error:  # of many libraries
        raise ModelError(f"{name}: not taken by the hub ({_reason(error)})") from error


def _card(model: Path, info: Any) -> str:
    """Return the model's card, with the facts and figures that the hub shows in front of it."""
    from huggingface_hub import EvalResult, ModelCardData

    beside = model.with_suffix(".md")
    text = beside.read_text(encoding="utf-8") if beside.is_file() else f"# {info.name}\n"
    results = [
        EvalResult(
            task_type="audio-to-audio",
            dataset_type=re.sub(r"\W+", "-", clips),  # what the hub groups by
            dataset_name=clips,
            metric_type=metric,
            metric_value=value,
        )
        for clips, metric, value in figures(text, info.name)
    ]
    facts = ModelCardData(
        model_name=info.name,
        library_name="overtone",
        license=info.license.lower(),
        pipeline_tag="audio-to-audio",
        tags=["audio-super-resolution", "bandwidth-extension", "onnx"],
        eval_results=results or None,
    )
    text = re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]*\)", r"\1", text)  # links into the repository
    return f"---\n{facts.to_yaml()}\n---\n\n{text.rstrip()}\n{USE}"


def figures(card: str, name: str) -> list[tuple[str, str, float]]:
    """Return ``(clips, metric, value)`` of the rows of a card's tables whose system is ``name``.

    Example:
        >>> figures("| clips | system | LSD |\\n|-|-|-|\\n| ten | **x** | 0.8 |", "x")
        [('ten', 'LSD', 0.8)]
    """
    found: list[tuple[str, str, float]] = []
    header: list[str] = []
    clips = ""
    for line in card.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if cells[:2] == ["clips", "system"]:
            header = cells
        elif header and len(cells) == len(header):
            clips = cells[0] or clips
            if cells[1] == f"**{name}**":
                pairs = zip(header[2:], cells[2:], strict=True)
                found += [(clips, metric, float(value)) for metric, value in pairs if value]
        else:
            header = []
    return found
