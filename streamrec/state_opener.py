"""From settings to the state of a partition: its bounds, and the online model that learns in it."""

from collections.abc import Callable
from functools import partial

from streamrec.advance import PartitionState, Place
from streamrec.config import Settings
from streamrec.models import make_config
from streamrec.models.online_mf import OnlineMF, OnlineMFConfig

__all__ = ["state_opener"]


def state_opener(settings: Settings) -> Callable[[dict[bytes, bytes], Place], PartitionState]:
    """What makes the state of a partition from its rows and its place.

    Raises ConfigError if a hyperparameter of the online model is unknown or out of range.
    """
    online: OnlineMFConfig = make_config("online_mf", OnlineMFConfig, settings.online_mf)
    return partial(
        PartitionState,
        settings=settings.state,
        make_online=partial(OnlineMF, online, settings.state.seed) if settings.state.online else None,
        n_negatives=online.negatives,
        tick_ms=settings.scoring.tick_ms,
    )
