"""Fuzz every kind of file that overtone reads: ``python tests/fuzz/fuzz.py --minutes 10``.

Inputs go in batches to a process of their own, so that crashes and hangs are found, too; a lost
batch is run again one by one. Every finding is kept, in ``findings``, by ``KIND-SEED.SUFFIX``; what
is fixed stays there, made smaller, for the tests to try for ever.
"""

import argparse
import collections
import json
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from mutation import mutate
from targets import TARGETS

from overtone import executor
from overtone.errors import OvertoneError

FINDINGS = Path(__file__).with_name("findings")
BATCH = 100
# Far beyond the slowest on a busy machine.
TIMEOUT_S = 120
SPARE_FILES = 8
Batch = tuple[str, int, int]  # a kind, the first seed, how many


def make(kind: str, seed: int, seeds: dict[str, list[bytes]]) -> bytes:
    """Return the input that a seed stands for."""
    if kind not in seeds:
        seeds[kind] = TARGETS[kind].seeds()
    rng = random.Random(f"{kind} {seed}")
    return mutate(rng.choice(seeds[kind]), seeds[kind], rng)


def check(kind: str, content: bytes) -> str:
    """Use one input; return what is wrong, or nothing."""
    target = TARGETS[kind]
    before = _open_files()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"input.{target.suffix}")
        path.write_bytes(content)
        try:
            target.use(path)
        except OvertoneError as error:
            if "\n" in str(error) or "Traceback" in str(error):
                return f"a message of several lines: {error!r}"
        except MemoryError:
            pass  # said in one line by the command
        except Exception:
            return traceback.format_exc()
        left = [path.name for path in Path(folder).iterdir() if "overtone-tmp" in path.name]
    if left:
        return f"left behind: {left}"
    if _open_files() > before + SPARE_FILES:
        return f"{_open_files() - before} files left open"
    return ""


def _open_files() -> int:
    table = Path("/proc/self/fd")
    return len(list(table.iterdir())) if table.exists() else 0


def run_batch(seeds: dict[str, list[bytes]], batch: Batch, report: object) -> dict[int, str]:
    """Return what is wrong by seed."""
    kind, first, count = batch
    found = {}
    for seed in range(first, first + count):
        if problem := check(kind, make(kind, seed, seeds)):
            found[seed] = problem
    return found


def campaign(kinds: list[str], seconds: float, first: int, log: Path) -> int:
    """Fuzz for so long and return how many findings there were; ``log`` says how it goes."""
    counts, findings = collections.Counter(), {}
    begun, at = time.monotonic(), first
    while time.monotonic() - begun < seconds:
        batches = [(kind, at, BATCH) for kind in kinds]
        at += BATCH
        for batch, found in _map(batches):
            counts[batch[0]] += batch[2]
            if "lost" in found:  # by one of them: by which?
                singles = [(batch[0], seed, 1) for seed in range(batch[1], batch[1] + batch[2])]
                found = {s[1]: f["lost"] for s, f in _map(singles) if "lost" in f}
            for seed, problem in found.items():
                findings[f"{batch[0]}-{seed}"] = problem
                keep(batch[0], seed)
            state = {"inputs": dict(counts), "total": counts.total(), "findings": findings}
            state["hours"] = round((time.monotonic() - begun) / 3600, 3)
            log.write_text(json.dumps(state, indent=1))
            if time.monotonic() - begun >= seconds:
                break
    print(f"{counts.total()} inputs of {len(counts)} kinds, {len(findings)} findings; see {log}")
    return len(findings)


def _map(batches: list[Batch]):
    return executor.map(
        dict,
        run_batch,
        batches,
        isolated=True,
        timeout_s=TIMEOUT_S,
        lost=lambda batch, why: {"lost": why},
    )


def keep(kind: str, seed: int) -> None:
    """Write an input to the findings."""
    FINDINGS.mkdir(exist_ok=True)
    name = f"{kind}-{seed}.{TARGETS[kind].suffix}"
    (FINDINGS / name).write_bytes(make(kind, seed, {}))


def minimise(path: Path) -> None:
    """Make a finding smaller as long as it stays one: leave out ever smaller parts."""
    kind, content = path.name.partition("-")[0], path.read_bytes()
    size = len(content) // 2
    while size:
        for at in range(0, len(content), size):
            shorter = content[:at] + content[at + size :]
            if len(shorter) < len(content) and check(kind, shorter):
                content = shorter
                break
        else:
            size //= 2
    path.write_bytes(content)


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--kinds", nargs="*", default=list(TARGETS), choices=list(TARGETS))
    parser.add_argument("--first", type=int, default=0, help="seed to begin with")
    parser.add_argument("--log", type=Path, default=Path("fuzz.json"))
    parser.add_argument("--minimise", type=Path, help="a finding to make smaller instead")
    arguments = parser.parse_args()
    if arguments.minimise:
        minimise(arguments.minimise)
        return
    found = campaign(arguments.kinds, 60 * arguments.minutes, arguments.first, arguments.log)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
