"""From clicks to a published GRU4Rec version: train, measure, publish, check.

In: clicks, of a file or of the topic. Out: a version in the registry that has been loaded
and probed. torch is imported on the first call, not before: serving lives without it.
"""

import logging
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from streamrec.contracts import Artifact, OnStep, TrainOptions
from streamrec.datasets import Clicks, click_sessions
from streamrec.evaluation.exported import ExportedModel
from streamrec.evaluation.metrics import mrr_at_k, ndcg_at_k, recall_at_k
from streamrec.evaluation.next_items import judged_sessions, next_items
from streamrec.models import make_config, session_model_class
from streamrec.registry import Registry
from streamrec.scorer import check_artifact, open_scorer, open_step

if TYPE_CHECKING:
    from streamrec.models.gru4rec import GRU4Rec, GRU4RecConfig

__all__ = ["Trained", "evaluate_exported", "gru4rec_config", "train_gru4rec"]

log = logging.getLogger(__name__)

_K: Final = 20
_DEPTH: Final = 100  # with some to spare beyond _K for ties
_METRICS: Final = {"recall": recall_at_k, "mrr": mrr_at_k, "ndcg": ndcg_at_k}


class Trained(NamedTuple):
    """A version that was trained, published and loaded once."""

    version: str
    """Empty in the processes of torchrun but the first, which publishes."""
    directory: Path | str
    """Where it is: a folder, or a URL."""
    events: int
    """Training events in all epochs: pairs of a click and the next."""
    losses: list[float]
    """Mean loss of each epoch."""
    train_s: float
    """Seconds of the training alone."""
    metrics: dict[str, float]
    """Of the sessions held out; empty without."""


def gru4rec_config(parameters: Mapping[str, Any] | None = None, *, quick: bool = False) -> "GRU4RecConfig":
    """Hyperparameters: the default or the quick ones, and `parameters` on top, as values or as text.

    Raises ConfigError naming each that is unknown or out of range, or if torch is not installed.
    """
    gru4rec = session_model_class("gru4rec")
    config: GRU4RecConfig = make_config(
        "gru4rec", gru4rec.Config, parameters or {}, base=gru4rec.QUICK if quick else None
    )
    return config


def train_gru4rec(
    clicks: Clicks,
    registry: Registry,
    *,
    config: "GRU4RecConfig | None" = None,
    seed: int = 0,
    device: str = "auto",
    on_step: OnStep | None = None,
    held_out: Clicks | None = None,
    data: Mapping[str, Any] | None = None,
    checkpoint: Path | None = None,
    checkpoint_every_s: float = 60.0,
    start: str | None = None,
    threads: int = 1,
) -> Trained:
    """Train on clicks, measure on those held out, publish, and load what was published.

    data: where the clicks come from, for the manifest. checkpoint: a file to go on from, if it was
    stopped; removed when the model is published. start: the version to go on from; if its network is of
    another shape, training starts from nothing, and the manifest says why. threads: of torch on the CPU.
    Raises DatasetError if there is nothing to learn, ConfigError, RegistryError or ArtifactError;
    nothing is published then.
    """
    # What cannot be used is found out before the work, not after it.
    registry.signer()
    if held_out is not None and len(held_out):
        judged_sessions(click_sessions(held_out), (), unseen="miss")
    model = session_model_class("gru4rec")(config)
    origin, from_version = _origin(model, registry, start)
    options = TrainOptions(
        seed,
        device,
        threads,
        on_step=on_step,
        checkpoint=checkpoint,
        checkpoint_every_s=checkpoint_every_s,
        start=from_version,
    )
    started = time.monotonic()
    report = model.train(click_sessions(clicks), options)
    train_s = time.monotonic() - started
    if not model.is_first:
        return Trained("", registry.path, report.events, report.losses, train_s, {})
    metrics: dict[str, float] = {}
    if held_out is not None and len(held_out):
        with tempfile.TemporaryDirectory(prefix="streamrec-") as place:
            model.export(Path(place), on_step=on_step)
            metrics = evaluate_exported(Path(place), held_out)
    described = {**(data or {}), **origin, **_described(clicks)}
    version = model.publish(registry, data=described, metrics=metrics, on_step=on_step)
    check_artifact(registry, version, signed=False)
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    directory = registry.location("gru4rec", version)
    return Trained(version, directory, report.events, report.losses, train_s, metrics)


def _origin(
    model: "GRU4Rec", registry: Registry, start: str | None
) -> tuple[dict[str, str], Artifact | None]:
    """What a training goes on from, for the manifest and for the training."""
    if start is None:
        return {}, None
    artifact = Artifact(*registry.read("gru4rec", start))
    reason = model.unlike(artifact)
    if reason is not None:
        log.warning("training starts from nothing: %s", reason)
        return {"cold_start": reason}, None
    data = artifact.manifest.data
    # What those before it had learned is in the weights, also where these clicks end earlier.
    learned = [str(data[name]) for name in ("last", "parent_last") if name in data]
    return {"parent": start, **({"parent_last": max(learned)} if learned else {})}, artifact


def evaluate_exported(artifact: Path, clicks: Clicks) -> dict[str, float]:
    """How well an exported model ranks every next click of the sessions, the full catalogue before it.

    Items unseen in training count as misses; the figures ending in `_known` leave them out.
    Raises DatasetError if no session has two clicks.
    """
    model = ExportedModel(open_step(artifact), open_scorer(artifact), depth=_DEPTH)
    found = next_items(model, click_sessions(clicks), k=_K, unseen="miss")
    metrics = {"next_clicks": float(len(found.ranks)), "next_clicks_known": float(found.known.sum())}
    for suffix, ranks in ("", found.ranks), ("_known", found.ranks[found.known]):
        if len(ranks):
            for name, metric in _METRICS.items():
                metrics[f"{name}_at_{_K}{suffix}"] = float(metric(ranks, _K).mean())
    return metrics


def _described(clicks: Clicks) -> dict[str, Any]:
    first, last = (
        datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
        for ms in (clicks.first_ms, clicks.last_ms)
    )
    return {
        "clicks": len(clicks),
        "sha256": clicks.digest(),
        "sessions": len(set(clicks.session_ids)),
        "items": len(set(clicks.item_ids)),
        "first": first,
        "last": last,
    }
