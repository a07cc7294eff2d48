"""The graph of a list: from a hidden state to the n best items, written node by node.

The items of a large catalogue are scored twice: all of them roughly, in whole numbers of 8 bits, which is
what a processor does fastest, and exactly those that come best out of that. What is rough never shows: scores
are those of single precision, and an item is missed only where `_SPARE` others are put before it by mistake.

The states of a GRU lie between -1 and 1, so that one scale serves all of them, and sums of whole
numbers are exact: a list depends on nothing else in its batch, as it would with scales found at run time.
"""

import math
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

__all__ = ["SCREENED_FROM", "score_nodes"]

SCREENED_FROM: Final = 4096
"""Items; a smaller catalogue is scored exactly at once, which takes no longer."""
_SPARE: Final = 16
"""Candidates beyond those asked for."""
_STATE_STEPS: Final = 127
# 7 bits, not 8: processors without VNNI add two products in 16 bits, and must not run over.
_WEIGHT_STEPS: Final = 63

Array = NDArray[Any]


class _Nodes(NamedTuple):
    """What the graph is made of."""

    nodes: list[Any]
    initializers: dict[str, Array]


def score_nodes(items: Array, layers: int) -> _Nodes:
    """From hidden (B, L·H), bias (N,) and n (1,) to indices and scores, both (B, n), best first.

    items: (N, H), the output weights. Ties go by lower index; of more than `_SPARE` items that tie with the
    last place of a large catalogue, some.
    """
    n_items, width = items.shape
    made = _Nodes([], {"items": items})
    output = "hidden"
    if layers > 1:  # the last layer's part
        output = "output"
        ends = {"first": (layers - 1) * width, "end": layers * width, "axis": 1}
        made.initializers.update({name: np.array([value]) for name, value in ends.items()})
        made.nodes.append(helper.make_node("Slice", ["hidden", "first", "end", "axis"], [output]))
    if n_items < SCREENED_FROM:
        made.nodes.extend(_exact(output))
        return made
    candidates = _candidates(items, output)
    made.initializers.update(candidates.initializers)
    made.nodes.extend([*candidates.nodes, *_ranked(output)])
    return made


def _exact(output: str) -> list[Any]:
    node = helper.make_node
    return [
        node("Gemm", [output, "items", "bias"], ["all"], transB=1),
        node("TopK", ["all", "n"], ["scores", "indices"]),
    ]


def _candidates(items: Array, output: str) -> _Nodes:
    """To `candidates` (B, n + spare): the best by rough scores, by index.

    The items stand in a grid, padded at its end; the best of all are members of the columns with the best
    maxima, so that only those are looked through.
    """
    node = helper.make_node
    n_items = len(items)
    rows = math.isqrt(n_items // (2 * _SPARE))
    columns = -(-n_items // rows)
    padding = rows * columns - n_items
    whole, scales = _in_whole_numbers(items)
    initializers = {
        "whole": np.ascontiguousarray(np.pad(whole, ((0, padding), (0, 0))).T),
        "scales": np.pad(scales / _STATE_STEPS, (0, padding)).astype(np.float32),
        "never": np.full(padding, -np.inf, np.float32),
        "state_step": np.array(1 / _STATE_STEPS, np.float32),
        "state_zero": np.array(_STATE_STEPS + 1, np.uint8),
        "spare": np.array([_SPARE]),
        "columns": np.array([columns]),
        "places": np.array([rows * columns]),
        "last_item": np.array([n_items - 1]),
        "grid_shape": np.array([0, rows, columns]),
        "flat": np.array([0, -1]),
        "row_starts": columns * np.arange(rows).reshape(1, rows, 1),
        "axis_1": np.array([1]),
        "axis_2": np.array([2]),
    }
    nodes = [
        node("QuantizeLinear", [output, "state_step", "state_zero"], ["whole_state"]),
        node("MatMulInteger", ["whole_state", "whole", "state_zero"], ["sums"]),
        node("Cast", ["sums"], ["sums_as_floats"], to=TensorProto.FLOAT),
        node("Mul", ["sums_as_floats", "scales"], ["products"]),
        node("Concat", ["bias", "never"], ["padded_bias"], axis=0),
        node("Add", ["products", "padded_bias"], ["rough"]),
        # The columns.
        node("Add", ["n", "spare"], ["wanted"]),
        node("Reshape", ["rough", "grid_shape"], ["grid"]),
        node("ReduceMax", ["grid", "axis_1"], ["maxima"], keepdims=0),
        node("Min", ["wanted", "columns"], ["wanted_columns"]),
        node("TopK", ["maxima", "wanted_columns"], ["best_maxima", "best_columns"], sorted=0),
        # Their members.
        node("Unsqueeze", ["best_columns", "axis_1"], ["one_row"]),
        node("Add", ["one_row", "row_starts"], ["all_rows"]),
        node("Reshape", ["all_rows", "flat"], ["members"]),
        node("GatherElements", ["rough", "members"], ["rough_members"], axis=1),
        node("Min", ["wanted", "places"], ["wanted_members"]),
        node("TopK", ["rough_members", "wanted_members"], ["best_rough", "best_members"], sorted=0),
        node("GatherElements", ["members", "best_members"], ["in_no_order"], axis=1),
        # By index: of equal scores, TopK puts what stands first before the others.
        node("TopK", ["in_no_order", "wanted_members"], ["candidates", "places_in_no_order"], largest=0),
    ]
    return _Nodes(nodes, initializers)


def _ranked(output: str) -> list[Any]:
    """From `candidates` to the n best of them by exact scores.

    A product of its own for each row: a row's scores do not depend on the batch.
    """
    node = helper.make_node
    return [
        # What the grid is padded with has no weights; its bias leaves it out.
        node("Min", ["candidates", "last_item"], ["with_weights"]),
        node("Gather", ["items", "with_weights"], ["weights"]),
        node("Unsqueeze", [output, "axis_2"], ["state"]),
        node("MatMul", ["weights", "state"], ["exact_products"]),
        node("Squeeze", ["exact_products", "axis_2"], ["exact_rows"]),
        node("Gather", ["padded_bias", "candidates"], ["biases"]),
        node("Add", ["exact_rows", "biases"], ["exact"]),
        node("TopK", ["exact", "n"], ["scores", "best"]),
        node("GatherElements", ["candidates", "best"], ["indices"], axis=1),
    ]


def _in_whole_numbers(items: Array) -> tuple[Array, Array]:
    """int8 (N, H), and the scale of each item (N,)."""
    scales = np.maximum(np.abs(items).max(axis=1), np.finfo(np.float32).tiny) / _WEIGHT_STEPS
    return np.rint(items / scales[:, None]).astype(np.int8), scales
