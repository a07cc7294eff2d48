"""Training by the library implicit: with one thread, so that the same seed gives the same bits."""

from typing import Any, Final

import numpy as np
from scipy.sparse import csr_array, csr_matrix

from streamrec.models._extras import imported
from streamrec.models._latent import Progress

__all__ = ["LIBRARIES", "trained"]

LIBRARIES: Final = ("implicit", "threadpoolctl")
"""What training needs to be installed."""


def trained(
    module: str, name: str, weights: csr_array, seed: int, progress: Progress, **parameters: Any
) -> Any:
    """A model of the library, trained. weights: (visitors, items). Raises ConfigError if that is missing."""
    made = imported(f"implicit.cpu.{module}", name)
    threadpool_limits = imported("threadpoolctl", "threadpool_limits")
    # Its loops call BLAS, whose own threads would wait for each other: it warns of more than one.
    with threadpool_limits(1, "blas"):
        # numpy takes seeds of 32 bits.
        model = made(random_state=seed % 2**32, num_threads=1, **parameters)
        given = csr_matrix(weights, dtype=np.float32)
        model.fit(given, show_progress=False, callback=lambda *_: progress(None))
    return model
