"""The page as a folder for any web server: the model runs in the browser, by onnxruntime-web."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import onnxruntime

from overtone.errors import InvalidInputError
from overtone.inference.model import load_model
from overtone.inference.network import NEW_STATE

PAGE = Path(__file__).with_name("page")
MODEL = "speech"
RUNTIME = "onnxruntime-web@1.30.0"
# The runtime in WebAssembly, and the one that can use WebGPU.
RUNTIME_FILES = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
    "ort.webgpu.min.mjs",
    "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
)
# Fetched when a GPU is there, so not kept for all.
ON_DEMAND = RUNTIME_FILES[3:]
SERVER_ONLY = ("server.js", "engine.js")


def write_static(folder: Path, *, runtime: Path | None = None) -> None:
    """Write the page into ``folder``, which is new or empty.

    ``runtime`` is a folder that holds the files of onnxruntime-web (its ``dist``); None fetches
    them with npm, once.

    Raises:
        InvalidInputError: the folder is not empty, or the runtime is not to be had.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidInputError(f"{folder}: is there already and not empty; name a new folder")
    source = runtime or fetched_runtime()
    missing = [name for name in RUNTIME_FILES if not (source / name).is_file()]
    if missing:
        raise InvalidInputError(f"{source}: is no dist of {RUNTIME}: lacks {missing[0]}")
    folder.mkdir(parents=True, exist_ok=True)
    for path in (*PAGE.iterdir(), *(PAGE / "static").iterdir()):
        if path.is_file() and path.name not in SERVER_ONLY:
            shutil.copyfile(path, folder / path.name)
    shutil.copytree(PAGE / "vendor", folder / "vendor")
    (folder / "engine.js").write_text('export * from "./local.js";\n', encoding="utf-8")
    (folder / "ort").mkdir()
    for name in RUNTIME_FILES:
        shutil.copyfile(source / name, folder / "ort" / name)
    _write_model(folder / "models")
    _write_service_worker(folder)


def fetched_runtime() -> Path:
    """The runtime's files as npm has them; kept in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "overtone")
    kept = cache / RUNTIME
    if kept.is_dir():
        return kept
    npm = shutil.which("npm")
    if npm is None:
        raise InvalidInputError(
            f"the page needs {RUNTIME}: install npm, or give --ort FOLDER with its dist files"
        )
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        command = [npm, "pack", RUNTIME, "--silent", "--pack-destination", scratch]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        packed = next(Path(scratch).glob("*.tgz"), None)
        if done.returncode or packed is None:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise InvalidInputError(f"npm could not fetch {RUNTIME} ({reason}); try --ort FOLDER")
        with tarfile.open(packed) as archive:
            archive.extractall(scratch, filter="data")
        Path(scratch, "package", "dist").rename(kept)
    return kept


def _write_model(folder: Path) -> None:
    """The network, and beside it what it says of itself and the shapes of its memory."""
    model = load_model(MODEL, device="cpu", threads=1)
    folder.mkdir()
    shutil.copyfile(model.path, folder / f"{MODEL}.onnx")
    session = onnxruntime.InferenceSession(str(model.path), providers=["CPUExecutionProvider"])
    outputs = {output.name for output in session.get_outputs()}
    states = {
        entry.name: entry.shape[1:]
        for entry in session.get_inputs()
        if NEW_STATE + entry.name in outputs
    }
    told = {**model.info.model_dump(mode="json"), "states": states}
    (folder / f"{MODEL}.json").write_text(json.dumps(told), encoding="utf-8")


def _write_service_worker(folder: Path) -> None:
    """Fill in what it keeps; a name of its own for every content."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "sw.js")
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    names = [path.relative_to(folder).as_posix() for path in paths if path.name not in ON_DEMAND]
    worker = folder / "sw.js"
    text = worker.read_text(encoding="utf-8")
    text = text.replace("%VERSION%", f"overtone-{digest.hexdigest()[:16]}")
    worker.write_text(text.replace("%FILES%", json.dumps(["./", *names])), encoding="utf-8")
