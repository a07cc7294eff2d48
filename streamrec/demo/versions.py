"""The demo's two versions of GRU4Rec: one to begin with, and the one that the gate lets in after it.

In: clicks of the days before, then the live traffic. Out: two versions, and the verdict about the
second one: it is judged by sessions of the traffic, which neither was trained on, while that goes on.
"""

import asyncio
import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from rich.console import Console

from streamrec.artifact import read_manifest
from streamrec.config import RecommenderSettings, Settings
from streamrec.contracts import Session
from streamrec.datasets import Clicks, sessions
from streamrec.demo.judge import Judge
from streamrec.errors import ConfigError
from streamrec.evaluation.exported import ExportedModel
from streamrec.evaluation.next_items import next_items
from streamrec.events import Verdict
from streamrec.gate import judge_and_release, newest_window
from streamrec.models import recommender_of
from streamrec.offline.recommenders import clicks_feedback
from streamrec.progress import progress_bar
from streamrec.recommender import ItemLearner
from streamrec.recommender_artifacts import as_source, train_recommender
from streamrec.registry import Registry
from streamrec.releases import announce
from streamrec.scorer import open_scorer, open_step
from streamrec.topic_clicks import read_clicks
from streamrec.training import Trained, gru4rec_config, train_gru4rec

__all__ = ["Successor", "Versions", "offline_recall", "require_sources", "train_beside", "train_versions"]

_MODEL: Final = "gru4rec"
# Fewer steps that are larger: two trainings do not take twice the time of one.
_PARAMETERS: Final = {"learning_rate": 0.08, "epochs": 8}
_NICE: Final = 5
# Enough to be seen; the sources that were there before are better on these clicks.
_BESIDE: Final = 0.1
_DEPTH: Final = 100  # with some to spare beyond the places that count, for ties


class Versions(NamedTuple):
    """What was trained."""

    first: Trained
    """Live as the traffic begins."""
    second: Trained
    """Went on from the first one, with the days after it; to be judged."""


def train_versions(
    settings: Settings, first: Clicks, all_: Clicks, parameters: Mapping[str, Any], console: Console
) -> Versions:
    """Train a version on the first days, release it, and go on from it on all days before the traffic."""
    registry = Registry.of(settings)
    made: list[Trained] = []
    for clicks in (first, all_):
        with progress_bar(console) as on_step:
            made.append(
                train_gru4rec(
                    clicks,
                    registry,
                    config=gru4rec_config({**_PARAMETERS, **parameters}, quick=True),
                    on_step=on_step,
                    data={"source": "bundled clicks"},
                    start=made[0].version if made else None,
                )
            )
        if len(made) == 1:
            announce(settings, _MODEL, made[0].version)
    for version in registry.versions(_MODEL):
        if version not in [each.version for each in made]:  # of an earlier demo in the same folder
            shutil.rmtree(registry.directory(_MODEL, version))
    return Versions(*made)


def require_sources(names: Sequence[str], clicks: Clicks) -> None:
    """Raise ConfigError if one of them is no recommender that makes lists of clicks alone."""
    feedback = clicks_feedback(clicks)
    for name in names:
        if isinstance(recommender_of(as_source({"model": name}, feedback)), ItemLearner):
            raise ConfigError(
                f"--beside {name}: it, or a part of it, goes by what items are, and the clicks of the demo "
                "come without records of items; take one that goes by who clicked what, such as item_based_cf"
            )


def train_beside(settings: Settings, clicks: Clicks, names: Sequence[str], console: Console) -> Settings:
    """The settings with recommenders as sources of the lists; to them, sessions are visitors."""
    feedback = clicks_feedback(clicks)
    recommenders = {}
    for name in names:
        with progress_bar(console) as on_step:
            node = as_source({"model": name}, feedback)
            trained = train_recommender(node, feedback, Registry.of(settings), on_step=on_step)
        told = f"{trained.model} beside: {trained.interactions:,} clicks"
        console.print(f"   {told} [dim]({trained.train_s:.1f} s)[/]", highlight=False)
        recommenders[trained.model] = RecommenderSettings(version=trained.version, weight=_BESIDE)
    scoring = settings.scoring.model_copy(update={"recommenders": recommenders})
    return settings.model_copy(update={"scoring": scoring})


class Successor:
    """Has the second version judged as soon as there is traffic enough to judge it by."""

    def __init__(self, settings: Settings, versions: Versions) -> None:
        self._settings = settings
        self._versions = versions
        self._judging: asyncio.Future[Verdict] | None = None

    def update(self, judge: Judge, *, is_last: bool) -> str:
        """Begin if it is time; is_last: it will not get more. Returns what is going on."""
        wanted = self._settings.gate.min_sessions
        if self._judging is None and (judge.sessions >= wanted or is_last):
            self._judging = asyncio.ensure_future(asyncio.to_thread(self._judge))
        version = self._versions.second.version
        if self._judging is None:
            return f"waits for {wanted:,} sessions to judge {version} by"
        if not self._judging.done():
            return f"judges {version}"
        verdict = self._judging.result()
        return f"{version} {verdict.outcome}" + (", made live" if verdict.released else "")

    async def verdict(self, judge: Judge) -> Verdict:
        """The verdict, once it is there; there will be no more traffic."""
        self.update(judge, is_last=True)
        return self._judge() if self._judging is None else await self._judging

    def _judge(self) -> Verdict:
        # A process that gives way to the apps; a thread would hold up the clicks of this one.
        with ProcessPoolExecutor(1, get_context("spawn"), os.nice, (_NICE,)) as pool:
            return pool.submit(_judged_by_traffic, self._settings, self._versions).result()


def _judged_by_traffic(settings: Settings, versions: Versions) -> Verdict:
    traffic = read_clicks(settings).clicks
    manifests = [read_manifest(Path(each.directory)) for each in versions]
    window = newest_window(traffic, manifests, settings)
    return judge_and_release(settings, versions.second.version, window)


def offline_recall(judge: Judge, versions: Versions) -> float:
    """How often the next click is among the best of the version that its list names, without the stream.

    NaN if no list was judged.
    """
    clicks, hits = judge.clicks, []
    for trained in versions:
        directory = Path(trained.directory)
        model = ExportedModel(open_step(directory), open_scorer(directory), depth=_DEPTH)
        served = [
            places
            for places in sessions(clicks).values()
            if any(judge.releases[place] == trained.version for place in places[:-1])
        ]
        if not served:
            continue
        made = (Session([clicks.item_ids[place] for place in places]) for places in served)
        ranks = next_items(model, made, k=judge.k, unseen="miss").ranks
        asked = [place for places in served for place in places[:-1]]
        hits += [
            rank <= judge.k
            for place, rank in zip(asked, ranks, strict=True)
            if judge.releases[place] == trained.version
        ]
    return float(np.mean(hits)) if hits else float("nan")
