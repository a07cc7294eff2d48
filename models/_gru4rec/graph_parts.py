"""What the graphs of a list have in common: states and weights in whole numbers, the best of many scores, and
the second look at those. Each part says which tensors it takes and which it gives.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

__all__ = [
    "CONSTANTS",
    "SPARE",
    "Nodes",
    "best_columns",
    "best_places",
    "exact_scores",
    "in_whole_numbers",
    "ranked",
    "rough_products",
    "whole_state",
]

SPARE: Final = 16
"""Candidates beyond those asked for."""
_STATE_STEPS: Final = 127
# 7 bits, not 8: processors without VNNI add two products in 16 bits, and must not run over.
_WEIGHT_STEPS: Final = 63

Array = NDArray[Any]
_node = helper.make_node

CONSTANTS: Final[dict[str, Array]] = {
    "state_step": np.array(1 / _STATE_STEPS, np.float32),
    "state_zero": np.array(_STATE_STEPS + 1, np.uint8),
    "spare": np.array([SPARE]),
    "flat": np.array([0, -1]),
    "one": np.array([1]),
    "two": np.array([2]),
}


class Nodes(NamedTuple):
    """What a graph is made of."""

    nodes: list[Any]
    initializers: dict[str, Array]

    def add(self, *others: "Nodes") -> None:
        """Put others behind."""
        for other in others:
            self.nodes.extend(other.nodes)
            self.initializers.update(other.initializers)


def in_whole_numbers(weights: Array) -> tuple[Array, Array]:
    """int8 (N, H), and by what a product with `whole_state` is to be multiplied, float32 (N,)."""
    scales = np.maximum(np.abs(weights).max(axis=1), np.finfo(np.float32).tiny) / _WEIGHT_STEPS
    return np.rint(weights / scales[:, None]).astype(np.int8), (scales / _STATE_STEPS).astype(np.float32)


def whole_state(state: str) -> Any:
    """To `whole_state` (B, H)."""
    return _node("QuantizeLinear", [state, "state_step", "state_zero"], ["whole_state"])


def rough_products(name: str, states: str, whole: str, scales: str) -> list[Any]:
    """To `name`: products of whole numbers, as the floats that they stand for."""
    return [
        _node("MatMulInteger", [states, whole, "state_zero"], [f"{name}.sums"]),
        _node("Cast", [f"{name}.sums"], [f"{name}.as_floats"], to=TensorProto.FLOAT),
        _node("Mul", [f"{name}.as_floats", scales], [name]),
    ]


def best_columns(scores: str, members: str, wanted: str, rows: int, columns: int) -> Nodes:
    """From `scores` (B, rows · columns) to `members` (B, M): the places in which the best of them are.

    wanted: (1,). The scores stand in a grid, of which the wanted number of columns with the best maxima is
    taken, with all their places: the wanted number of best scores is among them.
    """

    def own(name: str) -> str:
        return f"{members}.{name}"

    return Nodes(
        [
            _node("Reshape", [scores, own("grid_shape")], [own("grid")]),
            _node("ReduceMax", [own("grid"), "one"], [own("maxima")], keepdims=0),
            _node("Min", [wanted, own("columns")], [own("wanted")]),
            _node("TopK", [own("maxima"), own("wanted")], [own("best_maxima"), own("best")], sorted=0),
            _node("Unsqueeze", [own("best"), "one"], [own("one_row")]),
            _node("Add", [own("one_row"), own("row_starts")], [own("all_rows")]),
            _node("Reshape", [own("all_rows"), "flat"], [members]),
        ],
        {
            own("grid_shape"): np.array([0, rows, columns]),
            own("columns"): np.array([columns]),
            own("row_starts"): columns * np.arange(rows).reshape(1, rows, 1),
        },
    )


def best_places(scores: str, places: str, wanted: str, rows: int, columns: int) -> Nodes:
    """From `scores` (B, rows · columns) to `places` (B, wanted) of the best of them, in no order.

    wanted: (1,); no more than there are scores.
    """
    members = f"{places}.members"
    made = best_columns(scores, members, wanted, rows, columns)
    made.nodes.extend(
        [
            _node("GatherElements", [scores, members], [f"{places}.scores"], axis=1),
            _node(
                "TopK", [f"{places}.scores", wanted], [f"{places}.best_scores", f"{places}.best"], sorted=0
            ),
            _node("GatherElements", [members, f"{places}.best"], [places], axis=1),
        ]
    )
    return made


def exact_scores(name: str, state: str, weights: str, biases: str) -> list[Any]:
    """To `name` (B, C) from weights (C, H) or (B, C, H) and biases (C,) or (B, C).

    A product of its own for each row: a row's scores do not depend on the batch.
    """
    return [
        _node("Unsqueeze", [state, "two"], [f"{name}.state"]),
        _node("MatMul", [weights, f"{name}.state"], [f"{name}.products"]),
        _node("Squeeze", [f"{name}.products", "two"], [f"{name}.rows"]),
        _node("Add", [f"{name}.rows", biases], [name]),
    ]


def ranked(state: str, candidates: str, biases: str) -> list[Any]:
    """From candidates (B, C), by index, and their biases to `indices` and `scores` of the n best."""
    return [
        _node("Gather", ["items", candidates], ["weights"]),
        *exact_scores("exact", state, "weights", biases),
        _node("TopK", ["exact", "n"], ["scores", "best"]),
        _node("GatherElements", [candidates, "best"], ["indices"], axis=1),
    ]
