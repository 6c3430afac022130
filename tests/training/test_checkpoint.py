"""Checkpoints: what is saved comes back to the bit; what does not fit is refused by name."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from overtone.errors import ConfigError
from overtone.models.extender import SpectralExtender
from overtone.training.checkpoint import load_model, load_resume, recover, save_checkpoint
from overtone.training.optimiser import OptimisedNetwork

PARTS = ["config.json", "model.safetensors", "progress.json", "resume.safetensors"]
PROGRESS = {"step": 3, "seconds": 4.5}


def make_network(config, seed=0):
    torch.manual_seed(seed)
    return OptimisedNetwork(SpectralExtender(config.model), config.optimiser, 100)


def step(trained):
    loss = sum(parameter.square().sum() for parameter in trained.network.parameters())
    trained.backward(loss, 1.0, 10)
    trained.step(10)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.fixture
def saved(tmp_path, tiny):
    """A checkpoint with what it was made of: ``(folder, config, trained, ema)``."""
    config = tiny()
    trained = make_network(config)
    for _ in range(3):
        step(trained)
    ema = {name: value + 1 for name, value in trained.network.state_dict().items()}
    folder = tmp_path / "runs" / "tiny" / "last"
    save_checkpoint(folder, config, ema, [trained], PROGRESS)
    return folder, config, trained, ema


def test_a_checkpoint_is_these_files_and_nothing_beside(saved):
    folder, *_ = saved
    assert sorted(path.name for path in folder.iterdir()) == PARTS
    assert [path.name for path in folder.parent.iterdir()] == ["last"]


def test_what_is_resumed_goes_on_as_what_was_saved(saved):
    folder, config, trained, ema = saved
    other = make_network(config, seed=9)
    found, progress = load_resume(folder, config, [other])
    assert progress == PROGRESS
    assert same(found, ema)
    for _ in range(2):
        step(trained)
        step(other)
    assert same(other.network.state_dict(), trained.network.state_dict())


def test_a_run_may_be_resumed_before_its_first_step(tmp_path, tiny):
    config = tiny()
    trained = make_network(config)
    save_checkpoint(
        tmp_path / "last", config, trained.network.state_dict(), [trained], PROGRESS | {"step": 0}
    )
    other = make_network(config, seed=9)
    load_resume(tmp_path / "last", config, [other])
    step(trained)
    step(other)
    assert same(other.network.state_dict(), trained.network.state_dict())


def test_the_ema_is_what_is_loaded(saved):
    folder, config, _, ema = saved
    model, found, progress = load_model(folder)
    assert (found, progress) == (config, PROGRESS)
    assert same(model.state_dict(), ema)
    assert not model.training


def test_saving_replaces_the_checkpoint_before(saved):
    folder, config, trained, ema = saved
    save_checkpoint(folder, config, ema, [trained], PROGRESS | {"step": 4})
    assert load_model(folder)[2]["step"] == 4
    assert [path.name for path in folder.parent.iterdir()] == ["last"]


@pytest.mark.parametrize("call", ["save_file", "json.dumps"])
def test_a_save_that_fails_keeps_the_checkpoint_before(saved, monkeypatch, call):
    folder, config, trained, ema = saved

    def fail(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"overtone.training.checkpoint.{call}", fail)
    with pytest.raises(ConfigError, match=r"last: cannot save .*No space left"):
        save_checkpoint(folder, config, ema, [trained], PROGRESS | {"step": 4})
    assert load_model(folder)[2]["step"] == 3
    assert [path.name for path in folder.parent.iterdir()] == ["last"]


def test_a_save_that_was_cut_between_its_renames_is_mended(saved):
    folder, *_ = saved
    folder.rename(folder.with_name("last.old"))
    recover(folder)
    assert load_model(folder)[2] == PROGRESS


def test_recovery_leaves_a_whole_checkpoint_alone(saved):
    folder, *_ = saved
    shutil.copytree(folder, folder.with_name("last.old"))
    (folder / "progress.json").write_text(json.dumps(PROGRESS | {"step": 5}))
    recover(folder)
    assert load_model(folder)[2]["step"] == 5


def damage(folder, part, how):
    path = folder / part
    if how == "gone":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    else:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("how", ["gone", "empty", "cut"])
@pytest.mark.parametrize("part", PARTS)
def test_a_damaged_checkpoint_is_refused_by_name(saved, part, how):
    folder, config, *_ = saved
    damage(folder, part, how)
    wanted = "no checkpoint to resume from|damaged"
    with pytest.raises(ConfigError, match=f"last.*({wanted})"):
        load_resume(folder, config, [make_network(config)])
    if part != "resume.safetensors":
        with pytest.raises(ConfigError, match=r"last.*(not a checkpoint|damaged)"):
            load_model(folder)


@pytest.mark.parametrize("text", ["{}", "[]", "3", '{"step": 1}', '{"step": null, "seconds": 1}'])
def test_a_progress_that_says_nothing_is_damage(saved, text):
    folder, config, *_ = saved
    (folder / "progress.json").write_text(text)
    with pytest.raises(ConfigError, match=r"damaged: progress\.json"):
        load_resume(folder, config, [make_network(config)])
    with pytest.raises(ConfigError, match=r"damaged: progress\.json"):
        load_model(folder)


def test_weights_that_do_not_fit_the_recipe_are_refused(saved, tiny):
    folder, *_ = saved
    wider = tiny(model={"channels": 24})
    (folder / "config.json").write_text(wider.model_dump_json())
    with pytest.raises(ConfigError, match="last: damaged"):
        load_model(folder)
    with pytest.raises(ConfigError, match="last: damaged"):
        load_resume(folder, wider, [make_network(wider)])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"channels": 24}, "channels 16 and not 24"),
        # The weights fit all the same: their shapes do not tell.
        ({"lookahead_frames": 3}, "lookahead_frames 2 and not 3"),
        ({"hop_samples": 256}, "hop_samples 192 and not 256"),
    ],
)
def test_a_checkpoint_of_another_model_is_not_resumed(saved, tiny, change, said):
    folder, *_ = saved
    other = tiny(model=change)
    with pytest.raises(ConfigError, match=rf"last: a checkpoint of another model: {said}; "):
        load_resume(folder, other, [make_network(other)])


def test_an_unknown_setting_in_a_checkpoint_is_named(saved):
    folder, *_ = saved
    settings = json.loads((folder / "config.json").read_text())
    settings["model"]["attention_heads"] = 8
    (folder / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ConfigError, match=r"another version: model.attention_heads: unknown key"):
        load_model(folder)


def test_a_folder_that_is_no_checkpoint_is_refused_with_the_cure(tmp_path):
    with pytest.raises(ConfigError, match=r"nothing: not a checkpoint .*runs/speech/last"):
        load_model(tmp_path / "nothing")


def as_before(tensors):
    """The tensors as extenders had them whose phase was one layer, real and imaginary in turn."""
    old = {}
    for name, value in tensors.items():
        if name.endswith(("real.weight", "real.bias")):
            other = tensors[name.replace("real.", "imaginary.")]
            both = torch.stack([value, other], dim=1).flatten(0, 1) if value.ndim else value
            old[name.replace("real.", "phase.")] = both
        elif name.endswith("depthwise.weight"):
            old[name.removesuffix(".weight")] = value.flatten(1).t() if value.ndim else value
        elif name.endswith("depthwise.bias"):
            old[name.removesuffix(".bias") + "_bias"] = value
        elif "imaginary." not in name:
            old[name] = value
    return {name: value.contiguous() for name, value in old.items()}


def test_a_checkpoint_of_the_earlier_layout_loads_and_resumes(saved):
    folder, config, trained, ema = saved
    for part in ("model", "resume"):
        path = folder / f"{part}.safetensors"
        save_file(as_before(load_file(path)), path)
    assert same(load_model(folder)[0].state_dict(), ema)
    other = make_network(config, seed=9)
    assert same(load_resume(folder, config, [other])[0], ema)
    step(trained)
    step(other)
    assert same(other.network.state_dict(), trained.network.state_dict())
    save_checkpoint(folder, config, ema, [other], PROGRESS)
