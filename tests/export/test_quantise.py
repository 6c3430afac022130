"""Products in 8 bits are close at every level, row by row."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from overtone.export.quantise import WEIGHT_STEPS, quantise


@pytest.fixture
def product(rng):
    """Return a matrix, and a session of its rounded product with ``x [batch, frames, 80]``."""
    weight = rng.standard_normal((80, 96)).astype(np.float32) * rng.uniform(0.01, 3, 96)
    weight = weight.astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", "t", 80])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["b", "t", 96])],
        [numpy_helper.from_array(weight, "w")],
    )
    assert quantise(graph) == 1
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return weight, proto, session


def test_rounded_products_are_close_at_every_level(product, rng):
    weight, _, session = product
    levels = 10.0 ** rng.integers(-6, 3, (2, 50, 1))
    x = (levels * rng.standard_normal((2, 50, 80))).astype(np.float32)
    (y,) = session.run(None, {"x": x})
    error = y - x @ weight
    # Row by row: a loud frame must not blur a soft one beside it.
    assert np.all(np.linalg.norm(error, axis=-1) < 0.03 * np.linalg.norm(x @ weight, axis=-1))


def test_a_frames_product_does_not_depend_on_its_neighbours(product, rng):
    _, _, session = product
    x = rng.standard_normal((1, 20, 80)).astype(np.float32)
    (whole,) = session.run(None, {"x": x})
    loud = np.concatenate([1000 * x[:, :3], x[:, 3:]], axis=1)
    (beside_loud,) = session.run(None, {"x": loud})
    np.testing.assert_array_equal(beside_loud[:, 3:], whole[:, 3:])
    for frame in range(20):
        (alone,) = session.run(None, {"x": x[:, frame : frame + 1]})
        np.testing.assert_array_equal(alone[:, 0], whole[:, frame])


def test_a_row_of_zeros_gives_zeros(product):
    _, _, session = product
    (y,) = session.run(None, {"x": np.zeros((1, 2, 80), np.float32)})
    assert not y.any()


def test_weights_fit_seven_bits_so_that_no_cpu_overflows(product):
    _, proto, _ = product
    weights = {w.name: numpy_helper.to_array(w) for w in proto.graph.initializer}
    assert weights["w"].dtype == np.int8
    assert np.abs(weights["w"].astype(int)).max() == WEIGHT_STEPS
    assert 2 * 255 * WEIGHT_STEPS < 2**15


def test_small_products_stay_exact(rng):
    weight = rng.standard_normal((4, 4)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "small",
        [],
        [],
        [numpy_helper.from_array(weight, "w")],
    )
    before = onnx.GraphProto()
    before.CopyFrom(graph)
    assert quantise(graph) == 0
    assert graph == before
