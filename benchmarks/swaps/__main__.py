"""Run it: `python -m benchmarks.swaps [--seconds S] [--every S] [--swaps N] [--out FOLDER]`.

Exit 1 if a claim does not hold.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.report import machine
from benchmarks.swaps.claims import (
    Claim,
    always_forward,
    as_fast,
    level,
    made_by_its_version,
    one_list_each,
    same_lists,
    same_version,
)
from benchmarks.swaps.found import Found, Place, find
from benchmarks.swaps.run import Minutes, Phase, minutes, swaps_for_memory, swaps_in, system
from benchmarks.swaps.versions import MODEL, publish_versions
from streamrec.backtest.history import TopicHistory
from streamrec.backtest.releases import listed_releases
from streamrec.backtest.run import Plan, run_backtest
from streamrec.catalogue import Catalogue
from streamrec.cli.output import print_error
from streamrec.config import Settings, load_settings
from streamrec.errors import StreamrecError
from streamrec.events import Recommendation
from streamrec.registry import Registry
from streamrec.scorer import load_step
from streamrec.standalone import Kafka, with_own_key
from streamrec.topics import read_topic

_PARTITIONS: Final = 4
_IN_TURN: Final = 8
"""Versions that take turns in the swaps for memory: more than a worker keeps, so that each one is loaded."""
_EVERY_ROW: Final = 25
"""Each so-manieth row is recomputed."""
_AGAIN_S: Final = 10.0
"""The last seconds with swaps are made again by a backtest."""

console = Console()


def main() -> None:
    """Run, look at everything, print, write the report."""
    options = _options()
    if not console.is_terminal:
        console.width = 110
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    started, context = time.monotonic(), machine()
    try:
        with tempfile.TemporaryDirectory(dir=out) as work:
            claims, figures = _run(options, Path(work))
    except StreamrecError as error:
        print_error(str(error))
        sys.exit(error.exit_code)
    took_s = round(time.monotonic() - started)
    report = {
        "claims": [each._asdict() for each in claims],
        **figures,
        "model": MODEL,
        "partitions": _PARTITIONS,
        "machine": context,
        "seconds": took_s,
    }
    (out / "report.json").write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    console.print(_table(claims))
    console.print(
        f"{context['cores']} cores ({context['cpu']}), load average before "
        f"{context['load_average_before'][0]:g}; took {took_s} s; written to {out / 'report.json'}.",
        highlight=False,
    )
    faults = [each for each in claims if not each.holds]
    for each in faults:
        print_error(f"this does not hold: {each.claim}: {each.measured}")
    sys.exit(bool(faults))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.swaps", description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=60, help="without swaps, and with them; 0 leaves both out"
    )
    parser.add_argument("--every", type=float, default=2, help="seconds between two swaps")
    parser.add_argument("--per-s", type=float, help="clicks a second; by default what the machine can do")
    parser.add_argument(
        "--swaps", type=int, default=200, help="swaps with an eye on memory; 0 leaves them out"
    )
    parser.add_argument("--out", default="build/swap", help="folder of report.json")
    options = parser.parse_args()
    if options.seconds < 0 or options.swaps < 0 or options.every < 0.5 or not options.seconds + options.swaps:
        parser.error("seconds or swaps have to be above 0, and half a second has to lie between two swaps")
    return options


def _run(options: argparse.Namespace, work: Path) -> tuple[list[Claim], dict[str, Any]]:
    settings = with_own_key(
        load_settings(
            kafka={"prefix": f"swaps-{os.getpid()}.", "partitions": _PARTITIONS},
            registry={"path": work / "registry"},
            log_level="WARNING",
        )
    )
    n_versions = max(_IN_TURN, 1 + swaps_in(options.seconds, options.every))
    console.print(f"training a model and publishing {n_versions} versions of it")
    versions = list(publish_versions(settings, n_versions, lambda *_: None))
    claims: list[Claim] = []
    figures: dict[str, Any] = {}
    with Kafka(settings) as kafka:
        settings = kafka.settings
        with system(settings, work / "apps", versions[0], partial(console.print, highlight=False)) as made:
            both: Minutes | None = None
            if options.seconds:
                in_turn = versions[: 1 + swaps_in(options.seconds, options.every)]
                both = minutes(made, in_turn, options.seconds, options.every, options.per_s)
                found = find(settings, _EVERY_ROW)
            if options.swaps:
                made.say(f"{options.swaps} swaps of {_IN_TURN} versions in turn")
                # The live one last: what is live already is not loaded again.
                rss_mib = swaps_for_memory(made, versions[:_IN_TURN], options.swaps, lambda: None)
                figures["rss_mib"] = {role: [round(each, 2) for each in of] for role, of in rss_mib.items()}
                claims.append(level(rss_mib, _IN_TURN))
        if both is not None:
            made.say("looking at every list")
            figures["minutes"] = _figures(both) | {"first_list_s": _first_list_s(both, found)}
            claims = [*_judge(settings, both, found, work), *claims]
    return claims, figures


def _judge(settings: Settings, both: Minutes, found: Found, work: Path) -> Iterator[Claim]:
    yield one_list_each(found.clicks, found.lists)
    yield same_version(found, found.lists)
    registry = Registry.of(settings)
    steps = {version: load_step(registry, version) for version in both.sequences}
    yield made_by_its_version(found, steps, settings.state.session_items)
    yield same_lists(*_made_again(settings, both.with_swaps, work))
    yield always_forward(found.lists, both.sequences, both.swapped)
    lags = {"without": both.without.lag_s, "with swaps": both.with_swaps.lag_s}
    yield as_fast(_freshness(found, both.without), _freshness(found, both.with_swaps), lags)


def _freshness(found: Found, phase: Phase) -> list[int]:
    """From Kafka's time of each click of a phase to the emission of its list, ms."""
    of_clicks = ((found.clicks.get(each.place, 0), each) for each in found.lists)
    return [each.emit_ms - time_ms for time_ms, each in of_clicks if phase.start_ms <= time_ms < phase.end_ms]


def _made_again(settings: Settings, phase: Phase, work: Path) -> tuple[dict[Place, Any], dict[Place, Any]]:
    """The lists of the last seconds with swaps, live and from a backtest of the topic."""
    from_ms = phase.end_ms - round(_AGAIN_S * 1000)
    history = TopicHistory(settings, phase.end_ms)
    plan = Plan("again", settings, history, listed_releases(settings), Catalogue(), from_ms=from_ms)
    run_backtest(plan, jobs=os.cpu_count() or 1, lists=work / "again.jsonl")
    with (work / "again.jsonl").open("rb") as lines:
        again = dict(map(_shown, lines))
    live: dict[Place, Any] = {}

    def take(records: list[Any]) -> None:
        for record in records:
            place, shown = _shown(record.value)
            if place in again:
                live[place] = shown

    read_topic(settings, "recommendations", take)
    return live, again


def _shown(value: bytes) -> tuple[Place, tuple[str, list[tuple[str, float]]]]:
    made = msgspec.json.decode(value, type=Recommendation)
    items = [(item.item_id, item.score) for item in made.items]
    return (made.input_partition, made.input_offset), (made.release, items)


def _figures(both: Minutes) -> dict[str, Any]:
    return {
        **asdict(both),
        "limit_per_s": round(both.limit_per_s),
        "per_s": round(both.share * both.limit_per_s),
    }


def _first_list_s(both: Minutes, found: Found) -> list[float]:
    """From the announcement of each swap to the first list of its version, the shortest first."""
    first_ms: dict[str, int] = {}
    for each in found.lists:
        first_ms[each.release] = min(each.emit_ms, first_ms.get(each.release, each.emit_ms))
    announced = both.announced_ms.items()
    return sorted((first_ms[version] - at) / 1000 for version, at in announced if version in first_ms)


def _table(claims: Sequence[Claim]) -> Table:
    table = Table(title="Swaps under load", title_justify="left", show_lines=True)
    table.add_column("claim", ratio=2)
    table.add_column("measured", ratio=3)
    table.add_column("")
    for each in claims:
        measured = "\n".join(f"{name}: {_text(value)}" for name, value in each.measured.items())
        table.add_row(each.claim, measured, "[green]holds[/]" if each.holds else "[bold red]does not hold[/]")
    return table


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(each)}" for name, each in value.items())
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
