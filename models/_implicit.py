"""Training by the library implicit: with one thread, so that the same seed gives the same bits."""

from importlib import import_module
from typing import Any, Final

import numpy as np
from scipy.sparse import csr_array, csr_matrix

from streamrec.errors import ConfigError
from streamrec.models._latent import Progress

__all__ = ["LIBRARIES", "trained"]

LIBRARIES: Final = ("implicit", "threadpoolctl")
"""What training needs to be installed."""


def trained(
    module: str, name: str, weights: csr_array, seed: int, progress: Progress, **parameters: Any
) -> Any:
    """A model of the library, trained. weights: (visitors, items). Raises ConfigError if it is not installed.

    Imported only to train: what was saved is scored without it.
    """
    try:
        made = getattr(import_module(f"implicit.cpu.{module}"), name)
        from threadpoolctl import threadpool_limits
    except ModuleNotFoundError as error:
        if str(error.name).split(".")[0] not in LIBRARIES:
            raise
        raise ConfigError(
            f'{name} is trained by implicit, which is not installed; pip install "streamrec[train]"'
        ) from None
    # Its loops call BLAS, whose own threads would wait for each other: it warns of more than one.
    with threadpool_limits(1, "blas"):
        # numpy takes seeds of 32 bits.
        model = made(random_state=seed % 2**32, num_threads=1, **parameters)
        given = csr_matrix(weights, dtype=np.float32)
        model.fit(given, show_progress=False, callback=lambda *_: progress(None))
    return model
