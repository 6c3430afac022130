"""The pool does every item once, here or in processes, and says what became of each."""

import importlib
import os
import subprocess
import sys
from functools import partial

import pytest

from overtone import executor
from overtone.errors import InvalidInputError, OvertoneError

# A module of its own, since the processes have to be able to import it.
WORK = """
import os
import time
from overtone.errors import InvalidInputError

def slow():
    time.sleep(4)
    return 0

def add(state, item, report):
    report(0.5)
    if item == "die":
        os._exit(3)
    if item == "hang":
        time.sleep(1000)
    if item == "who":
        return os.getpid()
    if item == "threads":
        return os.environ["OPENBLAS_NUM_THREADS"]
    if item == "fail":
        raise InvalidInputError("cannot be added")
    return state + item
"""


@pytest.fixture
def add(tmp_path, monkeypatch):
    (tmp_path / "adding.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("adding").add
    monkeypatch.delitem(sys.modules, "adding")


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_item_is_done_with_the_state(add, jobs):
    seen = []
    done = dict(
        executor.map(
            partial(int, 10), add, [1, 2, 3], jobs=jobs, progress=lambda *at: seen.append(at)
        )
    )
    assert done == {1: 11, 2: 12, 3: 13}
    assert sorted(seen) == [(1, 0.5), (2, 0.5), (3, 0.5)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_work_raises_reaches_the_caller(add, jobs):
    with pytest.raises(InvalidInputError, match="cannot be added"):
        list(executor.map(int, add, ["fail", "fail"], jobs=jobs))


def test_processes_compute_in_one_thread_each_unless_told(add, monkeypatch):
    for given in ("", "3"):
        monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
        if given:
            monkeypatch.setenv("OPENBLAS_NUM_THREADS", given)
        done = executor.map(int, add, ["threads"], isolated=True)
        assert dict(done) == {"threads": given or "1"}
        assert os.environ.get("OPENBLAS_NUM_THREADS", "") == given


def test_an_item_whose_process_died_is_lost_or_an_error(add):
    items = ["die", 1]
    done = dict(executor.map(int, add, items, jobs=2, lost=lambda item, why: (item, why)))
    assert done == {"die": ("die", "the process working on it ended with code 3"), 1: 1}
    with pytest.raises(OvertoneError, match="die: the process working on it ended with code 3"):
        list(executor.map(int, add, items, jobs=2))


def test_alone_in_its_process_an_item_that_dies_ends_itself_only(add):
    lost = {"jobs": 1, "isolated": True, "lost": lambda item, why: why}
    done = dict(executor.map(int, add, [1, "die", 2], **lost))
    assert done == {1: 1, "die": "the process working on it ended with code 3", 2: 2}


def test_a_healthy_process_is_kept(add):
    first, second = (pid for _, pid in executor.map(int, add, ["who", "who"], isolated=True))
    assert first == second != os.getpid()


def test_no_process_is_left_when_ours_has_ended():
    script = (
        "from overtone import executor\nprint(list(executor.map(int, print, [7], isolated=True)))"
    )
    ours = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    with ours:
        ours.wait()
        os.set_blocking(ours.stderr.fileno(), False)
        # Each process holds standard error open; None would say that somebody still does.
        assert ours.stderr.read() == b""


def test_making_the_state_does_not_count_towards_the_timeout(add):
    slow = sys.modules["adding"].slow
    assert dict(executor.map(slow, add, [1, 2], isolated=True, timeout_s=3)) == {1: 1, 2: 2}


@pytest.mark.parametrize("timeout_s", [1e9, float("inf")])
def test_a_timeout_may_be_as_long_as_one_likes(add, timeout_s):
    assert dict(executor.map(int, add, [1], isolated=True, timeout_s=timeout_s)) == {1: 1}


def test_what_takes_longer_than_the_timeout_is_lost(add):
    done = executor.map(
        int, add, ["hang", 1], isolated=True, timeout_s=5, lost=lambda item, why: why
    )
    assert dict(done) == {"hang": "not done within 5 s, the timeout", 1: 1}
