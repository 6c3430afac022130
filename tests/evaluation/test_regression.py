"""Every shipped model scores what it scored when it was shipped, and a wrong one would not."""

import json
from pathlib import Path

import numpy as np
import pytest

from overtone.evaluation.regression import (
    STORE_COMMAND,
    TOLERANCE,
    departures,
    regression_scores,
)
from overtone.inference import list_models
from overtone.inference.model import model_path

STORE = Path(__file__).resolve().parent.parent / "golden" / "scores.json"
STORED = json.loads(STORE.read_text(encoding="utf-8"))
SHIPPED = [info.name for info in list_models()]


@pytest.fixture(scope="module")
def scores(examples_dir):
    """Return ``scores(model)``, computed once for each."""
    known = {}

    def of(name):
        if name not in known:
            known[name] = regression_scores(name, examples_dir)
        return known[name]

    return of


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_scores_what_it_did(name, scores):
    assert name in STORED, (
        f"the shipped model {name!r} has no stored scores: run `{STORE_COMMAND} {name}`"
    )
    changed = departures(scores(name), STORED[name])
    assert not changed, (
        f"{name}: {'; '.join(changed)}. If the output was meant to change: {STORE_COMMAND} {name}"
    )


def test_only_shipped_models_are_stored():
    left = sorted(STORED.keys() - set(SHIPPED))
    assert not left, f"{left} are shipped no more: run `{STORE_COMMAND}`"


@pytest.mark.parametrize("name", SHIPPED)
def test_the_excerpts_are_ones_that_the_model_is_good_for(name, scores, examples_dir):
    given = regression_scores(name, examples_dir, alter=lambda _, low: low)
    gains = [given[excerpt]["lsd_hf"] - now["lsd_hf"] for excerpt, now in scores(name).items()]
    assert max(gains) > 0.5


def late(samples, count):
    return np.pad(samples, ((0, 0), (count, 0)))[:, : samples.shape[1]]


SPOILED = {
    "a sample late": lambda output, low: late(output, 1),
    "a frame late": lambda output, low: late(output, 512),
    "the prediction a frame late": lambda output, low: low + late(output - low, 512),
    "the prediction 5 % too loud": lambda output, low: low + 1.05 * (output - low),
    "the prediction upside down": lambda output, low: low - (output - low),
    "no prediction": lambda output, low: low,
}


@pytest.mark.parametrize("fault", SPOILED)
@pytest.mark.parametrize("name", SHIPPED)
def test_the_guard_notices(name, fault, examples_dir):
    spoiled = regression_scores(name, examples_dir, alter=SPOILED[fault])
    assert departures(spoiled, STORED[name])


@pytest.mark.parametrize("name", SHIPPED)
def test_the_guard_notices_wrong_weights(name, examples_dir, tmp_path):
    onnx = pytest.importorskip("onnx")
    proto = onnx.load(model_path(name))
    # The first matrix has its outputs in another order.
    first = next(
        tensor
        for tensor in proto.graph.initializer
        if len(tensor.dims) > 1 and np.prod(tensor.dims) > 4096
    )
    values = onnx.numpy_helper.to_array(first)
    swapped = onnx.numpy_helper.from_array(np.roll(values, 1, axis=-1), first.name)
    first.CopyFrom(swapped)
    path = tmp_path / "wrong.onnx"
    onnx.save(proto, path)
    assert departures(regression_scores(path, examples_dir), STORED[name])


def test_models_of_low_rates_are_scored_at_their_own(waveform_model, examples_dir):
    scores = regression_scores(waveform_model, examples_dir)
    given = regression_scores(waveform_model, examples_dir, alter=lambda _, low: low)
    for excerpt, values in scores.items():
        assert np.isfinite(list(values.values())).all()
        # Other than soxr's, and as good as what it was given: nothing is shifted.
        assert departures({excerpt: values}, {excerpt: given[excerpt]})
        assert values["snr_db"] > given[excerpt]["snr_db"] - 6


def test_departures_are_named():
    stored = {"a": {"lsd": 1.0, "snr_db": 10.0}}
    assert departures({"a": {"lsd": 1.0 + 0.9 * TOLERANCE, "snr_db": 10.0}}, stored) == []
    assert departures({"a": {"lsd": 1.0, "snr_db": 10.03}}, stored) == [
        "a: snr_db is 10.030, stored 10.000"
    ]
    assert len(departures({"a": {"lsd": float("nan"), "snr_db": 10.0}}, stored)) == 1
    assert len(departures({"b": {"lsd": 1.0}}, stored)) == 3
