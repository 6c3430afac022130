"""Matrix products in 8 bits: a third less time a frame than in 32.

Weights have one scale a column; activations one scale a *row*, found as they come, so that a
frame's numbers never depend on the other frames of its chunk, and chunking cannot change the
result. On one core of a Zen 4 server a frame of the shipped extenders takes 60 microseconds with
8-bit products and 105 without.
"""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

# Smaller products stay as they are.
SMALLEST_PRODUCT = 4096
# Products of 8-bit activations and 7-bit weights cannot overflow the 16 bits in which CPUs
# without VNNI instructions add them in pairs.
WEIGHT_STEPS, ACTIVATION_STEPS = 64, 127
ZERO_POINT = 128


def quantise(graph: onnx.GraphProto) -> int:
    """Make the graph's large matrix products 8-bit ones, in place; return how many there were.

    Their left sides ``[..., k]`` must agree in all but ``k``.
    """
    weights = {weight.name: weight for weight in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    constants: dict[str, NDArray[Any]] = {
        "q_last": np.array([-1]),
        "q_first": np.array([0]),
        "q_step": np.array(1 / ACTIVATION_STEPS, np.float32),
        "q_tiny": np.array(1e-12, np.float32),
        "q_zero": np.array(ZERO_POINT, np.uint8),
        "q_one": np.array(1, np.float32),
    }
    rounded: set[str] = set()
    widths: set[int] = set()
    products = 0
    for node in graph.node:
        weight = weights.get(node.input[1]) if node.op_type == "MatMul" else None
        if weight is None or np.prod(weight.dims) < SMALLEST_PRODUCT:
            nodes.append(node)
            continue
        (depth, width), source, target = weight.dims, node.input[0], node.output[0]
        if source not in rounded:  # the heads share what they read
            constants[f"q_rows_{depth}"] = np.array([-1, depth])
            nodes += _round_rows(source, depth, first=not rounded)
            rounded.add(source)
        if width not in widths:
            constants[f"q_width_{width}"] = np.array([width])
            shape = ["q_lead", f"q_width_{width}"], [f"q_shape_{width}"]
            nodes.append(helper.make_node("Concat", *shape, axis=0))
            widths.add(width)
        matrix = numpy_helper.to_array(weight)
        scale = np.maximum(np.abs(matrix).max(0), 1e-12) / WEIGHT_STEPS
        integers = np.round(matrix / scale).astype(np.int8)
        weight.CopyFrom(numpy_helper.from_array(integers, weight.name))
        constants[f"{target}_scale"] = scale.astype(np.float32)
        constants[f"q_zeros_{width}"] = np.zeros(width, np.int8)
        nodes += _multiply(source, weight.name, target, width)
        products += 1
    if products:
        del graph.node[:]
        graph.node.extend(nodes)
        graph.initializer.extend(
            numpy_helper.from_array(value, name) for name, value in constants.items()
        )
    return products


def _round_rows(x: str, depth: int, *, first: bool) -> list[onnx.NodeProto]:
    """Nodes that turn ``x [..., k]`` into rows of 8-bit numbers ``x_u8`` and their ``x_scale``.

    The first ones also find what all share: the leading axes, and a zero point for each row.
    """
    make = helper.make_node
    nodes = [
        make("Reshape", [x, f"q_rows_{depth}"], [f"{x}_rows"]),
        make("Abs", [f"{x}_rows"], [f"{x}_abs"]),
        make("ReduceMax", [f"{x}_abs", "q_last"], [f"{x}_peak"], keepdims=0),
        make("Mul", [f"{x}_peak", "q_step"], [f"{x}_step"]),
        make("Add", [f"{x}_step", "q_tiny"], [f"{x}_scale"]),
    ]
    if first:
        nodes += [
            make("Shape", [x], ["q_shape"]),
            make("Slice", ["q_shape", "q_first", "q_last"], ["q_lead"]),
            make("Shape", [f"{x}_scale"], ["q_count"]),
            # By name, onnxruntime-web can keep it off the GPU, where it fails.
            make("Expand", ["q_zero", "q_count"], ["q_zero_rows"], name="q_zero_rows"),
        ]
    return [
        *nodes,
        make("QuantizeLinear", [f"{x}_rows", f"{x}_scale", "q_zero_rows"], [f"{x}_u8"], axis=0),
        make("Unsqueeze", [f"{x}_scale", "q_last"], [f"{x}_column"]),
    ]


def _multiply(x: str, weight: str, y: str, width: int) -> list[onnx.NodeProto]:
    """Nodes that give ``y [..., width]``, the product of rounded rows and weights."""
    make = helper.make_node
    operands = [f"{x}_u8", weight, "q_one", f"{y}_scale", "q_zero", f"q_zeros_{width}"]
    return [
        # onnxruntime's own operator: the integer product and its scaling in one pass.
        make("MatMulIntegerToFloat", operands, [f"{y}_units"], domain="com.microsoft"),
        make("Mul", [f"{y}_units", f"{x}_column"], [f"{y}_rows"]),
        make("Reshape", [f"{y}_rows", f"q_shape_{width}"], [y]),
    ]
