"""Prequential evaluation, slow and obvious: both logs whole in memory, every pair looked for.

What `streamrec.evaluation.prequential` does record by record has to come out the same, bit for bit.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from streamrec.config import Settings
from streamrec.evaluation.fading import Figures
from streamrec.evaluation.metrics import mrr_at_k, ndcg_at_k, recall_at_k
from streamrec.visits import Visit, Visits

Logs = tuple[Sequence[Any], Sequence[Any]]
"""Interactions and recommendations of one partition, whole."""


class Judged(NamedTuple):
    """A click and the list made for the click before it in the session."""

    click: Visit
    made: dict[str, Any]


def pairs(settings: Settings, partition: int, logs: Logs) -> tuple[list[Judged], Counter[str]]:
    """All pairs in the order of the later clicks, and what could not be paired."""
    interactions, recommendations = logs
    counts: Counter[str] = Counter()
    lists = []
    for record in recommendations:
        try:
            lists.append(json.loads(record.value))
        except ValueError:
            counts["undecodable"] += 1
    if not lists:
        return [], counts
    answered = [each["input_offset"] for each in lists]
    most = min(settings.evaluation.max_visitors, settings.state.max_visitors)
    visits = Visits(settings, partition, max_visitors=most)
    looked_at = [each for each in interactions if answered[0] <= each.offset <= max(answered)]
    clicks = [visit for visit in map(visits.take, looked_at) if visit is not None and visit.asks]
    found = []
    sessions: dict[tuple[str, int], Visit] = {}
    for click in clicks:
        session = (click.event.visitor_id, click.session)
        before = sessions.get(session)
        sessions[session] = click
        if before is None:
            continue
        reached = next(n for n, offset in enumerate(answered) if offset >= click.offset)
        if before.offset in answered[:reached]:
            found.append(Judged(click, lists[answered.index(before.offset)]))
        else:
            counts["no_list"] += 1
    counts["judged"] = len(found)
    return found, counts


class _Sums:
    """S and N of one average at one cutoff in one partition, over the whole of what it is fed."""

    def __init__(self) -> None:
        self.gained = self.clicks = 0.0

    def add(self, gain: float, factor: float) -> None:
        self.gained = gain + factor * self.gained
        self.clicks = 1.0 + factor * self.clicks


def fold(settings: Settings, found: Sequence[Judged]) -> dict[str, dict[tuple[str, ...], _Sums]]:
    """Version -> (metric, source, k) -> sums, for the versions judged last."""
    evaluation = settings.evaluation
    factor = 1.0 - 1.0 / evaluation.window
    history: dict[str, list[Judged]] = {}
    for judged in found:
        for version in ("all", judged.made["release"] or "none"):
            history[version] = [*history.pop(version, []), judged]
        kept = [version for version in history if version != "all"][-evaluation.releases :]
        history = {version: each for version, each in history.items() if version in ("all", *kept)}
    sums: dict[str, dict[tuple[str, ...], _Sums]] = {}
    for version, judged_here in history.items():
        leads = {item["sources"][0] for each in judged_here for item in each.made["items"]}
        sums[version] = {}
        for judged in judged_here:
            for key, gain in gains(judged, leads, evaluation.cutoffs).items():
                sums[version].setdefault(key, _Sums()).add(gain, factor)
    return sums


def gains(judged: Judged, leads: set[str], cutoffs: Sequence[int]) -> dict[tuple[str, ...], float]:
    """(metric, source, k) -> what this click adds; a source that led no place adds nothing."""
    item_id = judged.click.event.item_id
    items = judged.made["items"]
    ids = {"blend": [item["item_id"] for item in items], **(judged.made.get("candidates") or {})}
    lead = next((item["sources"][0] for item in items if item["item_id"] == item_id), None)
    found = {}
    for k in cutoffs:
        for name, metric in (("recall", recall_at_k), ("mrr", mrr_at_k), ("ndcg", ndcg_at_k)):
            for source, listed in ids.items():
                rank = listed.index(item_id) + 1.0 if item_id in listed else np.inf
                found[name, source, str(k)] = float(metric(np.array([rank]), k)[0])
        for source in leads:
            found["led_recall", source, str(k)] = found["recall", "blend", str(k)] * (source == lead)
    return found


def reference(settings: Settings, logs: Mapping[int, Logs]) -> tuple[Figures, Counter[str]]:
    """Figures over all partitions, and counts of clicks judged and not."""
    counts: Counter[str] = Counter()
    newest: dict[str, int] = {}
    sums: dict[str, dict[tuple[str, ...], _Sums]] = {}
    for partition in sorted(logs):
        found, counted = pairs(settings, partition, logs[partition])
        counts += counted
        folded = fold(settings, found)
        for version, of_version in folded.items():
            times = [
                each.click.timestamp for each in found if version in ("all", each.made["release"] or "none")
            ]
            newest[version] = max(newest.get(version, 0), *times)
            for key, each in of_version.items():
                joined = sums.setdefault(version, {}).setdefault(key, _Sums())
                joined.gained += each.gained
                joined.clicks += each.clicks
    versions = sorted(sums, key=lambda name: (name == "all", newest[name], name), reverse=True)
    figures = Figures({}, {}, {}, {}, {})
    for version in versions[: 1 + settings.evaluation.releases]:
        for (metric, source, k), each in sums[version].items():
            led = metric == "led_recall"
            clicks = sums[version]["recall", "blend", k].clicks if led else each.clicks
            if not led:
                figures.clicks[source, version] = clicks
            getattr(figures, metric)[k, source, version] = each.gained / clicks
    return figures, counts
