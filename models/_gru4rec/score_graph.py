"""The graph of a list: from a hidden state to the n best items, written node by node.

The items of a large catalogue are scored twice: all of them roughly, in whole numbers of 8 bits, which is
what a processor does fastest, and exactly those that come best out of that. What is rough never shows: scores
are those of single precision, and an item is missed only where `SPARE` others are put before it by mistake.
Of a very large catalogue, only some clusters of items are scored at all; see search_graph.py.

The states of a GRU lie between -1 and 1, so that one scale serves all of them, and sums of whole
numbers are exact: a list depends on nothing else in its batch, as it would with scales found at run time.
"""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from streamrec.contracts import OnStep
from streamrec.models._gru4rec.clusters import CAPACITY, FILLED, clusters
from streamrec.models._gru4rec.graph_parts import (
    CONSTANTS,
    SPARE,
    Nodes,
    best_places,
    in_whole_numbers,
    ranked,
    rough_products,
    whole_state,
)
from streamrec.models._gru4rec.search_graph import search_nodes

__all__ = ["CLUSTERED_FROM", "PROBES", "SCREENED_FROM", "score_bytes", "score_nodes"]

SCREENED_FROM: Final = 4096
"""Items; a smaller catalogue is scored exactly at once, which takes no longer."""
CLUSTERED_FROM: Final = 150_000
"""Items; a smaller catalogue is screened as a whole, which takes no longer in full batches."""
PROBES: Final = 192
"""Clusters that are looked into."""

Array = NDArray[Any]
_node = helper.make_node


def score_nodes(
    items: Array,
    bias: Array,
    layers: int,
    *,
    clustered_from: int = CLUSTERED_FROM,
    probes: int = PROBES,
    on_step: OnStep | None = None,
) -> Nodes:
    """From hidden (B, L·H), bias (N,) and n (1,) to indices and scores, both (B, n), best first.

    items: (N, H), the output weights. bias: (N,), as it is while no item is left out. on_step: told how many
    items are in clusters, where clusters are needed. Ties go by lower index; of more than `SPARE` items that
    tie with the last place of a large catalogue, some. In the clusters looked into there may be fewer than n
    items that are not left out: the last scores are -inf then, and the indices beside them no items.
    """
    n_items, width = items.shape
    made = Nodes([], {"items": items})
    state = "hidden"
    if layers > 1:  # the last layer's part
        state = "state"
        ends = {"first": (layers - 1) * width, "end": layers * width, "axis": 1}
        made.initializers.update({name: np.array([value]) for name, value in ends.items()})
        made.nodes.append(_node("Slice", ["hidden", "first", "end", "axis"], [state]))
    if n_items < SCREENED_FROM:
        made.nodes.extend(_exact(state))
    elif n_items < clustered_from:
        made.add(_screened(items, state))
    else:
        made.add(search_nodes(clusters(items, bias, on_step), items, bias, state, probes))
    return made


def score_bytes(n_items: int, width: int) -> int:
    """About what the weights of the graph of a very large catalogue take."""
    places = n_items / FILLED
    return round(4 * width * n_items + (width + 12) * places + (width + 8) * places / CAPACITY)


def _exact(state: str) -> list[Any]:
    return [
        _node("Gemm", [state, "items", "bias"], ["all"], transB=1),
        _node("TopK", ["all", "n"], ["scores", "indices"]),
    ]


def _screened(items: Array, state: str) -> Nodes:
    """All items by rough scores, in a grid padded at its end; the best of them by exact ones."""
    n_items = len(items)
    rows = math.isqrt(n_items // (2 * SPARE))
    columns = -(-n_items // rows)
    padding = rows * columns - n_items
    whole, scales = in_whole_numbers(np.pad(items, ((0, padding), (0, 0))))
    made = Nodes(
        [
            whole_state(state),
            *rough_products("products", "whole_state", "whole", "scales"),
            _node("Concat", ["bias", "never"], ["padded_bias"], axis=0),
            _node("Add", ["products", "padded_bias"], ["rough"]),
            _node("Add", ["n", "spare"], ["n_and_spare"]),
            _node("Min", ["n_and_spare", "n_places"], ["wanted"]),
        ],
        {
            **CONSTANTS,
            "whole": np.ascontiguousarray(whole.T),
            "scales": scales,
            "never": np.full(padding, -np.inf, np.float32),
            "n_places": np.array([rows * columns]),
            "last_item": np.array([n_items - 1]),
        },
    )
    made.add(best_places("rough", "in_no_order", "wanted", rows, columns))
    made.nodes.extend(
        [
            # By index: of equal scores, TopK puts what stands first before the others.
            _node("TopK", ["in_no_order", "wanted"], ["places", "order"], largest=0),
            _node("Gather", ["padded_bias", "places"], ["biases"]),
            # What the grid is padded with has no weights; its bias leaves it out.
            _node("Min", ["places", "last_item"], ["candidates"]),
            *ranked(state, "candidates", "biases"),
        ]
    )
    return made
