"""What shadows and a challenger cost the lists that are shown: `python -m benchmarks.shadows [--rounds N]`.

One process and no Kafka: the real list maker on the engine's in-memory log, rows of real clicks under a
GRU4Rec trained on them, and a second version of other weights. Each way is measured in every round, in
turns. At full load batch follows batch; at half load they come at a fixed rate that takes half of the time.
The CPU time is that of the process until the last shadow's list is made, the least of the rounds: other
processes on the machine move it little, unlike the times in between.
"""

import argparse
import asyncio
import itertools
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.report import machine
from streamrec import metrics
from streamrec.advance import Place, advance
from streamrec.agents.scoring import ListMaker
from streamrec.agents.shadows import Shadows
from streamrec.catalogue import Catalogue
from streamrec.challengers import load_challenger
from streamrec.config import Settings, load_settings
from streamrec.contenders import Contenders
from streamrec.contracts import TrainOptions
from streamrec.datasets import bundled_clicks, click_sessions
from streamrec.engine.log import Out
from streamrec.engine.memory import MemoryLog
from streamrec.engine.runner import Batch
from streamrec.events import Interaction, ModelRelease, encode
from streamrec.models.gru4rec import GRU4Rec, GRU4RecConfig
from streamrec.registry import Registry
from streamrec.scorer import load_scorer, load_step
from streamrec.shelf import ModelShelf
from streamrec.state_opener import state_opener

_BATCH: Final = 40
_WAYS: Final[dict[str, tuple[dict[str, float | None], float]]] = {
    "live alone": ({}, 0.1),
    "a shadow, 10 %": ({"shadow": None}, 0.1),
    "a shadow, 100 %": ({"shadow": None}, 1.0),
    "a challenger, 20 %": ({"challenger": 0.2}, 0.1),
    "a challenger, 100 %": ({"challenger": 1.0}, 0.1),
}
"""Slots with their shares, and the share of the visitors that have shadows."""

console = Console()


class _Round(NamedTuple):
    """What one run of all batches came to."""

    took_s: float
    waits_s: list[float]
    """How long each batch was on its way."""
    made: float
    """Lists of shadows."""
    cpu_s: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clicks", type=int, default=4000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(
            kafka={"partitions": 1}, registry={"path": Path(folder), "require_signature": False}
        )
        versions = [_train(settings, seed) for seed in range(2)]
        batches = _rows(settings, versions[0], options.clicks)
        console.print(machine())
        results: dict[str, list[_Round]] = {name: [] for name in _WAYS}
        pace = 0.0
        for _ in range(options.rounds):
            for name, (slots, share) in _WAYS.items():
                run = partial(_run, settings, versions, batches, slots, share)
                full = asyncio.run(run(0.0))
                pace = pace or 2 * full.took_s / len(batches)
                half = asyncio.run(run(pace))
                results[name].append(half._replace(took_s=full.took_s))
        _print(results, options.clicks)


def _train(settings: Settings, seed: int) -> str:
    model = GRU4Rec(GRU4RecConfig(epochs=1))
    model.train(itertools.islice(click_sessions(bundled_clicks()), 8000), TrainOptions(seed=seed))
    return model.publish(Registry.of(settings))


def _rows(settings: Settings, version: str, n: int) -> list[Batch]:
    """Visitor-states of real clicks under a version, in batches."""
    log, clicks = MemoryLog(), bundled_clicks()
    topic, states = settings.kafka.topic("interactions"), settings.kafka.topic("visitor-states")
    now = time.time_ns() // 1_000_000
    for place in range(n):
        who = clicks.session_ids[place]
        event = Interaction(
            event_id=f"e{place}",
            type="click",
            visitor_id=who,
            item_id=clicks.item_ids[place],
            time=now + place,
        )
        log.publish(topic, 0, Out(who.encode(), encode(event)), now + place)
    state = state_opener(settings)({}, Place("", 0, 1))
    step = load_step(Registry.of(settings), version)
    records: Sequence[Any] = log.records(topic, 0)
    while records:
        changes = advance(records[:_BATCH], state, step)
        state.commit(changes)
        for row in changes.rows:
            log.publish(states, 0, Out(*row))
        log.appends.append((states, 0, len(log.records(states, 0))))
        records = records[changes.consumed :]
    ends = [end for _, _, end in log.appends]
    rows = log.records(states, 0)
    return [Batch(0, rows[start:end]) for start, end in itertools.pairwise([0, *ends])]


async def _nothing(*_: int) -> AsyncIterator[list[Any]]:
    return
    yield


async def _run(
    settings: Settings,
    versions: Sequence[str],
    batches: Sequence[Batch],
    slots: dict[str, float | None],
    shadow_share: float,
    pace_s: float,
) -> _Round:
    """All batches once.

    pace_s: between the arrivals of two batches; 0: each comes when the one before is done.
    """
    contest = settings.contest.model_copy(update={"shadow_share": shadow_share, "shadow_lists": 10**6})
    settings = settings.model_copy(update={"contest": contest})
    registry, log = Registry.of(settings), MemoryLog()
    contenders = Contenders("gru4rec", partial(load_challenger, registry, most_visitors=20_000))
    shadows = Shadows(settings, log, contenders, Catalogue())
    shelf: ModelShelf[Any] = ModelShelf("gru4rec", partial(load_scorer, registry))
    maker = ListMaker(
        settings,
        log,
        shelf,
        Catalogue(),
        table_id="",
        missing=_nothing,
        committed=lambda _: None,
        shadows=shadows,
    )
    await shelf.ensure(versions[0])
    tasks = [asyncio.create_task(contenders.run()), asyncio.create_task(shadows.run())]
    for role, share in slots.items():
        slot = f"shadow:{versions[1]}" if role == "shadow" else role
        fields = {"model": "gru4rec", "slot": slot, "version": versions[1], "digest": "0" * 64}
        release = ModelRelease(
            **{**fields, "digest": registry.digest("gru4rec", versions[1])}, sequence=1, time=0, share=share
        )
        contenders.on_record(release.key, encode(release))
    await contenders.settled()
    before, waits = metrics.total(metrics.shadow_lists), []
    cpu = time.process_time()
    started = time.perf_counter()
    for n, batch in enumerate(batches):
        arrives = max(time.perf_counter(), started) if not pace_s else started + n * pace_s
        await asyncio.sleep(max(0.0, arrives - time.perf_counter()))
        await maker.handle(batch)
        waits.append(time.perf_counter() - arrives)
    took = time.perf_counter() - started
    await shadows.settled()
    cpu = time.process_time() - cpu
    made = metrics.total(metrics.shadow_lists) - before
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return _Round(took, waits, made, cpu)


def _print(results: dict[str, list[_Round]], n_lists: int) -> None:
    table = Table(
        "way",
        "CPU µs/list",
        "ratio",
        "full load: lists/s",
        "ratio",
        "half load: p99 ms",
        "ratio",
        "shadow lists",
    )
    alone = results["live alone"]
    for name, rounds in results.items():
        cpu = min(each.cpu_s for each in rounds)
        full = statistics.median(base.took_s / each.took_s for base, each in zip(alone, rounds, strict=True))
        late = statistics.median(
            _p99(each.waits_s) / _p99(base.waits_s) for base, each in zip(alone, rounds, strict=True)
        )
        table.add_row(
            name,
            f"{1e6 * cpu / n_lists:,.0f}",
            f"{cpu / min(base.cpu_s for base in alone):.2f}",
            f"{n_lists / statistics.median(each.took_s for each in rounds):,.0f}",
            f"{full:.2f}",
            f"{1000 * statistics.median(_p99(each.waits_s) for each in rounds):.1f}",
            f"{late:.2f}",
            f"{statistics.median(each.made for each in rounds):,.0f}",
        )
    console.print(table)


def _p99(waits: Sequence[float]) -> float:
    return statistics.quantiles(waits, n=100)[98]


if __name__ == "__main__":
    main()
