"""Validation runs a network as the runtime does, and scores what it gives with the metrics."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from overtone.degrade.lowpass import LowPass, apply
from overtone.metrics import lsd, snr_db
from overtone.models.extender import ExtenderConfig, ExtenderState, SpectralExtender
from overtone.training.validate import extend, runtime_model, validate

RATE = 48000


class Stub(torch.nn.Linear):
    """A network that gives ``factor`` times its input, as late as it should."""

    output = "residual"

    def __init__(self, factor):
        super().__init__(1, 1)
        self.factor = factor
        self.config = ExtenderConfig()

    def initial_state(self, batch):
        c = self.config
        return ExtenderState(
            torch.zeros(1, batch, 1, 1), torch.zeros(batch, c.lookahead_frames, c.bins, 2)
        )

    def forward(self, spectrum, cutoff_hz, fidelity, context, delay):
        line = torch.cat([delay, spectrum], dim=1)
        frames = spectrum.shape[1]
        return self.factor * line[:, :frames], context, line[:, frames:]


@pytest.fixture
def runtime(tiny):
    """What runs a network as a recipe of such a model describes it."""

    def make(network, **model):
        recipe = tiny(model=model)
        network.config = recipe.model
        info = recipe.describe({"step": 0, "seconds": 0.0}, 0)
        return runtime_model(network, info)

    return make


@pytest.fixture
def rows_of(runtime):
    """The rows of a network's validation by a recipe."""

    def run(network, store, recipe):
        return validate(
            runtime(network), store, recipe.corpora, recipe.validation, recipe.degrade.level_rms
        )

    return run


@pytest.mark.parametrize(
    "settings",
    [
        {"lookahead_frames": 3},
        {"lookahead_frames": 0},
        {"window_samples": 768, "hop_samples": 96, "lookahead_frames": 2},
    ],
)
@pytest.mark.parametrize("samples", [1, 95, 384, 385, 5000])
def test_the_residual_is_added_where_it_belongs_up_to_both_ends(
    make_noise, runtime, settings, samples
):
    low = make_noise(RATE, 1.0)[0, :samples]
    assert np.abs(extend(runtime(Stub(-1.0), **settings), low, 4000)).max() < 1e-6
    assert np.allclose(extend(runtime(Stub(0.5), **settings), low, 4000), 1.5 * low, atol=1e-6)


@pytest.fixture
def model(tiny, runtime):
    torch.manual_seed(0)
    return runtime(SpectralExtender(tiny().model).eval())


def test_the_band_below_the_crossover_stays(model, make_lowpassed_noise):
    low = make_lowpassed_noise(4000, RATE, 0.5)[0]
    added = np.abs(np.fft.rfft((extend(model, low, 4000) - low) * np.hanning(low.size)))
    hz = np.fft.rfftfreq(low.size, 1 / RATE)
    assert added[hz < 3000].max() < 1e-3 * added[hz > 4000].max()
    assert added[hz > 4000].max() > 0


def test_silence_stays_silent(model):
    assert (extend(model, np.zeros(5000, np.float32), 4000) == 0).all()


def test_scores_are_those_of_the_metrics(store, tiny, rows_of):
    config = tiny(validation={"cutoffs_hz": [4000, 12000]})
    rows = rows_of(Stub(0.0), store, config)
    assert [row["cutoff_hz"] for row in rows] == [4000, 12000]
    # Nothing is added, so the output scores as the input does.
    for row in rows:
        assert row["lsd"] == pytest.approx(row["input_lsd"], rel=1e-3)
        assert row["snr"] == pytest.approx(row["input_snr"], rel=1e-3)
    # At 12 kHz only the corpus of 19.5 kHz leaves a third to predict: one clip, scored here.
    (file,) = store.select(1, "validation")
    start = (file.length - RATE // 2) // 2
    clean = 0.05 * store.crop(file, start, RATE // 2)
    low_pass = LowPass("resampler", 12000)
    low, edge_hz = apply(clean, RATE, low_pass), low_pass.edge_hz()
    for name, band_hz in (
        ("lsd", (0, 19500)),
        ("lsd_hf", (edge_hz, 19500)),
        ("lsd_lf", (0, edge_hz)),
    ):
        wanted = lsd(clean, low, sample_rate=RATE, band_hz=band_hz)
        assert rows[1][name] == pytest.approx(wanted, rel=1e-4)
    assert rows[1]["snr"] == pytest.approx(snr_db(clean, low), rel=1e-4)


def test_scores_are_means_over_the_corpora_that_take_part(store, tiny, rows_of):
    both = tiny()
    rows = [
        rows_of(Stub(0.2), store, config)[0]
        for config in (both, both.model_copy(update={"corpora": both.corpora[:1]}))
    ]
    (file,) = store.select(1, "validation")
    only_second = SimpleNamespace(
        select=lambda number, split: [file] if number == 1 else [], crop=store.crop
    )
    second = rows_of(Stub(0.2), only_second, both)[0]
    for name in ("lsd", "lsd_hf", "snr"):
        assert rows[0][name] == pytest.approx((rows[1][name] + second[name]) / 2, rel=1e-6)


def test_no_corpus_no_row(store, tiny, rows_of):
    (row,) = rows_of(Stub(0.0), store, tiny(validation={"cutoffs_hz": [4000, 13500]}))
    assert row["cutoff_hz"] == 4000


def test_a_pause_is_not_scored(store, tiny, rows_of):
    """Nor does it spoil the mean of what is."""

    class Paused:
        def select(self, number, split):
            (file,) = store.select(1, split)
            return [replace(file, gain=0.0), file] if number == 1 else []

        crop = store.crop

    config = tiny(validation={"clips_per_corpus": 2})
    rows = rows_of(Stub(0.2), Paused(), config)
    assert all(np.isfinite(list(row.values())).all() for row in rows)
    config = tiny(validation={"clips_per_corpus": 1})
    assert rows_of(Stub(0.2), Paused(), config) == []
