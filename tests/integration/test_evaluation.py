"""Live quality on a real broker: the gauges are what an offline computation gives on the same logs."""

import itertools
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from app_processes import App, click, committed, publish, read, running
from prequential_reference import Logs, reference
from prometheus_client.parser import text_string_to_metric_families

from streamrec.config import Settings
from streamrec.datasets import bundled_clicks, click_sessions
from streamrec.evaluation.fading import Figures
from streamrec.models.gru4rec import GRU4Rec, GRU4RecConfig
from streamrec.registry import Registry
from streamrec.releases import announce

TRACED = {
    "scoring": {"trace": True},
    "evaluation": {"window": 60, "cutoffs": [1, 5, 20]},
    "kafka": {"commit_interval_s": 0.1, "max_poll_records": 40, "session_timeout_s": 6},
}
traced = pytest.mark.parametrize("settings", [TRACED], indirect=True)


@pytest.fixture
def model(settings: Settings) -> str:
    """A small model, live."""
    gru4rec = GRU4Rec(GRU4RecConfig(embedding_size=16, hidden_size=16, epochs=1, batch_size=16, n_sample=64))
    gru4rec.train(itertools.islice(click_sessions(bundled_clicks()), 500))
    version = gru4rec.publish(Registry.of(settings))
    announce(settings, "gru4rec", version)
    return version


def real_clicks(first: int, n: int) -> list[tuple[bytes, bytes]]:
    """Real clicks, some of them sent twice or followed by an impression, and a record that is none."""
    clicks = bundled_clicks()
    now = time.time_ns() // 1_000_000 - n
    records = [(b"nobody", b"{")]
    for place in range(first, first + n):
        session, item = clicks.session_ids[place], clicks.item_ids[place]
        key, value = click(session, item, f"event-{place}", now + place - first)
        records += [(key, value)] * (2 if place % 17 == 0 else 1)
        if place % 11 == 0:
            seen = json.loads(value) | {"event_id": f"seen-{place}", "type": "impression"}
            records.append((key, json.dumps(seen).encode()))
    return records


def logs(settings: Settings) -> dict[int, Logs]:
    """Both topics, whole, by partition."""
    topics = [read(settings, topic) for topic in ("interactions", "recommendations")]
    return {
        partition: ([each for each in topics[0] if each.partition == partition],
                    [each for each in topics[1] if each.partition == partition])
        for partition in range(settings.kafka.partitions)
    }  # fmt: skip


def gauges(app: App) -> Figures:
    """What the page /metrics says."""
    found = Figures({}, {}, {}, {}, {})
    families = {family.name: family for family in text_string_to_metric_families(app.page("metrics")[1])}
    for name, values in zip(Figures._fields, found, strict=True):
        family = families[f"streamrec_online_{'window_clicks' if name == 'clicks' else name}"]
        labels = ("source", "version") if name == "clicks" else ("k", "source", "version")
        values.update({tuple(each.labels[label] for label in labels): each.value for each in family.samples})
    return found


def counters(app: App) -> Counter[str]:
    """Clicks judged and without a list, and lists ignored, as /metrics says."""
    found: Counter[str] = Counter()
    for family in text_string_to_metric_families(app.page("metrics")[1]):
        for each in family.samples:
            if each.name.startswith("streamrec_online_") and each.name.endswith("_total"):
                name = each.labels.get("reason") or each.name.split("_", 2)[2].removesuffix("_total")
                found[name] += int(each.value)
    return +found


@contextmanager
def lists_made(settings: Settings, folder: Path) -> Iterator[None]:
    """The two apps that make lists."""
    with running("state", settings, folder), running("scoring", settings, folder):
        yield


def follows(settings: Settings, n: int) -> bool:
    """Whether there are n lists, and evaluation has committed them all."""
    offsets, ends = committed(settings, "recommendations", "evaluation")
    return sum(ends.values()) == n and offsets == ends


@traced
def test_the_gauges_are_the_figures_of_the_logs_over_a_kill(
    settings: Settings, model: str, tmp_path: Path
) -> None:
    with lists_made(settings, tmp_path):
        with running("evaluation", settings, tmp_path) as app:
            publish(settings, "interactions", real_clicks(0, 300))
            app.wait(lambda: follows(settings, 300))
            figures, counts = reference(settings, logs(settings))
            assert counts["judged"] > 100
            assert {version for _, version in figures.clicks} == {"all", model}
            assert {source for source, _ in figures.clicks} >= {"blend", "gru4rec", "online_mf", "popularity"}
            assert gauges(app) == figures
            assert counters(app) == counts
            app.kill()
        publish(settings, "interactions", real_clicks(300, 200))
        read(settings, "recommendations", n=500)
        with running("evaluation", settings, tmp_path) as app:
            app.wait(lambda: follows(settings, 500))
            figures, both = reference(settings, logs(settings))
            assert gauges(app) == figures
            # What was judged before the kill is judged again, but not counted again.
            assert counters(app) == both - counts
            assert app.stop() == 0


@traced
def test_two_workers_share_the_partitions(settings: Settings, model: str, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with (
        lists_made(settings, tmp_path),
        running("evaluation", settings, tmp_path) as one,
        running("evaluation", settings, tmp_path / "other") as other,
    ):
        sent = 0

        def both_judge() -> bool:
            nonlocal sent
            publish(settings, "interactions", real_clicks(sent, 20))
            sent += 20
            one.wait(lambda: follows(settings, sent))
            return len(gauges(one).clicks) > 0 and len(gauges(other).clicks) > 0

        one.wait(both_judge)
        figures, _ = reference(settings, logs(settings))
        parts = [gauges(one), gauges(other)]
    for key, value in figures.recall.items():
        shares = [(part.recall.get(key, 0.0), part.clicks.get(key[1:], 0.0)) for part in parts]
        weight = sum(clicks for _, clicks in shares)
        assert weight == pytest.approx(figures.clicks[key[1:]])
        assert sum(share * clicks for share, clicks in shares) / weight == pytest.approx(value)
