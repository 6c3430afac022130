"""A batch yields one outcome a file, whatever happens to the file or to the process at it."""

import importlib
import multiprocessing
import os
import time

import pytest

from overtone.errors import OvertoneError
from overtone.inference.jobs import Settings, Task, run

# A module of its own, since the processes of a batch have to be able to import it.
FAKE_ENHANCER = '''
import os, signal, time
from overtone.errors import AudioFileError, ModelError

class FakeEnhancer:
    """Does what the source's name says; its report is (name, process, threads, options)."""

    def __init__(self, threads):
        self.threads = threads

    def enhance_file(self, source, destination, *, progress=None, **options):
        what = source.stem.split("-")[0]
        if what == "bad":
            raise AudioFileError(f"{source} is not audio:\\n no header")
        if what == "full":
            raise OSError(28, "No space left on device", str(destination))
        if what == "defect":
            raise TypeError("unexpected thing")
        if what == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "exits":
            os._exit(7)
        if what == "endless":
            part = destination.with_suffix(".part")
            part.touch()
            try:
                while True:
                    time.sleep(0.01)
            finally:
                part.unlink()
        for step in range(1001):
            if progress:
                progress(step / 1000)
        return source.name, os.getpid(), self.threads, options

def make(settings, threads):
    if settings.model == "missing":
        raise ModelError("no model 'missing'")
    if settings.model == "dies":
        os._exit(3)
    return FakeEnhancer(threads)
'''


@pytest.fixture
def make(tmp_path, monkeypatch):
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "fake_enhancer.py").write_text(FAKE_ENHANCER)
    monkeypatch.syspath_prepend(folder)
    yield importlib.import_module("fake_enhancer").make
    monkeypatch.delitem(importlib.sys.modules, "fake_enhancer")


@pytest.fixture
def tasks_for(tmp_path):
    def tasks(*names):
        return [Task(tmp_path / f"{name}.wav", tmp_path / "out" / f"{name}.wav") for name in names]

    return tasks


def outcomes_by_name(*arguments, **options):
    return {outcome.source.stem: outcome for outcome in run(*arguments, **options)}


@pytest.mark.parametrize("jobs", [1, 2])
def test_bad_files_are_outcomes_and_the_rest_is_done(make, tasks_for, jobs):
    tasks = tasks_for("good-1", "bad-1", "full-1", "defect-1", "good-2")
    outcomes = outcomes_by_name(tasks, Settings(), jobs=jobs, make_enhancer=make)
    assert list(outcomes) == [task.source.stem for task in tasks] or jobs > 1
    assert {name for name, outcome in outcomes.items() if outcome.report} == {"good-1", "good-2"}
    assert outcomes["bad-1"].error == f"{tasks[1].source} is not audio: no header"
    full = outcomes["full-1"].error
    assert full == f"{tasks[2].source}: No space left on device: {tasks[2].destination}"
    assert "TypeError: unexpected thing" in outcomes["defect-1"].error
    assert "Traceback" in outcomes["defect-1"].defect
    assert outcomes["bad-1"].defect is None


@pytest.mark.parametrize("jobs", [1, 2])
def test_settings_reach_the_enhancer(make, tasks_for, jobs):
    settings = Settings(
        output_rate=44100,
        cutoff_hz=3400.0,
        subtype="PCM_24",
        overwrite=True,
        tags=False,
        skip_unchanged=True,
        target_lufs=-23.0,
    )
    for outcome in run(tasks_for("a", "b"), settings, jobs=jobs, make_enhancer=make):
        *_, options = outcome.report
        assert options == {
            "output_rate": 44100,
            "cutoff_hz": 3400.0,
            "subtype": "PCM_24",
            "overwrite": True,
            "tags": False,
            "copy_to": None,
            "skip_unchanged": True,
            "select": (),
            "target_lufs": -23.0,
        }


def test_one_job_runs_here_and_two_run_in_two_processes_of_one_thread(make, tasks_for):
    here = [o.report for o in run(tasks_for("a", "b"), Settings(), make_enhancer=make)]
    assert {(process, threads) for _, process, threads, _ in here} == {(os.getpid(), None)}
    there = [o.report for o in run(tasks_for(*"abcd"), Settings(), jobs=2, make_enhancer=make)]
    assert sorted(name for name, *_ in there) == ["a.wav", "b.wav", "c.wav", "d.wav"]
    processes = {process for _, process, *_ in there}
    assert len(processes) <= 2
    assert os.getpid() not in processes
    assert {threads for *_, threads, _ in there} == {1}


def test_a_process_that_dies_costs_only_the_file_it_held(make, tasks_for):
    tasks = tasks_for("killed", "good-1", "exits", "good-2", "good-3")
    outcomes = outcomes_by_name(tasks, Settings(), jobs=2, make_enhancer=make)
    assert len(outcomes) == len(tasks)
    assert {name for name, outcome in outcomes.items() if outcome.report} == {
        "good-1",
        "good-2",
        "good-3",
    }
    assert "killed.wav: the process working on it was ended by SIGKILL" in outcomes["killed"].error
    assert "exits.wav: the process working on it ended with code 7" in outcomes["exits"].error


@pytest.fixture
def children():
    """Processes that other tests have left, such as a server's."""
    return set(multiprocessing.active_children())


def test_processes_that_never_start_are_reported_for_each_file(make, tasks_for):
    outcomes = list(run(tasks_for(*"abc"), Settings(model="dies"), jobs=2, make_enhancer=make))
    assert len(outcomes) == 3
    assert all("ended with code 3" in outcome.error for outcome in outcomes)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_missing_model_ends_the_batch_once(make, tasks_for, children, jobs):
    with pytest.raises(OvertoneError, match="no model 'missing'"):
        list(run(tasks_for(*"abc"), Settings(model="missing"), jobs=jobs, make_enhancer=make))
    assert set(multiprocessing.active_children()) <= children


@pytest.mark.parametrize("jobs", [1, 2])
def test_progress_grows_to_the_end_of_each_file(make, tasks_for, jobs):
    seen: dict[Task, list[float]] = {}
    tasks = tasks_for("a", "b")
    list(
        run(
            tasks,
            Settings(),
            jobs=jobs,
            progress=lambda task, fraction: seen.setdefault(task, []).append(fraction),
            make_enhancer=make,
        )
    )
    assert set(seen) == set(tasks)
    for fractions in seen.values():
        assert fractions == sorted(fractions)
        assert fractions[-1] > 0.98
        assert jobs == 1 or len(fractions) <= 101


def test_leaving_a_batch_stops_its_processes_and_their_files_are_cleaned_up(
    make, tasks_for, children
):
    tasks = tasks_for("good", "endless", "endless-2")
    outcomes = run(tasks, Settings(), jobs=2, make_enhancer=make)
    assert next(outcomes).source.stem == "good"
    part = tasks[1].destination.with_suffix(".part")
    deadline = time.monotonic() + 30
    while not part.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert part.exists()
    outcomes.close()
    assert set(multiprocessing.active_children()) <= children
    assert list(part.parent.iterdir()) == []


def test_no_tasks_give_no_outcomes(make):
    assert list(run([], Settings(model="missing"), jobs=4, make_enhancer=make)) == []
