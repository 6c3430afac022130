"""The executor on a Ray cluster of three nodes, each of one core, on this machine."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import soundfile

import overtone.cluster
from overtone import enhance_files, executor
from overtone.degrade.conditions import matrix
from overtone.errors import InvalidInputError, MissingExtraError, OvertoneError
from overtone.evaluation import robustness, robustness_report

# One process of the tests must not end the cluster of another.
pytestmark = [
    pytest.mark.xdist_group("cluster"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

POISON = -1
# A codec, a filter, a noise and a level, in the order of the matrix.
CELLS = ("Bessel 8, 4 kHz", "mu-law, 8 kHz, 64 kbit/s", "white noise, 10 dB SNR", "peak, -60 dBFS")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    nodes = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    for _ in range(2):
        nodes.add_node(num_cpus=1)
    # One connection for all tests, which takes seconds, and is used where there is one.
    ray.init(address=nodes.address, log_to_driver=False, logging_level="CRITICAL")
    yield nodes
    ray.shutdown()
    nodes.shutdown()


# Defined within functions, so that they travel by value: processes of the cluster cannot import
# a module of tests.
def make_work(mark: Path, wait_s: float = 0.0) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def init() -> int:
        return 10

    def work(state: int, item: int, report: executor.Report) -> int:
        del report
        with mark.open("a") as file:
            file.write(f"{item}\n")
        if item == POISON:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(wait_s)
        return state * item

    return init, work


def lost(item: int, reason: str) -> str:
    return f"{item} lost: {reason}"


def test_every_item_comes_back_once(cluster: Any, tmp_path: Path) -> None:
    init, work = make_work(tmp_path / "mark")
    items = list(range(500))
    found = list(executor.map(init, work, items, cluster=cluster.address))
    assert sorted(found) == [(item, 10 * item) for item in items]
    assert len((tmp_path / "mark").read_text().split()) == len(items)


def test_an_item_that_kills_is_lost_alone(cluster: Any, tmp_path: Path) -> None:
    init, work = make_work(tmp_path / "mark")
    items = [*range(40), POISON, *range(40, 80)]
    found = dict(executor.map(init, work, items, cluster=cluster.address, lost=lost))
    assert found.pop(POISON) == "-1 lost: the process working on it ended"
    assert found == {item: 10 * item for item in range(80)}
    tries = (tmp_path / "mark").read_text().split().count(str(POISON))
    assert tries == overtone.cluster.MAX_DEATHS


def test_a_node_that_dies_costs_nothing_but_time(cluster: Any, tmp_path: Path) -> None:
    init, work = make_work(tmp_path / "mark", wait_s=0.02)
    node = cluster.add_node(num_cpus=1)
    running = executor.map(init, work, list(range(300)), cluster=cluster.address, lost=lost)
    found = [next(running) for _ in range(20)]
    cluster.remove_node(node, allow_graceful=False)
    found += running
    assert sorted(found) == [(item, 10 * item) for item in range(300)]


def test_what_takes_too_long_is_lost_and_nothing_else(cluster: Any) -> None:
    def work(state: None, item: float, report: executor.Report) -> float:
        del state, report
        time.sleep(item)
        return item

    items = [0.0, 60.0, 0.01]
    found = dict(
        executor.map(lambda: None, work, items, cluster=cluster.address, timeout_s=5, lost=lost)
    )
    assert found[60.0] == "60.0 lost: not done within 5 s, the timeout"
    assert (found[0.0], found[0.01]) == (0.0, 0.01)


def test_an_exception_of_the_work_comes_through(cluster: Any) -> None:
    def init() -> None:
        raise OvertoneError("no model here")

    with pytest.raises(OvertoneError, match=r"^no model here$"):
        list(executor.map(init, print, [1, 2], cluster=cluster.address))


def test_machines_with_other_versions_are_refused(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = overtone.cluster._here()
    monkeypatch.setattr(overtone.cluster, "_here", lambda: replace(here, overtone="9.9"))
    with pytest.raises(OvertoneError, match=r"has overtone .*, not 9\.9 on .*install the same"):
        list(executor.map(*make_work(tmp_path / "mark"), [1], cluster=cluster.address))


def test_files_have_the_bytes_that_one_process_makes(
    cluster: Any, examples_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # relative names mean the same on every machine
    sound = (examples_dir / "speech_en_8k.flac").read_bytes()
    for number in range(4):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / f"{number}.flac").write_bytes(sound)
    (tmp_path / "in" / "bad.flac").write_bytes(b"fLaC")
    alone = enhance_files("in", "one/")
    shared = enhance_files("in", "many/", cluster=cluster.address)
    assert len(alone) == len(shared) == 5
    assert {one.error for one in alone} == {one.error for one in shared}
    for name in (f"{number}.flac" for number in range(4)):
        assert Path("one", name).read_bytes() == Path("many", name).read_bytes()
    again = enhance_files("in", "many/", cluster=cluster.address, resume=True)
    assert sum(one.existing is not None for one in again) == 4


def test_the_robustness_matrix_is_what_one_process_measures(
    cluster: Any, tmp_path: Path, make_noise: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "a.wav", make_noise(48_000, 1.5).T, 48_000)
    few = [cell for cell in matrix(48_000) if cell.name in CELLS]
    assert len(few) == len(CELLS)
    monkeypatch.setattr(robustness, "matrix", lambda *_: few)

    def measure(**where: Any) -> str:
        return robustness_report.to_json(
            robustness.run_matrix("speech", tmp_path, clips=1, seconds=1.0, seed=0, **where)
        )

    assert measure(cluster=cluster.address) == measure()


# Ray ends a process whose cluster is gone, so this takes one of its own.
GONE = """
import sys, time
from ray.cluster_utils import Cluster
import overtone.cluster
from overtone import executor
from overtone.errors import OvertoneError

overtone.cluster.LOOK_S = 0.2
nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
def work(state, item, report):
    time.sleep(0.2)
try:
    for _ in executor.map(lambda: None, work, list(range(600)), cluster=nodes.address):
        nodes.head_node.kill_all_processes(check_alive=False, allow_graceful=False)
except OvertoneError as error:
    sys.exit(f"overtone: {error}")
"""


def test_a_cluster_that_goes_away_is_one_clear_line() -> None:
    pytest.importorskip("ray")
    done = subprocess.run(
        [sys.executable, "-c", GONE], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    assert re.search(r"overtone: the cluster \S+ went away \(.*\)$", done.stderr, re.MULTILINE)


def test_no_cluster_is_one_clear_line() -> None:
    ray = pytest.importorskip("ray")
    ray.shutdown()  # what the other tests were connected to
    # The token: Ray itself says only that it failed to connect to such a cluster.
    remedy = r"127\.0\.0\.1:1.*not reached.*ray start --head.*RAY_AUTH_MODE=token"
    with pytest.raises(InvalidInputError, match=remedy):
        list(executor.map(print, print, [1], cluster="127.0.0.1:1"))


def test_no_ray_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"overtone\[cluster\]"):
        list(executor.map(print, print, [1], cluster="auto"))


def test_shards_part_the_items() -> None:
    items = list(range(23))
    parts = [executor.take_shard(items, (part, 4)) for part in (1, 2, 3, 4)]
    assert sorted(item for part in parts for item in part) == items
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    with pytest.raises(InvalidInputError, match="5/4"):
        executor.take_shard(items, (5, 4))
