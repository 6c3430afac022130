"""Simulate a corpus on thousands of workers: ``python tools/simulate_cluster.py``.

Replays measured task times (docs/results/task_times.csv) over the batches that overtone.cluster
hands out. Machines are slower than the one that was measured by a normal share, one in a hundred by
three times, and die at random; their batches go to others, and a new machine comes. A driver takes
so long for each batch, one after another. A driver's share of the corpus is its own, so the one
with the slowest machines ends last: it is the one replayed. Prints a row of Markdown for each case.
"""

import argparse
import heapq
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from overtone import cluster

TIMES = Path(__file__).parents[1] / "docs" / "results" / "task_times.csv"
HOUR = 3600.0
DRAWS = 1_000_000
DEATHS = 100  # of a machine, more than there can be


@dataclass(frozen=True)
class Case:
    """A corpus, and what works on it. Times in seconds; a driver has its share of both."""

    name: str
    workers: int = 10_000
    drivers: int = 20
    cores: int = 64  # of a machine
    hours: float = 1e6
    driver_s: float = 0.00041
    stragglers: float = 0.01
    slowdown: float = 3.0
    life: float = 1000 * HOUR  # of a machine, on average
    start: float = 300.0  # until a new one works


def simulate(case: Case, times: np.ndarray, seed: int = 0) -> dict[str, float]:
    """Return hours until the end, and shares of the last driver's and its workers' time."""
    rng = np.random.default_rng(seed)
    workers = case.workers // case.drivers
    machines = -(-workers // case.cores)
    waiting = round(case.hours * HOUR / times[:, 0].mean() / case.drivers)
    item_s = times[:, 1].mean()
    deaths = np.cumsum(rng.exponential(case.life, (machines, DEATHS)), axis=1).tolist()
    pace = slowest_share(case, rng)
    sums = np.cumsum(rng.choice(times[:, 1], DRAWS)).tolist()
    at = 0
    # What a worker is at: when that ends, which worker it is, how many files, since when.
    events = [(case.start, worker, 0, case.start) for worker in range(workers)]
    free_at = used = lost = driver = now = 0.0
    while events:
        now, worker, files, began = heapq.heappop(events)
        machine = worker // case.cores
        died = deaths[machine][bisect(deaths[machine], began)]
        if died <= now:
            waiting += files
            lost += died - began
            begins = max(now, died + case.start)
            heapq.heappush(events, (begins, worker, 0, begins))
            continue
        used += now - began
        if not waiting:
            continue
        size = min(waiting, cluster.batch_size(item_s, waiting, workers))
        waiting -= size
        free_at = max(now, free_at) + case.driver_s
        driver += case.driver_s
        at = 0 if at + size >= len(sums) else at
        work = (sums[at + size] - sums[at]) * pace[machine]
        at += size
        heapq.heappush(events, (free_at + work, worker, size, free_at))
    return {
        "hours": now / HOUR,
        "busy": used / (now * workers),
        "lost": lost / (now * workers),
        "driver": driver / now,
    }


def slowest_share(case: Case, rng: np.random.Generator) -> np.ndarray:
    """Return how slow each machine of a driver is, of the one whose machines do least together."""
    shape = case.drivers, -(-(case.workers // case.drivers) // case.cores)
    usual = np.clip(rng.normal(1.0, 0.1, shape), 0.7, 1.5)
    slow = rng.permutation(usual.size).reshape(shape) < round(case.stragglers * usual.size)
    pace = np.where(slow, case.slowdown, usual)
    slowest: np.ndarray = pace[np.argmin((1 / pace).sum(axis=1))]
    return slowest


def cases() -> Iterator[Case]:
    """Yield what the page shows."""
    yield Case("the plan")
    yield Case("nothing fails, all alike", stragglers=0.0, life=1e12)
    yield Case("one driver", drivers=1)
    yield Case("a machine lives ten hours", life=10 * HOUR)
    yield Case("one in ten is three times slower", stragglers=0.1)
    yield Case("1000 workers", workers=1000, drivers=2)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=1e6, help="of audio")
    hours = parser.parse_args().hours
    times = np.loadtxt(TIMES, delimiter=",", skiprows=1)
    print("| case | workers | drivers | hours | workers busy | lost to deaths | a driver busy |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for case in cases():
        case = Case(**(case.__dict__ | {"hours": hours}))
        row = simulate(case, times)
        print(
            f"| {case.name} | {case.workers} | {case.drivers} | {row['hours']:.2f}"
            f" | {row['busy']:.1%} | {row['lost']:.2%} | {row['driver']:.1%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
