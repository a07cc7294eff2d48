"""Who trusts whom, as a matrix."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from streamrec.errors import DatasetError
from streamrec.feedback import Trust

__all__ = ["trust_matrix"]


def trust_matrix(trust: Sequence[Trust], users: Mapping[str, int]) -> Any:
    """(n_users, n_users) sparse, weights as shares of the highest; links of others are left out.

    users: index by id. Of a link given twice the last counts; nobody trusts itself.
    Raises DatasetError if a weight is not above 0.
    """
    links: dict[tuple[int, int], float] = {}
    for user_id, trusted_id, weight in trust:
        if not 0 < weight < np.inf:
            raise DatasetError(
                f"{user_id!r} trusts {trusted_id!r} by {weight:g}; weights are above 0: "
                "leave out who is not trusted"
            )
        if user_id in users and trusted_id in users and user_id != trusted_id:
            links[users[user_id], users[trusted_id]] = weight
    rows, columns = np.array(list(links), np.int64).reshape(-1, 2).T
    weights = np.array(list(links.values()))
    return sparse.csr_array(
        (weights / weights.max(initial=1e-300), (rows, columns)), shape=(len(users), len(users))
    )
