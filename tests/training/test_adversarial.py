"""The adversary: its formulas, whom each side moves, and runs that resume exactly with one."""

import json
import signal
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from overtone.errors import ConfigError
from overtone.models.discriminators import DiscriminatorOutput
from overtone.models.extender import SpectralExtender
from overtone.training import loop, spectral
from overtone.training.adversarial import (
    AdversarialConfig,
    Adversary,
    DiscriminatorBatch,
    discriminator_hinge,
    feature_distance,
    generator_hinge,
)
from overtone.training.checkpoint import load_model
from overtone.training.families import load_recipe
from overtone.training.watch import Stopped

SMALL = {"windows": [256, 512], "channels": 4}


@pytest.fixture
def outputs():
    """Random outputs of two discriminators; the second item's band is the narrower one."""
    rng = np.random.default_rng(0)

    def make():
        found = []
        for frames, bins in ((5, 8), (3, 12)):
            inside = np.zeros((2, bins), "f4")
            inside[0, 2:] = 1
            inside[1, 4:6] = 1
            scores = rng.normal(0, 1.5, (2, frames, bins)).astype("f4")
            features = [rng.normal(0, 1, (2, 4, frames, bins)).astype("f4") for _ in range(2)]
            found.append((scores, inside, features))
        return found

    return make


def as_tensors(found):
    return [
        DiscriminatorOutput(
            torch.from_numpy(scores),
            torch.from_numpy(inside),
            [torch.from_numpy(f) for f in features],
            [torch.from_numpy(inside)] * len(features),
        )
        for scores, inside, features in found
    ]


def mean_inside(values, inside):
    """``[batch, frames, bins]``, item by item, in plain loops."""
    return np.mean([v[:, i > 0].mean() for v, i in zip(values, inside, strict=True)])


def test_hinge_losses_equal_their_formulas(outputs):
    real, fake = outputs(), outputs()
    wanted = np.mean([mean_inside(np.maximum(0, 1 - s), i) for s, i, _ in real])
    unwanted = np.mean([mean_inside(np.maximum(0, 1 + s), i) for s, i, _ in fake])
    found = discriminator_hinge(as_tensors(real), as_tensors(fake))
    assert float(found) == pytest.approx(wanted + unwanted, rel=1e-5)
    wanted = np.mean([mean_inside(np.maximum(0, 1 - s), i) for s, i, _ in fake])
    assert float(generator_hinge(as_tensors(fake))) == pytest.approx(wanted, rel=1e-5)


def test_feature_distance_is_relative_to_the_size_of_the_real_features(outputs):
    real, fake = outputs(), outputs()
    ratios = [
        mean_inside(np.abs(m - r).mean(1), inside) / mean_inside(np.abs(r).mean(1), inside)
        for (_, inside, wanted), (_, _, found) in zip(real, fake, strict=True)
        for r, m in zip(wanted, found, strict=True)
    ]
    found = feature_distance(as_tensors(real), as_tensors(fake))
    assert float(found) == pytest.approx(np.mean(ratios), rel=1e-4)
    assert feature_distance(as_tensors(real), as_tensors(real)) == 0


def test_an_item_without_a_band_does_not_count(outputs):
    fake = as_tensors(outputs())
    both = [j._replace(inside=torch.stack([j.inside[0], 0 * j.inside[0]])) for j in fake]
    alone = [j._replace(scores=j.scores[:1], inside=j.inside[:1]) for j in fake]
    assert generator_hinge(both) == pytest.approx(float(generator_hinge(alone)))
    nobody = [j._replace(inside=0 * j.inside) for j in fake]
    assert generator_hinge(nobody) == 0


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(3)
    real, fake = 0.1 * torch.randn(2, 2, 3000, generator=generator)
    level = torch.full((2,), 0.01)
    return DiscriminatorBatch(
        real, 0.3 * fake, level, torch.tensor([4e3, 9e3]), torch.tensor([24e3, 16e3])
    )


@pytest.fixture
def adversary():
    torch.manual_seed(4)
    return Adversary(AdversarialConfig(**SMALL), 48000, bfloat16=False)


def test_each_side_moves_itself_alone(adversary, pair):
    fake = pair.fake.requires_grad_()
    terms = adversary.generator_loss(pair._replace(fake=fake))
    (terms["adversarial"] + terms["features"]).backward()
    assert fake.grad.abs().max() > 0
    assert all(weight.grad is None for weight in adversary.network.parameters())
    fake.grad = None
    adversary.discriminator_loss(pair._replace(fake=fake))[0].backward()
    assert fake.grad is None
    for name, weight in adversary.network.named_parameters():
        assert weight.grad is not None, name
        assert torch.isfinite(weight.grad).all(), name


def test_the_discriminators_learn_to_tell_and_the_network_to_pass(adversary, pair):
    optimiser = torch.optim.AdamW(adversary.network.parameters(), 3e-3)
    for _ in range(30):
        loss, figures = adversary.discriminator_loss(pair)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(figures["discriminator"]) < 1
    assert figures["accuracy_real"] > 0.9
    assert figures["accuracy_fake"] > 0.9
    gain = torch.ones(1, requires_grad=True)
    terms = adversary.generator_loss(pair._replace(fake=gain * pair.fake))
    terms["adversarial"].backward()
    assert gain.grad < 0  # it is too soft


def test_the_discriminators_learn_every_so_many_steps():
    config = AdversarialConfig(start_step=5, every_steps=3)
    adversary = Adversary(config, 48000, bfloat16=False)
    assert [step for step in range(5, 15) if adversary.due(step)] == [5, 8, 11, 14]


@pytest.fixture
def run(tmp_path, examples_dir, cache):
    """Train on the example recordings; returns the checkpoint."""

    def train(config, name="run", *, stopped=False, **options):
        options = {"cache": cache, "compile_model": False, "log": lambda _: None} | options
        with pytest.raises(Stopped) if stopped else nullcontext():
            loop.train(config, examples_dir, tmp_path / name, **options)
        return tmp_path / name / "last"

    return train


@pytest.fixture
def opposed(tiny):
    """The tiny recipe with an adversary."""

    def make(**changes):
        return tiny(adversarial=SMALL | changes.pop("adversarial", {}), **changes)

    return make


def tensors_of(last):
    return [(last / name).read_bytes() for name in ("model.safetensors", "resume.safetensors")]


def losses_of(last):
    lines = (last.parent / "log.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines if "loss" in json.loads(line)]


def stop_at(monkeypatch, wanted):
    original = loop.update_ema

    def spy(ema, model, step, decay):
        original(ema, model, step, decay)
        if step + 1 == wanted:
            monkeypatch.setattr(loop, "update_ema", original)
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(loop, "update_ema", spy)


def test_a_run_with_an_adversary_is_resumed_exactly(run, opposed, monkeypatch):
    config = opposed(adversarial={"start_step": 1, "every_steps": 2})
    whole = run(config, "whole")
    stop_at(monkeypatch, 4)
    cut = run(config, "cut", stopped=True)
    assert json.loads((cut / "progress.json").read_text())["step"] == 4
    assert tensors_of(cut) != tensors_of(whole)
    run(config, "cut", resume=True)
    assert tensors_of(cut) == tensors_of(whole)


def test_the_adversary_is_saved_to_resume_and_never_to_export(run, opposed, tiny):
    last = run(opposed(optimiser={"steps": 2}))
    resume = load_file(last / "resume.safetensors")
    weights = {name for name in resume if name.startswith("discriminators.model.")}
    moments = {name for name in resume if name.startswith("discriminators.optimiser.exp_avg.")}
    assert len(weights) == len(moments) > 0
    exported = load_file(last / "model.safetensors")
    assert exported.keys() == SpectralExtender(tiny().model).state_dict().keys()


def test_before_its_first_step_an_adversary_changes_nothing(run, opposed, tiny, monkeypatch):
    plain = run(tiny(optimiser={"steps": 3, "decay_fraction": 0}), "plain")
    stop_at(monkeypatch, 3)
    waiting = run(
        opposed(
            optimiser={"steps": 4, "decay_fraction": 0},
            adversarial={"start_step": 3},
        ),
        "waiting",
        stopped=True,
    )
    assert tensors_of(waiting)[0] == tensors_of(plain)[0]


def test_an_adversary_that_would_begin_after_the_end_is_left_out(run, opposed, tiny):
    short = {"steps": 2, "decay_fraction": 0}
    plain = run(tiny(optimiser=short), "plain")
    never = run(opposed(optimiser=short, adversarial={"start_step": 2}), "never")
    assert tensors_of(never) == tensors_of(plain)


def test_without_a_table_the_losses_are_the_regression_s(tiny, opposed, store):
    config = opposed()
    model = SpectralExtender(config.model)
    sampler = spectral.CropSampler(
        store, config.corpora, config.degrade, sample_rate=48000, crop_samples=5184, seed=9
    )
    batch = sampler.batch(0, range(2))
    adversary = Adversary(config.adversarial, 48000, bfloat16=False)
    plain, _ = spectral.losses(model, model.predict, batch, tiny())
    both, _ = spectral.losses(model, model.predict, batch, config, adversary)
    assert both.keys() - plain.keys() == {"adversarial", "features"}
    assert all(torch.equal(both[name], plain[name]) for name in plain if name != "total")
    own = config.adversarial
    added = own.hinge_weight * both["adversarial"] + own.features_weight * both["features"]
    assert torch.allclose(both["total"], plain["total"] + added)


def test_the_log_holds_both_sides(run, opposed):
    (record,) = losses_of(run(opposed(adversarial={"start_step": 2, "every_steps": 2})))
    figures = record["loss"]
    for name in ("adversarial", "features", "discriminator", "accuracy_real", "accuracy_fake"):
        assert np.isfinite(figures[name]), name
    # The hinge of discriminators that know nothing is 2; a mean over more steps would be less.
    assert figures["discriminator"] == pytest.approx(2, abs=0.3)


def test_numbers_of_the_adversary_that_are_not_finite_name_its_learning_rate(
    run, opposed, monkeypatch
):
    learn = Adversary.discriminator_loss

    def fail(self, pair):
        loss, figures = learn(self, pair)
        return loss * float("nan"), figures

    monkeypatch.setattr(Adversary, "discriminator_loss", fail)
    with pytest.raises(ConfigError, match=r"at step 0; lower adversarial\.learning_rate"):
        run(opposed())


def test_a_warm_start_begins_from_the_weights_and_a_new_optimiser(run, tiny, opposed):
    first = run(tiny(optimiser={"steps": 3}), "first")
    # So small a rate keeps the weights where they began.
    still = {"steps": 1, "learning_rate": 1e-12}
    second = run(opposed(optimiser=still), "second", warm_start=first)
    one, two = (load_model(folder)[0].state_dict() for folder in (first, second))
    assert all(torch.allclose(one[name], two[name], atol=1e-6) for name in one)
    steps = load_file(second / "resume.safetensors")["optimiser.step.norm.weight"]
    assert steps == 1
    progress = json.loads((second / "progress.json").read_text())
    assert progress["step"] == 1
    assert (progress["warm_start"]["recipe"], progress["warm_start"]["step"]) == ("tiny", 3)
    run(opposed(optimiser=still | {"steps": 2}), "second", resume=True)
    assert json.loads((second / "progress.json").read_text())["warm_start"]["step"] == 3


def test_a_warm_start_may_wait_for_fewer_frames(run, tiny):
    first = run(tiny(model={"lookahead_frames": 2}, optimiser={"steps": 1}), "first")
    second = run(
        tiny(model={"lookahead_frames": 1}, optimiser={"steps": 1, "learning_rate": 1e-12}),
        "second",
        warm_start=first,
    )
    before, after = (load_model(folder)[0] for folder in (first, second))
    assert (before.config.lookahead_frames, after.config.lookahead_frames) == (2, 1)
    for name, value in before.state_dict().items():
        torch.testing.assert_close(after.state_dict()[name], value)


def test_a_warm_start_that_does_not_fit_is_refused_by_name(run, tiny, tmp_path):
    first = run(tiny(optimiser={"steps": 1}), "first")
    with pytest.raises(ConfigError, match=r"blocks 2 and not 3.*another --warm-start"):
        run(tiny(model={"blocks": 3}), "second", warm_start=first)
    with pytest.raises(ConfigError, match=r"nothing: not a checkpoint"):
        run(tiny(), "second", warm_start=tmp_path / "nothing")
    with pytest.raises(ConfigError, match="begins a new run"):
        run(tiny(), "first", warm_start=first, resume=True)
    assert not (tmp_path / "second").exists()


def test_a_run_is_resumed_only_with_the_adversary_it_had(run, tiny, opposed):
    last = run(tiny(optimiser={"steps": 1}), "plain")
    with pytest.raises(ConfigError, match=r"without the recipe's \[adversarial\].*--warm-start"):
        run(opposed(), "plain", resume=True)
    last = run(opposed(optimiser={"steps": 1}), "small")
    before = tensors_of(last)
    with pytest.raises(ConfigError, match=r"another shape of it; restore \[adversarial\]"):
        run(opposed(adversarial={"channels": 8}), "small", resume=True)
    assert tensors_of(last) == before


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("hinge_wait = 1", "adversarial.hinge_wait: unknown key"),
        ("hinge_weight = -1", "adversarial.hinge_weight: .*, not -1"),
        ("every_steps = 0", "adversarial.every_steps: .*greater than 0, not 0"),
        ("learning_rate = inf", "adversarial.learning_rate: .*inf"),
        ("windows = [500, 510]", "adversarial.windows: .*multiple of 4.*not 510"),
        ("windows = [8192]", "optimiser.crop_frames must be at least 46 .*not 24"),
    ],
)
def test_what_is_wrong_with_the_table_is_said_with_its_key(tmp_path, recipe, table, said):
    path = tmp_path / "recipe.toml"
    windows = "" if "windows" in table else "windows = [256]\n"
    path.write_text(f"{recipe}\n[adversarial]\n{windows}{table}\n")
    with pytest.raises(ConfigError, match=rf"recipe\.toml: {said}"):
        load_recipe(path)


def test_the_second_stage_fits_the_first():
    folder = Path(__file__).resolve().parents[2] / "configs"
    names = "speech_faithful", "speech_adversarial"
    first, second = (load_recipe(folder / f"{name}.toml") for name in names)
    assert second.model == first.model
    assert second.corpora == first.corpora
    assert second.adversarial
