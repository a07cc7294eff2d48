"""The whole road from clicks to lists on all cores, beside scoring alone, and scoring beside its graph alone.

Both apps and the broker run where the system puts them. All clicks are in the topic before they start, and
every one is answered: what is measured is how many lists come out.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from benchmarks.load import Load, fill, own_topics
from benchmarks.meter import Measured
from benchmarks.running import Contender
from benchmarks.workloads import Comparison
from streamrec.config import Settings
from streamrec.releases import announce
from streamrec.topics import connect

__all__ = ["COMPARISONS", "SCORING", "measure_road"]

_ROAD: Final = "the whole road: state, scoring and Kafka at once"
_STATE: Final = "its state app"
SCORING: Final = "scoring alone, of the same states"
COMPARISONS: Final = (Comparison(_ROAD, SCORING, 0.7, by_clock=True),)


def measure_road(
    settings: Settings,
    version: str,
    load: Load,
    work: Path,
    n_rounds: int,
    on_run: Callable[[], object] = lambda: None,
) -> dict[str, list[Measured]]:
    """What each came to, by its name.

    settings: of the apps, with Kafka and registry. version: of the model that they serve. work: a folder for
    logs. on_run: called twice a round. Raises BenchmarkError if a contender does not get to its end.
    """
    rounds: dict[str, list[Measured]] = {_ROAD: [], _STATE: [], SCORING: []}
    for n in range(n_rounds):
        kafka = settings.kafka.model_copy(update={"prefix": f"{settings.kafka.prefix}{n}."})
        own = settings.model_copy(update={"kafka": kafka})
        with own_topics(own):
            filled = fill(own, load, len(load))
            announce(own, "gru4rec", version)
            state, lists = _run(["state", "scoring"], own, filled, work / f"road-{n}")
            on_run()
            with connect(kafka) as admin:
                # Nothing is answered then, and the same rows ask once more.
                admin.delete_groups([f"{kafka.prefix}scoring"])
            (alone,) = _run(["scoring"], own, filled, work / f"scoring-{n}")
            on_run()
        for name, measured in ((_ROAD, lists), (_STATE, state), (SCORING, alone)):
            rounds[name].append(measured)
    return rounds


def _run(kinds: Sequence[str], settings: Settings, n_events: int, work: Path) -> list[Measured]:
    """What apps come to that work at the same time."""
    work.mkdir()
    with ExitStack() as stack:
        contenders = [
            stack.enter_context(Contender(kind, kind, settings, n_events, work / kind, pinned=False))
            for kind in kinds
        ]
        return [each.join() for each in contenders]
