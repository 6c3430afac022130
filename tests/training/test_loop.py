"""The training loop learns, and a run cut anywhere and resumed ends where an uncut one does."""

import json
import math
import signal
import threading
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from filelock import FileLock

from overtone.data.crops import Batch, CropSampler
from overtone.degrade.lowpass import LowPass, apply
from overtone.errors import ConfigError
from overtone.models.extender import Prediction, SpectralExtender
from overtone.models.stft import frames
from overtone.training import loop, spectral
from overtone.training.checkpoint import load_model
from overtone.training.optimiser import learning_rate, update_ema
from overtone.training.watch import Heartbeat, Stopped


@pytest.fixture
def run(tmp_path, examples_dir, cache):
    """Train on the example recordings; returns the checkpoint and what was said."""

    def train(config, name="run", *, stopped=False, **options):
        said = []
        options = {"cache": cache, "compile_model": False, "log": said.append} | options
        with pytest.raises(Stopped) if stopped else nullcontext():
            loop.train(config, examples_dir, tmp_path / name, **options)
        return tmp_path / name / "last", said

    return train


@pytest.fixture
def at_step(monkeypatch):
    """Do something, once, in the main thread when a step is done and not yet counted."""

    def arrange(wanted, action):
        original = loop.update_ema

        def spy(ema, model, step, decay):
            original(ema, model, step, decay)
            if step + 1 == wanted:
                monkeypatch.setattr(loop, "update_ema", original)
                action()

        monkeypatch.setattr(loop, "update_ema", spy)

    return arrange


def weights_of(last):
    """Averaged and live weights and optimiser moments, to the bit."""
    return [(last / name).read_bytes() for name in ("model.safetensors", "resume.safetensors")]


def records(last):
    return [json.loads(line) for line in (last.parent / "log.jsonl").read_text().splitlines()]


def test_training_lowers_the_loss_of_a_batch_it_has_not_seen(run, tiny, store):
    config = tiny(optimiser={"steps": 40, "learning_rate": 5e-3, "batch_size": 4})
    model, _, progress = load_model(run(config)[0])
    sampler = CropSampler(
        store, config.corpora, config.degrade, sample_rate=48000, crop_samples=5184, seed=99
    )
    batch = sampler.batch(0, range(8))
    torch.manual_seed(config.seed)
    untrained = SpectralExtender(config.model)
    with torch.no_grad():
        before, after = (
            spectral.losses(network, network.predict, batch, config)[0]
            for network in (untrained, model)
        )
    assert progress["step"] == 40
    # Forty quick steps magnify rounding: batches that differ by 1e-7 end 3 % apart.
    assert after["total"] < 0.95 * before["total"]
    for name in ("signal", "log_magnitude", "compressed"):
        assert after[name] < before[name], name


def test_a_run_stopped_and_resumed_ends_where_an_unstopped_one_does(run, tiny, at_step):
    config = tiny()
    whole, _ = run(config, "whole")
    at_step(3, lambda: signal.raise_signal(signal.SIGTERM))
    cut, _ = run(config, "cut", stopped=True)
    assert json.loads((cut / "progress.json").read_text())["step"] == 3
    assert weights_of(cut) != weights_of(whole)
    run(config, "cut", resume=True)
    assert weights_of(cut) == weights_of(whole)


def test_a_run_that_crashed_resumes_from_its_last_save_to_the_same_end(run, tiny, at_step):
    config = tiny()
    whole, _ = run(config, "whole")

    def crash():
        raise MemoryError

    at_step(5, crash)
    with pytest.raises(MemoryError):
        run(config, "cut", checkpoint_minutes=0)
    cut, _ = run(config, "cut", resume=True)
    assert weights_of(cut) == weights_of(whole)


def test_the_clocks_go_on_over_a_resume(run, tiny, at_step):
    config = tiny()
    at_step(3, lambda: signal.raise_signal(signal.SIGTERM))
    cut, _ = run(config, stopped=True)
    before = json.loads((cut / "progress.json").read_text())
    assert before["cpu_seconds"] > 0
    run(config, resume=True)
    last = records(cut)[-1]
    for clock in ("seconds", "cpu_seconds"):
        assert last[clock] > before[clock] - 0.1, clock  # the log has tenths


def test_training_is_repeatable_and_the_seed_matters(run, tiny):
    config = tiny(optimiser={"steps": 2})
    once, again, other = (
        run(c, name)[0] for c, name in [(config, "a"), (config, "b"), (tiny(seed=4), "c")]
    )
    assert weights_of(once) == weights_of(again)
    assert weights_of(once) != weights_of(other)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_request_saves_and_ends_the_run(run, tiny, at_step, number):
    before = signal.getsignal(number)
    at_step(2, lambda: signal.raise_signal(number))
    last, said = run(tiny(optimiser={"steps": 10_000}), stopped=True)
    assert load_model(last)[2]["step"] == 2
    assert said[-1] == f"stopped at step 2 of 10000; checkpoint in {last}"
    assert signal.getsignal(number) is before


def test_a_run_stopped_while_it_compiles_ends_at_once_and_resumes_to_the_same_end(
    run, tiny, monkeypatch
):
    """Ctrl-C reaches the compilers, too, which then fail: by then weights may have changed."""
    config = tiny()
    whole, _ = run(config, "whole")
    step, reached = spectral.SpectralTask.step, []

    def interrupted(task, batch, number):
        step(task, batch, number)
        signal.raise_signal(signal.SIGINT)
        reached.append(number)
        return {}

    with monkeypatch.context() as patch:
        patch.setattr(spectral.SpectralTask, "step", interrupted)
        cut, said = run(config, "cut", stopped=True)
    assert reached == []
    assert said[-1] == f"stopped at step 0 of 6; checkpoint in {cut}"
    run(config, "cut", resume=True)
    assert weights_of(cut) == weights_of(whole)


def test_no_checkpoint_holds_half_a_step(run, tiny, monkeypatch):
    """As where another process is killed, and torchrun then sends SIGTERM to this one."""
    config = tiny()
    whole, _ = run(config, "whole")
    step = spectral.SpectralTask.step

    def interrupted(task, batch, number):
        figures = step(task, batch, number)
        if number == 3:
            signal.raise_signal(signal.SIGTERM)
            raise ConfigError("rank 1 has ended")
        return figures

    with monkeypatch.context() as patch:
        patch.setattr(spectral.SpectralTask, "step", interrupted)
        with pytest.raises(ConfigError, match="rank 1 has ended"):
            run(config, "cut", checkpoint_minutes=0)
    cut, said = run(config, "cut", resume=True)
    assert weights_of(cut) == weights_of(whole)
    assert said[-1] == f"done, 6 steps; checkpoint in {cut}"


def test_validation_is_broken_off_to_save(run, tiny, monkeypatch):
    def validate(*_):
        signal.raise_signal(signal.SIGTERM)
        raise AssertionError("was not broken off")

    monkeypatch.setattr(spectral.SpectralTask, "validate", validate)
    last, _ = run(tiny(optimiser={"steps": 2}))
    assert load_model(last)[2]["step"] == 2
    assert not any("validation" in record for record in records(last))


def test_before_training_begins_a_stop_request_is_the_end(run, tiny, monkeypatch):
    monkeypatch.setattr(loop, "make_task", lambda *_, **__: signal.raise_signal(signal.SIGTERM))
    last, said = run(tiny(), stopped=True)
    assert said[-1].startswith("stopped before training began")
    assert not last.parent.exists()


def test_a_run_is_not_silent(run, tiny, monkeypatch):
    monkeypatch.setattr(loop, "REPORT_S", 0.0)
    monkeypatch.setattr(loop, "FIRST_REPORT_S", 0.0)
    _, said = run(tiny(optimiser={"steps": 3}))
    assert [line.split()[:2] for line in said[1:4]] == [["step", f"{n}/3"] for n in (1, 2, 3)]
    said, heard = [], threading.Event()
    with Heartbeat(lambda line: (said.append(line), heard.set()), silence_s=0.01) as beat:
        beat.doing = "compiling"
        assert heard.wait(30)
    assert said[0] == "0 min: still compiling"


def test_a_folder_that_another_process_trains_in_is_refused(run, tiny, tmp_path):
    config = tiny(optimiser={"steps": 1})
    (tmp_path / "run").mkdir()
    with (
        FileLock(tmp_path / "run" / "lock"),
        pytest.raises(ConfigError, match=r"run: another process is training there; .*--out"),
    ):
        run(config)
    last, _ = run(config)
    assert load_model(last)[2]["step"] == 1


def test_what_fails_within_a_run_is_not_laid_on_its_folder(run, tiny, monkeypatch):
    def fail(*_):
        raise OSError("a disk that went away")

    monkeypatch.setattr(loop, "update_ema", fail)
    with pytest.raises(OSError, match="went away"):
        run(tiny(optimiser={"steps": 1}))


def test_a_run_is_not_begun_over_an_existing_one(run, tiny):
    config = tiny(optimiser={"steps": 1})
    last, _ = run(config)
    before = weights_of(last)
    with pytest.raises(ConfigError, match=r"run: holds a run already; .*--resume.*--output"):
        run(config)
    # Nor where the process was killed while it put a new checkpoint into place.
    last.rename(last.with_name("last.old"))
    with pytest.raises(ConfigError, match="holds a run already"):
        run(config)
    assert weights_of(last) == before


def test_a_finished_run_resumed_changes_nothing(run, tiny):
    config = tiny(optimiser={"steps": 2})
    last, _ = run(config)
    before = weights_of(last)
    run(config, resume=True)
    assert weights_of(last) == before


def test_a_run_is_not_resumed_to_where_it_has_been(run, tiny):
    last, _ = run(tiny(optimiser={"steps": 3}))
    before = {path: path.read_bytes() for path in last.parent.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match=r"last: 3 steps are done, more than the 2 asked for"):
        run(tiny(optimiser={"steps": 2}), resume=True)
    assert before == {path: path.read_bytes() for path in last.parent.rglob("*") if path.is_file()}


def test_what_cannot_be_scored_leaves_no_best(run, tiny, monkeypatch):
    monkeypatch.setattr(spectral.SpectralTask, "score", lambda self, rows: -math.inf)
    last, said = run(tiny())
    assert not (last.parent / "best").exists()
    assert "clips too short to score: no best is kept; give longer validation clips" in said
    assert "Infinity" not in (last.parent / "log.jsonl").read_text()


def test_there_must_be_something_to_resume(run, tiny):
    with pytest.raises(
        ConfigError, match=r"last: no checkpoint to resume from; leave out --resume"
    ):
        run(tiny(), resume=True)


def test_another_model_is_not_resumed(run, tiny):
    run(tiny(optimiser={"steps": 1}))
    with pytest.raises(ConfigError, match="blocks 2 and not 3"):
        run(tiny(model={"blocks": 3}), resume=True)


def test_a_damaged_run_is_not_resumed(run, tiny):
    last, _ = run(tiny(optimiser={"steps": 1}))
    (last / "resume.safetensors").write_bytes(b"rubbish")
    with pytest.raises(ConfigError, match="last: damaged"):
        run(tiny(), resume=True)


def test_a_folder_that_cannot_be_written_is_named_with_the_cure(run, tiny, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"file/run: cannot write .*--out"):
        run(tiny(), "file/run")


def test_missing_recordings_leave_nothing_behind(tmp_path, tiny):
    with pytest.raises(ConfigError, match=r"'speech'.*at least 2 are needed"):
        loop.train(tiny(), tmp_path, tmp_path / "run", cache=tmp_path / "cache")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("loss", lambda weight: (weight * math.nan).sum()),
        # The root of zero is fine, and its slope is not.
        ("gradient", lambda weight: (weight * 0).sum().sqrt()),
    ],
)
def test_numbers_that_are_not_finite_stop_the_run_before_the_weights(
    run, tiny, monkeypatch, what, value
):
    config, calls, losses = tiny(), [], spectral.losses

    def fail_at_the_third(model, *arguments):
        calls.append(1)
        if len(calls) == 3:
            return {"total": value(model.norm.weight)}, None
        return losses(model, *arguments)

    monkeypatch.setattr(spectral, "losses", fail_at_the_third)
    message = f"the {what} is not finite at step 2; lower optimiser.learning_rate"
    with pytest.raises(ConfigError, match=message):
        run(config, checkpoint_minutes=0)
    monkeypatch.setattr(spectral, "losses", losses)
    last, _ = run(config, resume=True)
    whole, _ = run(config, "whole")
    assert weights_of(last) == weights_of(whole)


def test_the_log_holds_losses_and_validation(run, tiny):
    last, said = run(tiny())
    loss, validation = records(last)
    assert loss["step"] == validation["step"] == 6
    terms = loss["loss"]
    weights = tiny().loss
    assert terms["total"] == pytest.approx(
        sum(getattr(weights, name) * value for name, value in terms.items() if name != "total"),
        rel=1e-5,
    )
    (row,) = validation["validation"]
    assert row["label"] == "4000Hz"
    assert {"lsd", "lsd_hf", "lsd_lf", "snr"} <= row.keys()
    assert all(math.isfinite(value) for name, value in row.items() if name != "label")
    assert [line.split()[0] for line in said] == ["tiny", "step", "validation", "done,"]
    assert list((last.parent / "tensorboard").iterdir())


def test_validation_takes_place_along_the_way(run, tiny):
    config = tiny(optimiser={"steps": 2}, validation={"every_minutes": 1e-9})
    last, _ = run(config)
    assert [r["step"] for r in records(last) if "validation" in r] == [1, 2]


@pytest.fixture
def oracle_batch(tiny, examples_dir):
    """A recording with and without its top, and a prediction that is right."""
    config = tiny()
    c = config.model
    rng = np.random.default_rng(4)
    clean = (0.05 * rng.standard_normal((2, c.window_samples + 23 * c.hop_samples))).astype("f4")
    cutoff_hz = np.array([4000, 8000], "f4")
    low = np.stack(
        [
            apply(x, c.sample_rate, LowPass("brickwall", float(hz)))
            for x, hz in zip(clean, cutoff_hz, strict=True)
        ]
    )
    batch = Batch(clean, low, cutoff_hz, np.array([24000, 20000], "f4"))

    def predict(spectrum, cutoff_hz, context):
        target = frames(torch.from_numpy(clean), c.window_samples, c.hop_samples)
        assert spectrum.shape[1] == target.shape[1] + c.lookahead_frames
        # Frame t is due when frame t + lookahead has arrived.
        late = torch.cat([torch.ones_like(target[:, : c.lookahead_frames]), target], dim=1)
        phase = late / late.abs()
        return Prediction(late.abs().log(), phase.real, phase.imag, torch.ones(late.shape), context)

    return SimpleNamespace(config=config, batch=batch, predict=predict)


def test_a_right_prediction_costs_nothing(oracle_batch):
    model = SpectralExtender(oracle_batch.config.model)
    terms, _ = spectral.losses(model, oracle_batch.predict, oracle_batch.batch, oracle_batch.config)
    assert terms["log_magnitude"] < 1e-3
    assert terms["compressed"] < 1e-5
    assert terms["fidelity"] < 1e-5
    # Windows of the loss that straddle the edge see a little of the filter there.
    assert terms["signal"] < 0.05


def test_a_prediction_that_comes_late_costs(oracle_batch):
    model = SpectralExtender(oracle_batch.config.model)

    def late(*arguments):
        found = oracle_batch.predict(*arguments)
        return Prediction(*(head.roll(1, 1) for head in found[:3]), *found[3:])

    terms, _ = spectral.losses(model, late, oracle_batch.batch, oracle_batch.config)
    assert terms["signal"] > 0.2
    assert terms["log_magnitude"] > 0.2


def test_the_network_is_shown_nothing_but_the_degraded_recording(oracle_batch):
    config, batch = oracle_batch.config, oracle_batch.batch
    model, seen = SpectralExtender(config.model), []

    def spy(spectrum, cutoff_hz, context):
        seen.append(spectrum)
        return oracle_batch.predict(spectrum, cutoff_hz, context)

    spectral.losses(model, spy, batch, config)
    c = config.model
    wanted = frames(torch.from_numpy(batch.low), c.window_samples, c.hop_samples)
    assert torch.equal(seen[0][:, : wanted.shape[1]], torch.view_as_real(wanted))
    assert (seen[0][:, wanted.shape[1] :] == 0).all()


def test_every_weight_gets_a_gradient(oracle_batch):
    config = oracle_batch.config
    model = SpectralExtender(config.model)
    spectral.losses(model, model.predict, oracle_batch.batch, config)[0]["total"].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_the_learning_rate_warms_up_holds_and_falls_to_zero(tiny):
    config = tiny(
        optimiser={"steps": 100, "warmup_steps": 10, "decay_fraction": 0.4, "learning_rate": 0.01}
    )
    rates = [learning_rate(step, 100, config.optimiser) for step in range(101)]
    assert np.allclose(rates[:10], 0.001 * np.arange(1, 11))
    assert np.allclose(rates[9:60], 0.01)
    # Half of it half way down the cosine, and a raised cosine in between.
    assert rates[80] == pytest.approx(0.005)
    assert np.allclose(rates[60:], 0.01 * np.cos(np.pi / 2 * np.arange(41) / 40) ** 2)


def test_the_average_follows_the_weights_at_its_decay(tiny):
    model = SpectralExtender(tiny().model)
    ema = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    update_ema(ema, model, step=10**6, decay=0.9)
    for name, value in model.state_dict().items():
        assert torch.allclose(ema[name], 0.1 * value)
    # A young average is nearly the weights themselves.
    update_ema(ema, model, step=0, decay=0.9)
    for name, value in model.state_dict().items():
        assert torch.allclose(ema[name], 0.1 * 0.1 * value + 0.9 * value)
