"""A kept log says what the run's log said: all validations, the pace, the recipe, no step twice."""

import json

import pytest

from overtone.errors import InvalidInputError
from overtone.evaluation.runs import KEPT_LOSSES, kept, pace, parse, read_run, thinned

RECIPE = {"name": "tiny", "network": "tfilm", "model": {"filters": [4, 8]}}


def loss(step, seconds, **more):
    return {"step": step, "seconds": seconds, "loss": {"total": -step / 3}, **more}


def validation(step, seconds, snr_db):
    rows = [("spline", 15.0), ("tfilm", snr_db), ("gain", snr_db - 15)]
    rows = [{"label": label, "kuleshov_snr_db": value, "lsd": 2.0} for label, value in rows]
    return {"step": step, "seconds": seconds, "validation": rows, "score": snr_db}


@pytest.fixture
def run(tmp_path):
    """Return ``run(records)``: the folder of a run whose log holds them."""

    def make(records, recipe=RECIPE):
        folder = tmp_path / "run"
        (folder / "last").mkdir(parents=True, exist_ok=True)
        (folder / "last" / "config.json").write_text(json.dumps(recipe))
        lines = [json.dumps(record) + "\n" for record in records]
        (folder / "log.jsonl").write_text("".join(lines))
        return folder

    return make


def read_kept(folder):
    path = folder.with_name("name.jsonl")
    path.write_text(kept(folder), encoding="utf-8")
    return read_run(path)


def test_what_is_kept_has_every_validation_some_losses_and_the_recipe(run):
    records = [loss(step, step / 2) for step in range(1, 501)]
    records += [validation(500, 300, 16.0), *(loss(s, 50 + s / 2) for s in range(501, 1001))]
    records.append(validation(1000, 600, 15.5))
    done = read_kept(run(records))
    assert (done.name, done.network, done.header.recipe) == ("name", "tfilm", RECIPE)
    assert [record.step for record in done.validations] == [500, 1000]
    assert done.best.step == 500
    losses = [record.step for record in done.records if record.loss]
    assert len(losses) == KEPT_LOSSES
    assert (losses[0], losses[-1]) == (1, 1000)
    # The pace is that of the whole log, in which validation and halts are rare.
    assert done.header.step_seconds == 0.5
    assert done.found(done.best)["tfilm"]["kuleshov_snr_db"] == 16.0
    assert done.given(done.best)["tfilm"]["kuleshov_snr_db"] == 15.0


def test_keeping_is_reproducible(run):
    folder = run([loss(50, 1 / 3), validation(50, 30, 16.123456789)])
    assert kept(folder) == kept(folder)
    again = read_kept(folder)
    assert again.validations[0].score == pytest.approx(16.123456789, abs=1e-4)


def test_steps_that_a_resumed_run_did_again_count_once(run):
    records = [loss(50, 5), loss(100, 10), validation(100, 11, 15.2), loss(150, 16)]
    records += [loss(90, 9), loss(140, 15), validation(200, 22, 15.4), validation(200, 23, 15.4)]
    _, found = parse(run(records) / "log.jsonl")
    assert [record.step for record in found] == [50, 90, 140, 200]
    assert found[-1].seconds == 23


def test_the_pace_ignores_halts_and_knows_cpu_seconds(run):
    records = [loss(s, s + (1000 if s > 200 else 0), cpu_seconds=2.0 * s) for s in (50, 100, 150)]
    records += [loss(s, s + 1000, cpu_seconds=2.0 * s) for s in (250, 300, 350)]
    folder = run([*records, validation(350, 1400, 15.2)])
    done = read_kept(folder)
    assert (done.header.step_seconds, done.header.step_cpu_seconds) == (1.0, 2.0)
    assert pace([], "seconds") is None


def test_old_names_of_figures_and_clocks_are_read(run):
    folder = run(
        [loss(s, s, cpu_seconds=2.0 * s) for s in (50, 100)] + [validation(100, 101, 15.2)]
    )
    text = kept(folder)
    old = text.replace("kuleshov_", "lineage_").replace("cpu_seconds", "core_seconds")
    assert "lineage_snr_db" in old
    assert "step_core_seconds" in old
    again, known = folder / "old.jsonl", folder / "new.jsonl"
    again.write_text(old)
    known.write_text(text)
    assert read_run(again).records == read_run(known).records
    assert read_run(again).header == read_run(known).header


def test_a_header_in_the_log_is_believed(run):
    header = {"recipe": RECIPE | {"seed": 7}, "made": {"date": "2026-01-02"}, "more": 1}
    done = read_kept(run([header, loss(50, 5), validation(50, 6, 15.2)]))
    assert done.header.recipe["seed"] == 7
    assert done.header.made == {"date": "2026-01-02"}


def test_rows_by_cutoff_are_read_too(run):
    rows = [
        {"label": f"{hz}Hz", "lsd": 0.9, "lsd_hf": 1.1, "snr": 20, "input_lsd": 3, "input_snr": 21}
        for hz in (4000, 8000)
    ]
    record = {"step": 9, "seconds": 9.0, "validation": rows, "score": -0.9}
    done = read_kept(run([record], RECIPE | {"network": "extender"}))
    assert not done.on_patches
    assert done.figures == ["lsd", "lsd_hf", "snr"]
    assert done.given(done.best) == {hz: {"lsd": 3, "snr": 21} for hz in ("4000Hz", "8000Hz")}


def test_thinning_keeps_the_ends_and_the_order():
    assert thinned(range(5), 8) == [0, 1, 2, 3, 4]
    few = thinned(range(100), 8)
    assert (len(few), few[0], few[-1]) == (8, 0, 99)
    assert few == sorted(set(few))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no validation"),
        ("{", "line 1 is no record"),
        ('{"seconds": 3}\n', "line 1 is no record"),
        ('{"step": 1, "seconds": 3, "loss": {"total": 1}}\n', "holds no validation"),
    ],
)
def test_a_log_that_tells_nothing_is_named(run, text, message):
    folder = run([])
    (folder / "log.jsonl").write_text(text)
    with pytest.raises(InvalidInputError, match=rf"log\.jsonl: {message}"):
        kept(folder)


def test_what_is_no_run_is_named(run, tmp_path):
    with pytest.raises(InvalidInputError, match=r"none/log\.jsonl: no log"):
        kept(tmp_path / "none")
    folder = run([validation(50, 6, 15.2)])
    (folder / "last" / "config.json").unlink()
    with pytest.raises(InvalidInputError, match="run: no checkpoint with a recipe"):
        kept(folder)
    with pytest.raises(InvalidInputError, match="keep the run again"):
        read_run(folder / "log.jsonl")
