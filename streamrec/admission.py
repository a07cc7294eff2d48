"""Whether a model version that was loaded may serve: with patience for its store, none for slow graphs.

In: a version under way to be loaded, and the one that serves. Out: the version, or an ArtifactError
whose `reason` says why it is refused.

A graph that took ten times as long would pass every check of its outputs and stop the flow all the
same. What a run costs is CPU time of the thread that ran it, the least of many runs, taken by the
same code on the same machine for either version: it does not rise with what else the machine does,
as the time of a clock would.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol, TypeVar

from streamrec.config import AdmissionSettings
from streamrec.errors import ArtifactError, StreamrecError, refusal

__all__ = ["Timed", "patiently", "require_fast"]

log = logging.getLogger(__name__)
Model = TypeVar("Model")

# Between attempts to reach a store: long enough for a hiccup, short enough to be told of an outage.
_WAITS_S: Final = (0.5, 1.0, 2.0)
# Below this, runs of a graph of a few items differ by what a call costs.
_LEAST_S: Final = 50e-6


class Timed(Protocol):
    """A loaded version that says what its graphs cost."""

    @property
    def version(self) -> str:
        """Its name."""

    @property
    def costs_s(self) -> Mapping[str, float]:
        """CPU seconds of one run, by graph."""


async def patiently(
    load: Callable[[], Model], run: Callable[[Callable[[], Model]], Awaitable[Model]] = asyncio.to_thread
) -> Model:
    """What a blocking `load` gives, in a thread; tried again for some seconds if its store is away.

    run: what has it done in a thread. Raises what `load` raises: at once if it is the version's fault.
    """
    for wait_s in _WAITS_S:
        try:
            return await run(load)
        except StreamrecError as error:
            if refusal(error) != "unavailable":
                raise
            log.warning("a model version cannot be read, next attempt in %g s: %s", wait_s, error)
        await asyncio.sleep(wait_s)
    return await run(load)


def require_fast(settings: AdmissionSettings, candidate: Timed, live: Timed | None) -> None:
    """Raise ArtifactError if a run of one of the candidate's graphs takes far longer than the live one's."""
    for graph, cost_s in candidate.costs_s.items():
        most_s, why = settings.run_s, "the most that is allowed (STREAMREC_ADMISSION__RUN_S)"
        if live is not None:
            before_s = max(live.costs_s.get(graph, settings.run_s), _LEAST_S)
            if before_s * settings.times_slower < most_s:
                most_s = before_s * settings.times_slower
                why = (
                    f"{settings.times_slower:g} times what {live.version}, which serves, takes "
                    "(STREAMREC_ADMISSION__TIMES_SLOWER)"
                )
        if cost_s > most_s:
            raise ArtifactError(
                f"{candidate.version}: {graph} takes {1000 * cost_s:.3g} ms of CPU for 16 visitors, more "
                f"than {1000 * most_s:.3g} ms, {why}; train a smaller model, or raise the limit",
                "slow",
            )
