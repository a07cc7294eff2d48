"""Nodes and weights as an ONNX model, checked."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

__all__ = ["onnx_model", "single"]

_OPSET: Final = 18
_IR_VERSION: Final = 9

Array = NDArray[Any]


def onnx_model(
    name: str,
    nodes: list[Any],
    *,
    inputs: list[tuple[str, int, list[Any]]],
    outputs: list[tuple[str, int, list[Any]]],
    initializers: Mapping[str, Array],
) -> Any:
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(*each) for each in inputs],
        [helper.make_tensor_value_info(*each) for each in outputs],
        [numpy_helper.from_array(single(value), key) for key, value in initializers.items()],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="streamrec",
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def single(value: Array) -> Array:
    """Floats in single precision; integers as they are."""
    return value.astype(np.float32) if value.dtype.kind == "f" else value
