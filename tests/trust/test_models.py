"""A model file is data: its numbers, its graph and what it computes are all checked."""

import json

import numpy as np
import onnx
import pytest
from onnx import helper

from overtone import Enhancer
from overtone.errors import ModelError
from overtone.inference.family import METADATA_KEY
from overtone.inference.model import list_models, load_model

INFO = {info.name: info.model_dump(mode="json") for info in list_models()}
FLOAT = onnx.TensorProto.FLOAT


def model_file(path, metadata, nodes=(), inputs=(), outputs=(), constants=()):
    """Write a model file; inputs and outputs are names and shapes."""
    ends = [
        [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in end]
        for end in (inputs, outputs)
    ]
    graph = helper.make_graph(list(nodes), "g", *ends, list(constants))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    text = metadata if isinstance(metadata, str) else json.dumps(metadata)
    model.metadata_props.add(key=METADATA_KEY, value=text)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        (name, key, value)
        for name, key, values in (
            ("speech", "sample_rate", (0, -1, 10**9, 1e400, "48k", None)),
            ("speech", "level_rms", (0, -1, 1e-300, float("nan"), float("inf"))),
            ("speech", "min_cutoff_hz", (0, 1e9, float("nan"))),
            ("speech", "max_cutoff_hz", (10, 1e9)),
            ("speech", "name", ("", "x" * 10_000, 3)),
            ("speech", "hop_samples", (0, -256, 1000, 1, 1024)),
            ("speech", "window_samples", (0, 2**40, -1024, 1023)),
            ("speech", "lookahead_frames", (-1, 10**9, 0)),
            ("speech", "visible_bins", (0, -1, 514)),
            ("speech", "visible_end", (0, 2, float("nan"))),
            ("speech", "level_frames", (0, 10**12)),
            ("speech", "band_centres_hz", ([], [1.0], [2.0, 1.0], [1.0] * 5000)),
            ("speech", "excitations", ([], ["siren"], ["noise"] * 100)),
            (
                "speech",
                "excitation",
                (
                    {"fast_samples": 10**12},
                    {"copied_part": float("nan")},
                    {"pulse_power": 9},
                    {"dispersion_ms": -1.0},
                ),
            ),
            ("speech", "faithful", ("../elsewhere", "/dev/zero", "a.onnx")),
            ("tfilm-speech-x4", "scale", (0, 1, 10**9)),
            ("tfilm-speech-x4", "patch_samples", (0, 2**40, 100)),
            ("tfilm-speech-x4", "multiple_samples", (0, -1, 2**40)),
        )
        for value in values
    ],
)
def test_a_number_out_of_range_is_named(tmp_path, name, key, value):
    path = model_file(tmp_path / "odd.onnx", INFO[name] | {key: value})
    with pytest.raises(ModelError, match=r"odd\.onnx: .*damaged") as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "1" * 10_000, ""])
def test_metadata_that_is_no_object_is_refused(tmp_path, text):
    with pytest.raises(ModelError, match=r"odd\.onnx"):
        load_model(model_file(tmp_path / "odd.onnx", text))


def test_a_number_without_end_in_the_file_is_refused(tmp_path):
    (tmp_path / "odd.onnx").write_bytes(b"\x80" * 1_000_000)
    with pytest.raises(ModelError, match="damaged"):
        load_model(tmp_path / "odd.onnx")


SHAPE = ["channels", "samples"]
LOW, HIGH = ("low", FLOAT, SHAPE), ("high", FLOAT, SHAPE)
ZERO = helper.make_tensor("zero", FLOAT, [1], [0.0])


@pytest.mark.parametrize(
    ("nodes", "inputs", "outputs", "what"),
    [
        ([("Identity", "low", "high")], [("x", FLOAT, SHAPE)], [HIGH], "does not know"),
        ([("Identity", "low", "high")], [("low", 7, SHAPE)], [("high", 7, SHAPE)], "takes tensor"),
        ([("Identity", "low", "y")], [LOW], [("y", FLOAT, SHAPE)], "lacks its output high"),
        ([("Transpose", "low", "high")], [LOW], [HIGH], "not float32"),
        ([("Div", "zero zero", "high")], [LOW], [HIGH], "not float32"),
        ([("Div", "low zero", "high")], [LOW], [HIGH], "NaN or infinite"),
        ([("MatMul", "low low", "high")], [LOW], [HIGH], "its network fails"),
    ],
)
def test_a_graph_that_is_none_of_ours_is_a_model_error(tmp_path, rng, nodes, inputs, outputs, what):
    made = [helper.make_node(op, ins.split(), [out]) for op, ins, out in nodes]
    if inputs[0][0] != "low":
        made[0].input[0] = inputs[0][0]
    path = model_file(tmp_path / "odd.onnx", INFO["tfilm-speech-x4"], made, inputs, outputs, [ZERO])
    noise = rng.normal(0, 0.1, 8000)
    with pytest.raises(ModelError, match=what):
        Enhancer(path, device="cpu", threads=1).enhance(noise, 4000, output_rate=16000)


def test_frames_that_are_not_finite_are_a_model_error(tmp_path, rng):
    pairs = ["channels", "frames", 1025, 2]
    path = model_file(
        tmp_path / "odd.onnx",
        INFO["speech-faithful"],
        [helper.make_node("Div", ["spectrum", "zero"], ["residual"])],
        [("spectrum", FLOAT, pairs)],
        [("residual", FLOAT, pairs)],
        [ZERO],
    )
    with pytest.raises(ModelError, match="NaN or infinite"):
        Enhancer(path, device="cpu", threads=1).enhance(rng.normal(0, 0.1, 8000), 8000)


def test_a_state_of_no_possible_size_is_refused(tmp_path):
    pairs = ["channels", "frames", 1025, 2]
    huge = [1 << 20, 1 << 20]
    path = model_file(
        tmp_path / "odd.onnx",
        INFO["speech-faithful"],
        [
            helper.make_node("Identity", ["spectrum"], ["residual"]),
            helper.make_node("Identity", ["h"], ["new_h"]),
        ],
        [("spectrum", FLOAT, pairs), ("h", FLOAT, huge)],
        [("residual", FLOAT, pairs), ("new_h", FLOAT, huge)],
    )
    with pytest.raises(ModelError, match="state h is too large"):
        load_model(path, device="cpu")


def test_finite_gains_may_still_come_to_nothing_finite(tmp_path, rng):
    """A gain is a logarithm: of 1000 the amplitude is infinite."""
    bands, kinds = len(INFO["speech"]["band_centres_hz"]), len(INFO["speech"]["excitations"])
    bins = INFO["speech"]["visible_bins"]
    values = np.full(kinds * bands, 1000.0)
    constant = helper.make_tensor("loud", FLOAT, [1, 1, kinds, bands], values)
    path = model_file(
        tmp_path / "odd.onnx",
        INFO["speech"],
        [
            helper.make_node("ReduceMax", ["power"], ["most"], axes=[2], keepdims=1),
            helper.make_node("Mul", ["most", "zero"], ["none"]),
            helper.make_node("Unsqueeze", ["none", "last"], ["column"]),
            helper.make_node("Add", ["column", "loud"], ["gains"]),
        ],
        [("power", FLOAT, ["channels", "frames", bins])],
        [("gains", FLOAT, ["channels", "frames", kinds, bands])],
        [ZERO, constant, helper.make_tensor("last", onnx.TensorProto.INT64, [1], [3])],
    )
    with pytest.raises(ModelError, match="NaN or infinite"):
        Enhancer(path, device="cpu", threads=1).enhance(rng.normal(0, 0.1, 8000), 8000)
