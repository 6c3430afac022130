"""Kill commands at random moments: ``python tests/fuzz/kill.py --kills 100``.

Each run gets SIGKILL, SIGTERM or SIGINT after a random part of the time that it takes whole. After
that no output may be there that is not complete, no input may have changed, and, unless the kill
was outright, nothing temporary may be left; what SIGKILL leaves, the next run has to remove. A
training run that is killed has to end, resumed, with the same weights as one that is not.
"""

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
RUN = [sys.executable, "-m", "overtone"]
COMMANDS = {
    "enhance -j 1": ["enhance", "in", "-o", "out", "--force"],
    "enhance -j 2": ["enhance", "in", "-o", "out", "--force", "-j", "2"],
    "prepare": [
        "prepare",
        "files",
        "--rate",
        "8000",
        "--file-list",
        "list",
        "--in-dir",
        "in",
        "-o",
        "out/a.h5",
        "-f",
    ],
    "train": [
        "train",
        "recipe.toml",
        "--data-root",
        "in",
        "--cache",
        "out/cache",
        "-o",
        "out/run",
        "--no-compile",
        "--threads",
        "1",
    ],
}
RECIPE = """
name = "tiny"
description = "To be killed"
model = { window_samples = 768, hop_samples = 192, lookahead_frames = 2, channels = 16, blocks = 2 }
loss = { windows = [512] }
optimiser = { steps = 30, batch_size = 2, crop_frames = 24, warmup_steps = 2 }
validation = { cutoffs_hz = [2000], clips_per_corpus = 1, clip_seconds = 0.5 }

[[corpora]]
name = "speech"
path = "."
glob = "*.flac"
bandwidth_hz = 3500
license = "CC0 1.0"
"""
# Parts of an archive are kept on purpose: the next run goes on from them.
KEPT = (".parts/",)
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def hashes(folder: Path) -> dict[str, str]:
    """Return what is in a folder, by name."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def start(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """Start a command in a process group of its own."""
    return subprocess.Popen(
        [*RUN, *command],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def run(command: list[str], folder: Path) -> tuple[float, dict[str, str]]:
    """Run a command whole; return its seconds and what it wrote."""
    begun = time.monotonic()
    process = start(command, folder)
    _, said = process.communicate()
    if process.returncode:
        raise SystemExit(f"{command}: {said.decode()}")
    return time.monotonic() - begun, hashes(folder / "out")


def kill_one(
    name: str, folder: Path, after_s: float, number: int, whole: dict[str, str]
) -> list[str]:
    """Kill a run after so long; return what is wrong then."""
    command = COMMANDS[name]
    given = hashes(folder / "in")
    shutil.rmtree(folder / "out", ignore_errors=True)
    (folder / "out").mkdir()
    process = start(command, folder)
    time.sleep(after_s)
    process.send_signal(number)
    _, said = process.communicate()
    deadline = time.monotonic() + 60
    while _group_lives(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)  # workers notice that their parent is gone
    wrong = ["a traceback"] if b"Traceback" in said else []
    if _group_lives(process.pid):
        wrong.append("processes that live on")
    there = hashes(folder / "out")
    temporary = {name for name in there if "overtone-tmp" in name}
    if name != "train":
        done = [n for n in there.keys() - temporary if not any(kept in n for kept in KEPT)]
        wrong += [f"partial {n}" for n in done if there[n] != whole.get(n)]
    if temporary and number != signal.SIGKILL:
        wrong.append(f"left {sorted(temporary)}")
    if hashes(folder / "in") != given:
        wrong.append("an input changed")
    if name == "train":
        resumed = (folder / "out" / "run" / "last").exists()
        _, there = run([*command, "--resume"] if resumed else command, folder)
        if _weights(there) != _weights(whole):
            wrong.append("other weights in the end")
    elif temporary:
        _, there = run(command, folder)
    if any("overtone-tmp" in name for name in there):
        wrong.append("the next run does not sweep")
    return wrong


def _weights(found: dict[str, str]) -> dict[str, str]:
    return {n: digest for n, digest in found.items() if n.endswith("last/model.safetensors")}


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def campaign(kills: int, seed: int, names: list[str]) -> dict[str, list[str]]:
    """Kill each command so many times; return what was wrong, by kill."""
    rng, found = random.Random(seed), {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "in").mkdir()
        for copy in "abc":
            shutil.copy(EXAMPLES / "speech_en_8k.flac", folder / "in" / f"{copy}.flac")
        (folder / "list").write_text("".join(f"{copy}.flac\n" for copy in "abc"))
        (folder / "recipe.toml").write_text(RECIPE)
        for name in names:
            shutil.rmtree(folder / "out", ignore_errors=True)
            (folder / "out").mkdir()
            seconds, whole = run(COMMANDS[name], folder)
            for kill in range(kills):
                after_s, number = rng.uniform(0, 1.1 * seconds), rng.choice(SIGNALS)
                wrong = kill_one(name, folder, after_s, number, whole)
                what = f"{name}, {number.name} after {after_s:.2f} of {seconds:.2f} s"
                if wrong:
                    found[f"{what} ({kill})"] = wrong
                print(f"{what}: {'; '.join(wrong) or 'well'}", flush=True)
    return found


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="of each command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", nargs="*", default=list(COMMANDS), choices=list(COMMANDS))
    arguments = parser.parse_args()
    found = campaign(arguments.kills, arguments.seed, arguments.commands)
    print(f"{arguments.kills * len(arguments.commands)} kills, {len(found)} findings")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
