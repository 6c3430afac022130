"""``overtone benchmark speed``: every number is measured, said in three ways, and finite."""

import json
import sys

import numpy as np
import pytest
import soundfile

from overtone.cli import main
from overtone.errors import InvalidInputError, OvertoneError
from overtone.evaluation import speed as speed_module
from overtone.evaluation.speed import (
    BlockCost,
    CommandCost,
    ModelSpeed,
    as_json,
    budget_rows,
    measure,
    parse_lengths,
    write_recording,
)
from overtone.evaluation.speed_report import duration, jobs_sentence, page, write_page


def cost(audio_s, cpu_s, threads=1, channels=1):
    return CommandCost(audio_s, channels, threads, 2 * cpu_s, cpu_s, 150_000_000)


SPEED = ModelSpeed(
    "toy",
    1_000_000,
    start=cost(1, 0.4),
    main=(cost(300, 3), cost(300, 3.3, None)),
    block=BlockCost(10, 0.001, 0.002, 0.009, 0.0008, 0.0015, 0.056),
    budget_s={"network": 2.0, "writing": 0.5, "resampling": 0.5},
    lengths=(cost(1, 0.4), cost(600, 8)),
    jobs_wall_s={1: 8.0, 2: 4.2},
)


@pytest.fixture
def benchmark(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["overtone", "benchmark", *arguments])
        with pytest.raises(SystemExit) as exit_:
            main()
        return exit_.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def measured(monkeypatch):
    """Let the command take SPEED for measured, and return the calls."""
    calls = []

    def measure(name, **settings):
        calls.append((name, settings))
        return SPEED

    monkeypatch.setattr(speed_module, "measure", measure)
    return calls


def test_a_real_measurement_is_complete(monkeypatch):
    monkeypatch.setattr(speed_module, "LIVE_BLOCKS", 20)
    monkeypatch.setattr(speed_module, "JOBS_FILE_S", 0.5)
    lines = []
    speed = measure("auto", seconds=1.5, lengths_s=[0.5], jobs=2, log=lines.append)
    assert speed.main[0].threads == 1
    for one in (speed.start, *speed.main, *speed.lengths):
        assert one.wall_s > 0
        # A process has its own account, and an interpreter with numpy is not free.
        assert 0.05 < one.cpu_s < 60
        assert 20e6 < one.peak_bytes < 1e9
    assert speed.main[0].audio_s == 1.5
    assert (speed.lengths[0].audio_s, speed.lengths[0].channels) == (0.5, 2)
    assert 0 < speed.block.median_s <= speed.block.p99_s <= speed.block.worst_s
    assert speed.block.latency_s == pytest.approx(1792 / 48000)
    assert sorted(speed.jobs_wall_s) == [1, 2]
    # Every stage was found by its name, and the network is one of the large ones.
    assert all(seconds > 0 for seconds in speed.budget_s.values())
    assert speed.budget_s["network"] > speed.budget_s["resampling"]
    assert len(lines) == 6


def test_a_command_that_fails_is_named(tmp_path):
    write_recording(tmp_path / "a.wav", 0.1, 1)
    with pytest.raises(OvertoneError, match="no model"):
        speed_module.run_enhance([tmp_path / "a.wav"], "no such model", 1)


@pytest.mark.parametrize("seconds", [0.1, 10.0, 23.45])
def test_recordings_are_as_long_as_asked_and_sound(tmp_path, seconds):
    path = tmp_path / "call.wav"
    write_recording(path, seconds, 2)
    samples, rate = soundfile.read(path)
    assert samples.shape == (round(seconds * 16000), 2)
    assert rate == 16000
    assert 0.1 < np.abs(samples).max() <= 0.7
    assert np.abs(samples[:, 0] - samples[:, 1]).max() > 0.1


def test_the_table_has_the_cost_of_a_second(benchmark, measured):
    code, out, err = benchmark("speed", "-m", "toy", "--lengths", "")
    assert (code, err) == (0, "")
    assert "0.0100" in out  # 3 CPU-seconds for 300 s
    assert measured[0][0] == "toy"
    assert measured[0][1]["lengths_s"] == []


def test_every_shipped_model_is_measured(benchmark, measured, monkeypatch):
    models = [type("Info", (), {"name": name}) for name in ("music", "speech")]
    monkeypatch.setattr("overtone.inference.model.list_models", lambda: models)
    assert benchmark("speed", "--seconds", "5")[0] == 0
    assert [name for name, _ in measured] == ["music", "speech"]
    assert all(settings["seconds"] == 5 for _, settings in measured)


def test_json_has_it_all(benchmark, measured):
    code, out, _ = benchmark("speed", "-m", "toy", "--json")
    content = json.loads(out)
    assert code == 0
    assert content["models"][0]["main"][0]["cpu_s"] == 3
    assert content["models"][0]["block"]["p99_s"] == 0.002
    assert content["machine"]["processor"]
    assert json.loads(as_json([SPEED]))["models"] == content["models"]


def test_the_page_says_the_machine_and_shows_the_plot(benchmark, measured, tmp_path):
    path = tmp_path / "speed.md"
    code, _, err = benchmark("speed", "-m", "toy", "-j", "2", "--markdown", str(path))
    assert code == 0
    assert err == f"wrote {path}\nwrote {tmp_path / 'speed.svg'}\n"
    text = path.read_text(encoding="utf-8")
    for part in (
        "onnxruntime: ",
        "processor: ",
        "| toy | 1 | 0.0100 |",
        "| 10 min |",
        "1.90 times",
    ):
        assert part in text
    assert "(speed.svg)" in text
    assert "<svg" in (tmp_path / "speed.svg").read_text(encoding="utf-8")


def test_a_page_that_exists_is_kept_unless_asked(benchmark, measured, tmp_path):
    path = tmp_path / "speed.md"
    path.write_text("mine")
    code, _, err = benchmark("speed", "-m", "toy", "--markdown", str(path))
    assert (code, measured, path.read_text()) == (1, [], "mine")
    assert "--force" in err
    assert benchmark("speed", "-m", "toy", "--markdown", str(path), "--force")[0] == 0
    assert path.read_text(encoding="utf-8").startswith("# Speed")


def test_without_matplotlib_the_page_has_its_tables(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    command = "overtone benchmark speed -m speech"
    assert write_page([SPEED], tmp_path / "speed.md", command) == [tmp_path / "speed.md"]
    assert f"Made by `{command}`" in (tmp_path / "speed.md").read_text()
    assert "speed.svg" not in (tmp_path / "speed.md").read_text(encoding="utf-8")


def test_the_budget_adds_up_largest_first():
    rows = budget_rows(SPEED)
    assert rows[0] == {"stage": "network", "cpu_s": 2.0, "part": pytest.approx(200 / 3)}
    assert sum(row["part"] for row in rows) == pytest.approx(100)


def test_throughput_is_a_ratio_of_times():
    assert "4 files of 1 minute: 8.0 s" in jobs_sentence(SPEED)
    assert "1.90 times the throughput" in jobs_sentence(SPEED)


def test_a_page_of_no_lengths_has_no_table_of_them():
    speed = ModelSpeed("toy", 1, SPEED.start, SPEED.main, SPEED.block, SPEED.budget_s)
    assert "with length" not in page([speed], "overtone benchmark speed").markdown()


def test_lengths_have_units():
    assert parse_lengths("1, 10s,2m,10min,6h") == [1, 10, 120, 600, 21600]
    assert parse_lengths("") == []
    assert [duration(seconds) for seconds in (1, 90, 600, 3600)] == ["1 s", "90 s", "10 min", "1 h"]


@pytest.mark.parametrize("text", ["soon", "10x", "-1", "0", "100h", "nan", "1,,b"])
def test_lengths_that_are_none(benchmark, measured, text):
    with pytest.raises(InvalidInputError):
        parse_lengths(text)
    code, _, err = benchmark("speed", "-m", "toy", "--lengths", text)
    assert (code, measured) == (2, [])
    assert "length" in err
