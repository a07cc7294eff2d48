"""What an ONNX file holds, read without the onnx package, which serving does not install.

In: the bytes of a model. Out: nothing, or an ArtifactError if the file holds anything but
the operators that our graphs are made of and weights of its own: no weights in other files (ONNX
Runtime would read them from the working directory), no operators of other domains, none that
make as much room as a number in the file says, no loops. The graphs within, which are the two
branches of an `If`, are held to the same, and hold no others.

Sources: the protobuf wire format; field numbers as in onnx.proto, ONNX 1.23.
"""

from collections.abc import Iterator
from typing import Final

from streamrec.errors import ArtifactError, Refusal

__all__ = ["check_onnx"]

_MODEL_GRAPH: Final = 7
_MODEL_OPSETS: Final = 8
_MODEL_PARTS: Final = {1, 2, 3, 4, 5, 6, _MODEL_GRAPH, _MODEL_OPSETS, 14}  # no functions, no training
_OPSET_DOMAIN: Final = 1
_GRAPH_NODE: Final = 1
_GRAPH_INITIALIZER: Final = 5
_GRAPH_PARTS: Final = {_GRAPH_NODE, 2, _GRAPH_INITIALIZER, 10, 11, 12, 13, 16}  # no sparse weights
_NODE_OPERATOR: Final = 4
_NODE_ATTRIBUTE: Final = 5
_NODE_DOMAIN: Final = 7
_NODE_PARTS: Final = {1, 2, 3, _NODE_OPERATOR, _NODE_ATTRIBUTE, 6, _NODE_DOMAIN, 8, 9}
_ATTRIBUTE_GRAPH: Final = 6
_ATTRIBUTE_PARTS: Final = {1, 2, 3, 4, _ATTRIBUTE_GRAPH, 7, 8, 9, 13, 20}  # no tensors, no lists of graphs
_TENSOR_PARTS: Final = {1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12}  # no segments, no external data
_DOMAINS: Final = {b"", b"ai.onnx"}
_OPERATORS: Final = {
    b"Add",
    b"Cast",
    b"Concat",
    b"Gather",
    b"GatherElements",
    b"Gemm",
    b"Greater",
    b"If",
    b"MatMul",
    b"MatMulInteger",
    b"Min",
    b"Mul",
    b"QuantizeLinear",
    b"ReduceMax",
    b"Reshape",
    b"Sigmoid",
    b"Slice",
    b"Split",
    b"Squeeze",
    b"Sub",
    b"Tanh",
    b"TopK",
    b"Unsqueeze",
}

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def check_onnx(value: bytes, name: str) -> None:
    """Raises ArtifactError, naming the file, if the model is more than operators and weights."""
    try:
        _check_model(memoryview(value))
    except _NotAllowedError as error:
        reason: Refusal = "damaged" if isinstance(error, _NoOnnxError) else "wrong_shape"
        raise ArtifactError(f"{name}: {error}; export the model again with streamrec", reason) from None


class _NotAllowedError(Exception):
    pass


class _NoOnnxError(_NotAllowedError):
    pass


def _check_model(model: memoryview) -> None:
    graphs = 0
    for field, part in _fields(model, _MODEL_PARTS, "the model"):
        if field == _MODEL_OPSETS:
            for _, domain in _only(_fields(part, {_OPSET_DOMAIN, 2}, "an operator set"), _OPSET_DOMAIN):
                _check_domain(domain)
        elif field == _MODEL_GRAPH:
            graphs += 1
            _check_graph(part)
    if not graphs:
        raise _NoOnnxError("there is no graph in it")


def _check_graph(graph: memoryview, *, is_branch: bool = False) -> None:
    for field, part in _fields(graph, _GRAPH_PARTS, "the graph"):
        if field == _GRAPH_INITIALIZER:
            for _ in _fields(part, _TENSOR_PARTS, "weights, which have to be in the file itself,"):
                pass
        elif field == _GRAPH_NODE:
            for field_of_node, value in _fields(part, _NODE_PARTS, "a node"):
                if field_of_node == _NODE_DOMAIN:
                    _check_domain(value)
                elif field_of_node == _NODE_OPERATOR:
                    _check_operator(value)
                elif field_of_node == _NODE_ATTRIBUTE:
                    for field_of_attribute, part in _fields(value, _ATTRIBUTE_PARTS, "an attribute"):
                        if field_of_attribute == _ATTRIBUTE_GRAPH:
                            _check_branch(part, is_branch)


def _check_branch(graph: memoryview, is_within_another: bool) -> None:
    # One level is all that we need, and as deep as a file can make us go.
    if is_within_another:
        raise _NotAllowedError("a branch has branches of its own, which is not allowed")
    _check_graph(graph, is_branch=True)


def _check_domain(domain: memoryview) -> None:
    if bytes(domain) not in _DOMAINS:
        raise _NotAllowedError(
            f"operators of the domain {bytes(domain[:64])!r} are not allowed, only ONNX's own"
        )


def _check_operator(operator: memoryview) -> None:
    if bytes(operator) not in _OPERATORS:
        known = b", ".join(sorted(_OPERATORS)).decode()
        raise _NotAllowedError(f"the operator {bytes(operator[:64])!r} is not allowed, only {known}")


def _only(fields: Iterator[tuple[int, memoryview]], wanted: int) -> Iterator[tuple[int, memoryview]]:
    return (each for each in fields if each[0] == wanted)


def _fields(message: memoryview, allowed: set[int], what: str) -> Iterator[tuple[int, memoryview]]:
    """Number and content of every field; numbers have empty content."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        field, kind = key >> 3, key & 7
        if field not in allowed:
            raise _NotAllowedError(f"{what} has a field {field}, which is not allowed")
        start = place
        if kind == _VARINT:
            _, place = _varint(message, place)
            start = place
        elif kind == _BYTES:
            size, start = _varint(message, place)
            place = start + size
        elif kind in (_FIXED32, _FIXED64):
            start = place = place + (4 if kind == _FIXED32 else 8)
        else:
            raise _NoOnnxError("it is no ONNX file")
        if place > len(message):
            raise _NoOnnxError("it is no ONNX file, or cut short")
        yield field, message[start:place]


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            break
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place += 1
        if byte < 0x80:
            return value, place
    raise _NoOnnxError("it is no ONNX file, or cut short")
