"""The graph of a list where the catalogue is very large: an inverted file.

The centroids of clusters are scored like items, the items of the best clusters in whole numbers of 8 bits,
and the best of those exactly. An item is missed if its cluster is not among those looked into.

Who asks for more than `MOST_SEARCHED` items has all of them scored exactly.
"""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from streamrec.models._gru4rec.clusters import CAPACITY, NOBODY, Clusters
from streamrec.models._gru4rec.graph_parts import (
    CONSTANTS,
    Nodes,
    best_columns,
    best_places,
    exact_scores,
    in_whole_numbers,
    ranked,
    rough_products,
    whole_state,
)

__all__ = ["MOST_SEARCHED", "search_nodes"]

MOST_SEARCHED: Final = 256
"""Items of a list that is looked for in clusters: of longer ones, more would be missed."""

_LEFT_OUT: Final = 128
"""Of the best items, so many may be left out, and lists are none the worse."""

Array = NDArray[Any]
_node = helper.make_node


def search_nodes(found: Clusters, items: Array, bias: Array, state: str, probes: int) -> Nodes:
    """From `state` (B, H), bias (N,) and n (1,) to indices and scores, both (B, n).

    items: (N, H), which the graph has as `items`. bias: (N,), as it is while no item is left out.
    probes: clusters that are looked into.
    """
    probes = min(probes, len(found.members))
    looking_into_some = _looking_into_some(found, items, bias, state, probes)
    return Nodes(
        [
            _node("Greater", ["n", "most"], ["is_for_all"]),
            _node(
                "If",
                ["is_for_all"],
                ["indices", "scores"],
                then_branch=_branch("all", _looking_at_all(state)),
                else_branch=_branch("some", looking_into_some.nodes),
            ),
        ],
        {
            **CONSTANTS,
            **looking_into_some.initializers,
            "most": np.array([MOST_SEARCHED]),
            "left_out": np.array([_LEFT_OUT]),
        },
    )


def _branch(name: str, nodes: list[Any]) -> Any:
    """Weights are those of the graph around it."""
    outputs = [("indices", TensorProto.INT64), ("scores", TensorProto.FLOAT)]
    return helper.make_graph(
        nodes, name, [], [helper.make_tensor_value_info(*each, ["B", "n_best"]) for each in outputs]
    )


def _looking_at_all(state: str) -> list[Any]:
    return [
        *exact_scores("exact", state, "items", "bias"),
        _node("TopK", ["exact", "n"], ["scores", "indices"]),
    ]


def _looking_into_some(found: Clusters, items: Array, bias: Array, state: str, probes: int) -> Nodes:
    rows = CAPACITY // 8
    made = Nodes([whole_state(state), _node("Add", ["n", "left_out"], ["n_and_left_out"])], {})
    made.add(
        _probed(found, probes),
        _rough(found, items, bias),
        best_columns("rough", "members", "n_and_left_out", rows, probes * CAPACITY // rows),
    )
    made.nodes.extend(
        [
            *_of_members("items", "index"),
            *_of_members("products", "product"),
            *_of_members("biases", "usual_bias"),
            # Left out, or nobody: never.
            _node("Gather", ["bias", "index"], ["bias_now"]),
            _node("Min", ["bias_now", "usual_bias"], ["member_bias"]),
            _node("Add", ["product", "member_bias"], ["member_rough"]),
            _node("Add", ["n", "spare"], ["wanted"]),
            _node("TopK", ["member_rough", "wanted"], ["best_rough", "in_no_order"], sorted=0),
            _node("GatherElements", ["index", "in_no_order"], ["index_in_no_order"], axis=1),
            _node("Cast", ["index_in_no_order"], ["long_index"], to=TensorProto.INT64),
            # By index: of equal scores, TopK puts what stands first before the others.
            _node("TopK", ["long_index", "wanted"], ["candidates", "order"], largest=0),
            _node("GatherElements", ["in_no_order", "order"], ["in_order"], axis=1),
            _node("GatherElements", ["member_bias", "in_order"], ["candidate_bias"], axis=1),
            *ranked(state, "candidates", "candidate_bias"),
        ]
    )
    return made


def _of_members(all_places: str, some: str) -> list[Any]:
    return [_node("GatherElements", [f"probed_{all_places}", "members"], [some], axis=1)]


def _probed(found: Clusters, probes: int) -> Nodes:
    """To `probed` (B, probes): the clusters whose centroids score best, in a grid padded at its end."""
    n = len(found.members)
    rows = max(1, math.isqrt(n // probes))
    columns = -(-n // rows)
    padding = (0, rows * columns - n)
    whole, scales = in_whole_numbers(np.pad(found.weights, (padding, (0, 0))))
    made = Nodes(
        [
            *rough_products("centroid_products", "whole_state", "centroids", "centroid_scales"),
            _node("Add", ["centroid_products", "centroid_bias"], ["of_centroids"]),
        ],
        {
            "centroids": np.ascontiguousarray(whole.T),
            "centroid_scales": scales,
            "centroid_bias": np.pad(found.bias, padding, constant_values=-np.inf),
            "probes": np.array([probes]),
        },
    )
    made.add(best_places("of_centroids", "probed", "probes", rows, columns))
    return made


def _rough(found: Clusters, items: Array, bias: Array) -> Nodes:
    """To `rough` scores (B, probes · CAPACITY) of every place in the clusters that are looked into, with
    `probed_items`, `probed_products` and `probed_biases`.

    The weights of a cluster lie side by side, so that one copy takes them to the product. Biases are those of
    export: to look up all those of now, which lie apart, takes nearly as long as the rest.
    """
    nobody = found.members == NOBODY
    whole, scales = in_whole_numbers(items)
    by_place = np.where(nobody[:, :, None], np.int8(0), whole[found.members]).transpose(0, 2, 1)
    return Nodes(
        [
            _node("Gather", ["whole", "probed"], ["probed_whole"]),
            _node("Gather", ["scales", "probed"], ["probed_scales"]),
            _node("Unsqueeze", ["probed_scales", "two"], ["scale_rows"]),
            _node("Unsqueeze", ["whole_state", "one_and_two"], ["state_row"]),
            *rough_products("products", "state_row", "probed_whole", "scale_rows"),
            _node("Reshape", ["products", "flat"], ["probed_products"]),
            _node("Gather", ["members_bias", "probed"], ["bias_rows"]),
            _node("Reshape", ["bias_rows", "flat"], ["probed_biases"]),
            _node("Gather", ["members_index", "probed"], ["index_rows"]),
            _node("Reshape", ["index_rows", "flat"], ["probed_items"]),
            _node("Add", ["probed_products", "probed_biases"], ["rough"]),
        ],
        {
            "whole": np.ascontiguousarray(by_place),
            "scales": scales[found.members],
            "members_index": found.members,
            "members_bias": np.where(nobody, np.float32(-np.inf), bias[found.members]),
            "one_and_two": np.array([1, 2]),
        },
    )
