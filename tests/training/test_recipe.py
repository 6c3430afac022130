"""Recipes: every shipped one loads, and what is wrong with one is said with its file and key."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from overtone.errors import ConfigError
from overtone.training.checkpoint import load_model
from overtone.training.families import load_recipe, read_recipe
from overtone.training.spectral import SpectralRecipe

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = sorted(p for d in ("configs", "configs/audiounet") for p in (ROOT / d).glob("*.toml"))


@pytest.fixture
def load(tmp_path, recipe):
    """Load the tiny recipe with one text replaced by another, or another text altogether."""

    def run(old="", new="", text=None):
        path = tmp_path / "recipe.toml"
        if text is None:
            assert old in recipe
            text = recipe.replace(old, new, 1)
        path.write_text(text, encoding="utf-8")
        return load_recipe(path)

    return run


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_recipes_load_and_say_what_they_train_on(path):
    recipe = load_recipe(path)
    if recipe.network in ("extender", "source-filter"):
        assert recipe.name.replace("-", "_") == path.stem
        assert all(corpus.license for corpus in recipe.corpora)
    else:
        assert recipe.name.startswith(recipe.network)
        assert all(": " in source for source in recipe.training_data)
        # The comment at its top makes the archives that it asks for.
        text = path.read_text()
        for archive in (recipe.archives.train, recipe.archives.validation):
            assert archive.replace("train", "SPLIT").replace("validation", "SPLIT") in text


def test_a_recipe_is_shipped():
    assert SHIPPED


@pytest.mark.parametrize("folder", sorted(p.name for p in (ROOT / "checkpoints").glob("*/")))
def test_a_recipe_would_make_each_checkpoint_again(folder):
    _, recipe, _ = load_model(ROOT / "checkpoints" / folder)
    assert recipe in [load_recipe(path) for path in SHIPPED]
    assert recipe.license == "Apache-2.0"


@pytest.fixture
def files(tmp_path, recipe):
    """Write files beside the tiny recipe, and load one of them."""
    (tmp_path / "tiny.toml").write_text(recipe)

    def run(name, **texts):
        for stem, text in texts.items():
            path = tmp_path / f"{stem.replace('__', '/')}.toml"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return load_recipe(tmp_path / name)

    return run


def test_a_recipe_says_only_what_differs_from_the_one_it_extends(files, tiny):
    text = 'extends = "tiny.toml"\nname = "other"\n[model]\nchannels = 24'
    found = files("other.toml", other=text)
    assert found == tiny(name="other", model={"channels": 24})
    assert found.corpora == tiny().corpora


CORPUS = '[[corpora]]\nname = "%s"\npath = "p"\nbandwidth_hz = 9000\nlicense = "CC0"\n'


def test_included_corpora_come_before_its_own_and_in_place_of_the_base_s(files):
    text = 'extends = "tiny.toml"\ninclude = ["c/a.toml", "c/b.toml"]\n'
    both = {"c__a": CORPUS % "a", "c__b": CORPUS % "b"}
    found = files("other.toml", other=text + CORPUS % "own", **both)
    assert [corpus.name for corpus in found.corpora] == ["a", "b", "own"]
    # What extends that, inherits them.
    more = files("more.toml", more='extends = "other.toml"\nseed = 9')
    assert more.corpora == found.corpora


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('extends = "../tiny.toml"', "extends: '../tiny.toml' lies outside the recipe's folder"),
        ('extends = "/tiny.toml"', "lies outside the recipe's folder"),
        ('extends = "nothing.toml"', "nothing.toml: cannot be read: No such file"),
        ('extends = "other.toml"', "extends: 'other.toml' comes back to itself"),
        ("extends = 3", "extends: give the name of a file, not 3"),
        ('include = "tiny.toml"', "include: give a list of files, not 'tiny.toml'"),
        ('include = ["../a.toml"]', "include: '../a.toml' lies outside"),
        ('extends = "loop.toml"', "loop.toml: extends: 'other.toml' comes back to itself"),
    ],
)
def test_what_cannot_be_extended_is_said_with_the_file(files, text, said):
    with pytest.raises(ConfigError, match=said):
        files("other.toml", other=text, loop='extends = "other.toml"')


def test_settings_are_read_and_the_rest_is_default(load):
    config = load()
    assert config.model.channels == 16
    assert config.model.kernel == 7
    assert config.loss.windows == (512, 1024)
    assert [corpus.name for corpus in config.corpora] == ["speech", "wide"]


def test_the_hash_stands_for_every_setting(load):
    assert load().sha256() == load().sha256()
    others = [("seed = 3", "seed = 4"), ("steps = 6", "steps = 7"), ("19500", "19501")]
    hashes = {load(old, new).sha256() for old, new in others}
    assert len(hashes | {load().sha256()}) == 4


def test_a_configuration_survives_its_json(load):
    config = load()
    assert SpectralRecipe.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("seed = 3", "sead = 3", "sead: unknown key"),
        ("channels = 16", "chanels = 16", "model.chanels: unknown key"),
        ("weight = 0.5", "wait = 0.5", "corpora.1.wait: unknown key"),
        ('name = "tiny"', "", "name: missing"),
        ('name = "tiny"', 'name = ""', "name: .*, not ''"),
        ("steps = 6", "", "optimiser.steps: missing"),
        ("steps = 6", "steps = 0", "optimiser.steps: .*greater than 0, not 0"),
        ("steps = 6", "steps = 'many'", "optimiser.steps: .*integer.*, not 'many'"),
        ("warmup_steps = 2", "betas = [0.9, 1.0]", "optimiser.betas.1: .*less than 1, not 1.0"),
        ("warmup_steps = 2", "learning_rate = nan", "optimiser.learning_rate: .*nan"),
        ("bandwidth_hz = 11000", "bandwidth_hz = inf", "corpora.0.bandwidth_hz: .*inf"),
        ("hop_samples = 192", "hop_samples = 200", "model: window_samples .*768.*200"),
        ("[512, 1024]", "[512, 1023]", "loss.windows: .*multiple of 4, not 1023"),
        ("[4000]", "[-4000]", r"validation.cutoffs_hz.0: .*greater than 0, not -4000"),
        ("[4000]", "[13500]", r"validation\.cutoffs_hz: one must be at most .*nothing is measured"),
        ("[loss]", "[degrade]\nmax_cutoff_hz = 15000\n[loss]", "degrade.max_cutoff_hz .*14000"),
        ("[loss]", "[degrade]\nmin_cutoff_hz = 15000\n[loss]", "degrade: min_cutoff_hz .*14000"),
        ("= 11000", "= 1100", "corpora: 'speech' ends at 1100 Hz.*degrade.min_cutoff_hz 1000"),
        ("crop_frames = 24", "crop_frames = 8", "optimiser.crop_frames: .*greater than 8, not 8"),
        ("[512, 1024]", "[512, 8192]", "optimiser.crop_frames must be at least 46 .*not 24"),
    ],
)
def test_what_is_wrong_is_said_with_the_file_and_the_key(load, old, new, said):
    with pytest.raises(ConfigError, match=rf"recipe\.toml: {said}") as caught:
        load(old, new)
    assert "\n" not in str(caught.value)


def test_everything_that_is_wrong_is_said_at_once(load):
    with pytest.raises(ConfigError, match=r"seed: .*; .*channels: "):
        load(text='name="a"\ndescription=""\nseed="x"\n[model]\nchannels=0\n')


def test_a_crop_of_the_least_length_is_long_enough_for_the_loss(tiny):
    """The bound that is asked for is the bound that framing needs."""
    config = tiny(loss={"windows": [8192]}, optimiser={"crop_frames": 46})
    model, hop = config.model, config.model.hop_samples
    crop = model.window_samples + 45 * hop
    inner = crop - 2 * (model.window_samples - hop)
    assert inner - hop < 8192 <= inner


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"name = ", "not a TOML file"),
        (b"\xff\xfe", "not a TOML file"),
        (b"", "missing"),
        (None, "cannot be read: No such file"),
    ],
)
def test_files_that_are_no_recipes_are_named(tmp_path, content, said):
    path = tmp_path / "broken.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"broken\.toml: .*{said}"):
        load_recipe(path)


def test_a_folder_is_no_recipe(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load_recipe(tmp_path)


OLD_NAMES = """
[degrade]
common_share = 0.4
noise_share = 0.1
droop_share = 0.2
lift_share = 0.3
max_lift_db = 20
speed_share = 0.25
codec_share = 0.15
tilt_db = 2.0

[loss]"""


def test_old_names_of_keys_are_read(load):
    config = load("[loss]", OLD_NAMES)
    d = config.degrade
    assert (d.common_prob, d.noise_prob, d.droop_prob, d.compensation_prob) == (0.4, 0.1, 0.2, 0.3)
    assert (d.max_compensation_db, d.speed_prob, d.codec_prob, d.eq_db) == (20, 0.25, 0.15, 2)
    assert load("warmup_steps = 2", "cooldown_share = 0.7").optimiser.decay_fraction == 0.7
    assert load("license =", "licence =").corpora[0].license == "CC0 1.0"
    assert "share" not in config.model_dump_json()


def test_an_old_name_beside_the_new_one_is_refused(load):
    both = "cooldown_share = 0.7\ndecay_fraction = 0.7"
    with pytest.raises(ConfigError, match="cooldown_share is the old name of decay_fraction"):
        load("warmup_steps = 2", both)
    with pytest.raises(ConfigError, match=r"optimiser\.decay_fraction: .*less than or equal to 1"):
        load("warmup_steps = 2", "cooldown_share = 7")


@pytest.mark.parametrize("name", ["../mine", "a/b", ".", "..", "", "x" * 101, "a\nb"])
def test_a_name_cannot_lead_out_of_its_folder(name):
    with pytest.raises(ValidationError, match="name"):
        read_recipe({"name": name, "description": "", "network": "tfilm"})


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "a." * 3000 + "b = 1"])
def test_a_recipe_nested_without_end_is_one_line(tmp_path, text):
    path = tmp_path / "deep.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"deep\.toml") as caught:
        load_recipe(path)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.name != "posix", reason="pipes with names")
def test_a_recipe_that_is_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(ConfigError, match="a pipe, not a file of text"):
        load_recipe(tmp_path / "pipe.toml")


def test_recipes_that_name_each_other_for_ever_are_refused(tmp_path):
    for number in range(12):
        (tmp_path / f"{number}.toml").write_text(f'extends = "{number + 1}.toml"\n')
    with pytest.raises(ConfigError, match="after another"):
        load_recipe(tmp_path / "0.toml")
