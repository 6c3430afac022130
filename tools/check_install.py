"""Install the built wheel into an empty environment and use it: ``python tools/check_install.py``.

Needs uv, which finds the Python, or fetches it. ``--resolution lowest-direct`` takes the oldest
versions that overtone allows. Prints the size and the time of the installation.
"""

import argparse
import os
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MOST_MB = 230  # in all, with the newest versions; early onnxruntime brings sympy


def main() -> None:
    """Run the check."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("dist", nargs="?", type=Path, default=ROOT / "dist")
    parser.add_argument("--python", default="3.13")
    parser.add_argument("--resolution", default="highest", choices=("highest", "lowest-direct"))
    options = parser.parse_args()
    [wheel] = options.dist.resolve().glob("*.whl")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        check(wheel, folder, options.python, options.resolution)


def check(wheel: Path, folder: Path, python: str, resolution: str) -> None:
    """Install ``wheel`` into ``folder`` and enhance a recording."""
    environment = folder / "environment"
    run("uv", "venv", "--quiet", "--seed", "--python", python, environment)
    programs = environment / ("Scripts" if os.name == "nt" else "bin")
    # Of a wheel that is named, what it needs would count as indirect.
    install = ("uv", "pip", "install", "--quiet", "--compile-bytecode", "--python", environment)
    begun = time.perf_counter()
    run(*install, "--resolution", resolution, "--requirement", ROOT / "pyproject.toml")
    run(*install, "--no-deps", wheel)
    seconds = time.perf_counter() - begun
    size_mb = sum(path.lstat().st_size for path in environment.rglob("*")) / 1e6
    example, output = ROOT / "examples" / "speech_en_8k.flac", folder / "out.flac"
    run(programs / "python", "-m", "overtone", "enhance", example, "-o", output, cwd=folder)
    run(programs / "overtone", "--version", "-v", cwd=folder)
    if not output.stat().st_size:
        raise SystemExit(f"{output}: nothing was written")
    print(f"installed {size_mb:.0f} MB in {seconds:.1f} s")
    if resolution == "highest" and size_mb > MOST_MB:
        raise SystemExit(f"more than {MOST_MB} MB")


def run(*command: object, cwd: Path = ROOT) -> None:
    """Run a command, or end with its exit code."""
    done = subprocess.run([str(word) for word in command], cwd=cwd, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


if __name__ == "__main__":
    main()
