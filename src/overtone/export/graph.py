"""ONNX graphs that keep their own description: what exports of every kind share."""

import logging
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from overtone.errors import ConfigError
from overtone.inference.family import METADATA_KEY, ModelInfo

# Weights of at least this many numbers are stored as float16.
LARGE_WEIGHT = 4096


def round_weights(model: nn.Module) -> None:
    """Leave in ``model`` what :func:`halve_weights` stores of it."""
    for parameter in model.parameters():
        if parameter.numel() >= LARGE_WEIGHT:
            parameter.data = parameter.data.half().float()


def trace(
    model: nn.Module,
    example: Sequence[Tensor],
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    dynamic_shapes: Sequence[dict[int, Any]],
    info: ModelInfo,
) -> onnx.ModelProto:
    """Return the graph of ``model``, with ``info`` in its metadata and nothing of this machine.

    The tensors of ``example`` must be distinct and random: equal ones give a graph that mixes
    them up.
    """
    # The exporter reports at length on what it need not do.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model,
            tuple(example),
            dynamo=True,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=tuple(dynamic_shapes),
            verbose=False,
        )
    if program is None:
        raise ConfigError("torch.onnx.export gave no program")
    proto: onnx.ModelProto = program.model_proto
    for entry in (
        onnx.StringStringEntryProto(key=METADATA_KEY, value=info.model_dump_json()),
        onnx.StringStringEntryProto(key="license", value=info.license),
    ):
        proto.metadata_props.append(entry)
    _strip(proto)
    return proto


def _strip(proto: onnx.ModelProto) -> None:
    """Take out stack traces, which name the folders of the machine that exported."""
    for node in [*proto.graph.node, *(n for f in proto.functions for n in f.node)]:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in [*proto.graph.value_info, *proto.graph.initializer]:
        del value.metadata_props[:]


def halve_weights(graph: onnx.GraphProto) -> None:
    """Store large weights as float16; the runtime widens them once, when it loads the file."""
    for index, weight in enumerate(graph.initializer):
        if weight.data_type != onnx.TensorProto.FLOAT or np.prod(weight.dims) < LARGE_WEIGHT:
            continue
        half = onnx.numpy_helper.to_array(weight).astype(np.float16)
        narrow = onnx.numpy_helper.from_array(half, f"{weight.name}_float16")
        widen = onnx.helper.make_node(
            "Cast", [narrow.name], [weight.name], to=onnx.TensorProto.FLOAT
        )
        graph.initializer[index].CopyFrom(narrow)
        graph.node.insert(0, widen)
