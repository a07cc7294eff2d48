"""Graphs of standard operators with weights of their own, and nothing else."""

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from streamrec.errors import ArtifactError
from streamrec.onnx_file import check_onnx


def product() -> Any:
    """x @ w as an ONNX model."""
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B", 2])],
        [numpy_helper.from_array(np.eye(2, dtype=np.float32), "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def weights_elsewhere(model: Any) -> None:
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="weights.bin")


def weights_elsewhere_unsaid(model: Any) -> None:
    model.graph.initializer[0].external_data.add(key="location", value="weights.bin")


def foreign_operator(model: Any) -> None:
    model.graph.node[0].domain = "com.example"


def unknown_operator(model: Any) -> None:
    model.graph.node[0].op_type = "Guess"


def room_out_of_nothing(model: Any) -> None:
    shape = numpy_helper.from_array(np.array([1 << 40]), "shape")
    model.graph.initializer.append(shape)
    model.graph.node.append(helper.make_node("ConstantOfShape", ["shape"], ["z"]))


def loop(model: Any) -> None:
    model.graph.node.append(helper.make_node("Loop", ["m", "c"], ["z"]))


def foreign_operator_set(model: Any) -> None:
    model.opset_import.add(domain="com.microsoft", version=1)


def branches(model: Any, **inner: Any) -> None:
    graph = helper.make_graph(
        [inner.get("node", helper.make_node("Add", ["x", "x"], ["z"]))], "inner", [], []
    )
    model.graph.node.append(helper.make_node("If", ["c"], ["z"], then_branch=graph, else_branch=graph))


def foreign_operator_in_a_branch(model: Any) -> None:
    branches(model, node=helper.make_node("Add", ["x", "x"], ["z"], domain="com.example"))


def unknown_operator_in_a_branch(model: Any) -> None:
    branches(model, node=helper.make_node("Guess", ["x"], ["z"]))


def weights_elsewhere_in_a_branch(model: Any) -> None:
    branches(model)
    outside = numpy_helper.from_array(np.eye(2, dtype=np.float32), "w")
    outside.external_data.add(key="location", value="weights.bin")
    model.graph.node[-1].attribute[1].g.initializer.append(outside)


def branches_of_a_branch(model: Any) -> None:
    inner = product()
    branches(inner)
    branches(model, node=inner.graph.node[-1])


def graphs_in_a_list(model: Any) -> None:
    inner = helper.make_graph([], "inner", [], [])
    model.graph.node.append(helper.make_node("Add", ["x", "x"], ["z"], branches=[inner]))


def weights_in_an_attribute(model: Any) -> None:
    value = numpy_helper.from_array(np.zeros(1, np.float32))
    model.graph.node.append(helper.make_node("Constant", [], ["z"], value=value))


def sparse_weights(model: Any) -> None:
    model.graph.sparse_initializer.add()


def function(model: Any) -> None:
    model.functions.add(name="f", domain="com.example")


def no_graph(model: Any) -> None:
    model.ClearField("graph")


@pytest.mark.parametrize(
    "change",
    [
        weights_elsewhere,
        weights_elsewhere_unsaid,
        foreign_operator,
        unknown_operator,
        room_out_of_nothing,
        loop,
        foreign_operator_set,
        foreign_operator_in_a_branch,
        unknown_operator_in_a_branch,
        weights_elsewhere_in_a_branch,
        branches_of_a_branch,
        graphs_in_a_list,
        weights_in_an_attribute,
        sparse_weights,
        function,
        no_graph,
    ],
    ids=lambda change: change.__name__,
)
def test_more_than_operators_and_weights_is_refused(change: Callable[[Any], None]) -> None:
    model = product()
    check_onnx(model.SerializeToString(), "m.onnx")
    change(model)
    with pytest.raises(ArtifactError, match=r"^m\.onnx: .*; export the model again"):
        check_onnx(model.SerializeToString(), "m.onnx")


def test_branches_of_the_same_operators_are_let_in() -> None:
    model = product()
    branches(model)
    check_onnx(model.SerializeToString(), "m.onnx")


@given(st.data())
def test_a_truncated_file_is_refused_or_a_whole_message_less(data: st.DataObject) -> None:
    value = product().SerializeToString()
    cut = value[: data.draw(st.integers(0, len(value) - 1))]
    try:
        check_onnx(cut, "m.onnx")
    except ArtifactError:
        return
    onnx.ModelProto.FromString(cut)  # cut between two fields it is a model, if an odd one


@given(st.binary(max_size=200))
def test_any_bytes_are_accepted_or_refused(value: bytes) -> None:
    with contextlib.suppress(ArtifactError):
        check_onnx(value, "m.onnx")


@given(st.data())
def test_no_changed_byte_brings_weights_elsewhere_past_the_check(data: st.DataObject) -> None:
    model = product()
    if data.draw(st.booleans()):
        weights_elsewhere(model)
    value = bytearray(model.SerializeToString())
    place = data.draw(st.integers(0, len(value) - 1))
    value[place] = data.draw(st.integers(0, 255))
    try:
        check_onnx(bytes(value), "m.onnx")
        weights = onnx.ModelProto.FromString(bytes(value)).graph.initializer
    except (ArtifactError, DecodeError):
        return
    assert not any(each.external_data or each.data_location for each in weights)
