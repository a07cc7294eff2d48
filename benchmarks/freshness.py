"""How fresh lists are beside an echo of the same two hops, both under the same load, in turns.

The real apps, state and scoring as a process each, answer clicks over visitor-states. The echo is two
processes that only send on what comes, over the same topics under another prefix: what is left for the
apps is what they do with a click, and what they wait for.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.load import MODEL, N_PARTITIONS, own_topics
from streamrec.config import Settings
from streamrec.datasets import bundled_clicks, click_sessions
from streamrec.engine.child import Child
from streamrec.errors import StreamrecError
from streamrec.loadtest import Load, Report, load_test
from streamrec.releases import announce
from streamrec.standalone import Apps

__all__ = ["FreshnessError", "freshness_entries", "measure_freshness"]

_APPS: Final = "freshness of lists"
_ECHO: Final = "echo of two hops by aiokafka"
_AT_LEAST: Final = 0.1
_AIM: Final = 1 / 3
"""The p99 of lists was to be three times that of the echo at most: see docs/performance.md."""
_LOAD: Final = Load(per_s=1000, seconds=30, warm_up_s=5)
_MOST_ROUNDS: Final = 3
_HOPS: Final = (("interactions", "visitor-states"), ("visitor-states", "recommendations"))
_RATIO_IS: Final = "p99 of freshness of `beside` / p99 of freshness of `work`"
_ROOT: Final = Path(__file__).resolve().parent.parent

_Check = Callable[[], None]


class FreshnessError(StreamrecError):
    """Something did not answer every click."""


def measure_freshness(
    settings: Settings, version: str, work: Path, n_rounds: int, on_progress: Callable[[float], object]
) -> dict[str, list[Report]]:
    """What each came to, by its name; at most three rounds.

    settings: of the apps, with Kafka and registry. version: of the model that they serve. work: a folder for
    logs. on_progress: called with the share that is done. Raises FreshnessError if a click has no answer.
    """
    sessions = list(click_sessions(bundled_clicks()))
    n_rounds = min(n_rounds, _MOST_ROUNDS)
    rounds: dict[str, list[Report]] = {_APPS: [], _ECHO: []}
    ours, theirs = _under(settings, "apps"), _under(settings, "echo")
    with (
        own_topics(ours),
        own_topics(theirs),
        _apps(ours, version, work) as apps,
        _echo(theirs, work) as echo,
    ):
        pair: list[tuple[str, Settings, _Check]] = [(_APPS, ours, apps), (_ECHO, theirs, echo)]
        for n in range(n_rounds):
            for name, own, check in reversed(pair) if n % 2 else pair:
                done = sum(map(len, rounds.values()))

                def look(ledger: Any, done: int = done, check: _Check = check) -> None:
                    check()
                    on_progress((done + ledger.answered / len(ledger)) / (2 * n_rounds))

                report = load_test(own, sessions, _LOAD, look).report
                if report.stopped:
                    raise KeyboardInterrupt
                if faults := report.faults(None):
                    raise FreshnessError(f"{name}: {'; '.join(faults)}")
                rounds[name].append(report)
    return rounds


def freshness_entries(rounds: Mapping[str, Sequence[Report]]) -> list[dict[str, Any]]:
    """The entry of the report; medians over the rounds."""
    return [
        {
            "work": _APPS,
            "beside": _ECHO,
            "of": "freshness (p99)",
            "ratio": round(_p99_ms(rounds[_ECHO]) / _p99_ms(rounds[_APPS]), 4),
            "at_least": _AT_LEAST,
            "aim": round(_AIM, 4),
            "ratio_is": _RATIO_IS,
            "load": {
                "clicks_per_s": _LOAD.per_s,
                "seconds": _LOAD.seconds,
                "warm_up_s": _LOAD.warm_up_s,
                "visitors": _LOAD.visitors,
                "partitions": N_PARTITIONS,
                "model": MODEL,
            },
            "work_measured": _figures(rounds[_APPS]),
            "beside_measured": _figures(rounds[_ECHO]),
        }
    ]


def _p99_ms(reports: Sequence[Report]) -> float:
    return median(each.freshness.p99_ms for each in reports)


def _figures(reports: Sequence[Report]) -> dict[str, Any]:
    return {
        "p50_ms": median(each.freshness.p50_ms for each in reports),
        "p99_ms": _p99_ms(reports),
        "p50_ms_by_round": [each.freshness.p50_ms for each in reports],
        "p99_ms_by_round": [each.freshness.p99_ms for each in reports],
        "reached_per_s": median(each.reached_per_s for each in reports),
        "lists_measured": [each.measured for each in reports],
        "generator_behind_p99_ms": median(each.behind.p99_ms for each in reports),
    }


def _under(settings: Settings, name: str) -> Settings:
    """The same settings with topics of its own."""
    kafka = settings.kafka.model_copy(update={"prefix": f"{settings.kafka.prefix}{name}."})
    return settings.model_copy(update={"kafka": kafka})


@contextmanager
def _apps(settings: Settings, version: str, work: Path) -> Iterator[_Check]:
    announce(settings, "gru4rec", version)
    with Apps(settings, work / "apps") as apps:
        apps.wait_until_ready()
        yield apps.check


@contextmanager
def _echo(settings: Settings, work: Path) -> Iterator[_Check]:
    env = {**os.environ, **settings.environment()}
    hops: dict[Path, Child] = {}

    def check() -> None:
        for log, child in hops.items():
            if not child.running:
                raise FreshnessError(f"a hop of the echo ended:\n{log.read_text(errors='replace')}")

    try:
        for source, target in _HOPS:
            log = work / f"echo-{source}.log"
            hops[log] = Child([sys.executable, "-m", "benchmarks.echo", source, target], log, _ROOT, env)
        yield check
    finally:
        for child in hops.values():
            child.kill()
