"""`streamrec models verify`, `reproduce` and `prune`: whether versions are whole, whether they can be made
again, and which of them are needed no longer."""

import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamrec.cli.output import JsonOption, print_json, print_table
from streamrec.cli.sources import BundledOption, DataOption, FromHistoryOption, FromTopicOption

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from streamrec.artifact import Manifest
    from streamrec.config import Settings
    from streamrec.datasets import Clicks
    from streamrec.lineage import Comparison
    from streamrec.pruning import Named
    from streamrec.registry import Registry

__all__ = ["ModelOption", "checked", "found_version", "register_models"]

_MODEL = "gru4rec"
_DAY_S = 86_400.0

Version = Annotated[str, typer.Argument(help="A version, or `latest`.")]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME", help="Of which model `latest` is.", show_default=_MODEL),
]


def register_models(models: typer.Typer) -> None:
    """Add `verify`, `reproduce` and `prune` to the verbs of models."""
    models.command()(verify)
    models.command()(reproduce)
    models.command()(prune)


def verify(
    version: Version = "latest",
    model: ModelOption = None,
    every: Annotated[bool, typer.Option("--all", help="Every version of the registry.")] = False,
    json: JsonOption = False,
) -> None:
    """Check signature and files of a version, load it and compare its outputs with those of training."""
    from streamrec.errors import ArtifactError, ConfigError

    registry = _registry()
    if not every:
        found = _verified(registry, *found_version(registry, version, model))
        if json:
            print_json(found)
        else:
            typer.echo(
                f"{found['version']} is whole and gives what it gave in training; sha256 {found['digest']}"
            )
        return
    rows: list[dict[str, Any]] = []
    with _status("verifying") as say:
        for entry in (entry for model in registry.models() for entry in registry.entries(model)):
            say(f"verifying {entry.model} {entry.version}")
            try:
                rows.append(_verified(registry, entry.model, entry.version))
            except (ArtifactError, ConfigError) as error:  # damaged, or of a model that is not known here
                rows.append({"model": entry.model, "version": entry.version, "fault": str(error)})
    if json:
        print_json(rows)
    else:
        print_table(["model", "version", "sha256", ""], [_verified_cells(row) for row in rows])
        for row in rows:
            if "fault" in row:
                typer.echo(row["fault"])
    if any("fault" in row for row in rows):
        raise typer.Exit(1)


def reproduce(
    version: Version = "latest",
    data: DataOption = None,
    bundled: BundledOption = False,
    from_topic: FromTopicOption = False,
    from_history: FromHistoryOption = False,
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda, in place of the one that it was trained on.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Train a version again on the same clicks and compare: equal to the last bit, or what differs.

    Without a source the one that the manifest names is taken. Nothing is published. The exit code is 1 if
    a file differs.
    """
    from rich.console import Console

    from streamrec import lineage
    from streamrec.config import load_settings
    from streamrec.progress import progress_bar

    settings, registry = load_settings(), _registry()
    named = _named(registry, version)
    manifest = registry.manifest(_MODEL, named)
    console = Console(stderr=True)
    clicks = lineage.trained_on(
        _clicks(settings, manifest, data, bundled, from_topic, from_history, console), manifest
    )
    with progress_bar(console) as on_step:
        made = lineage.reproduce(registry, named, clicks, device=device, on_step=on_step)
    if json:
        print_json(made._asdict())
    else:
        _print(made, len(clicks))
    if not made.equal:
        raise typer.Exit(1)


def prune(
    keep: Annotated[int, typer.Option(min=1, help="Versions to keep, the newest.")],
    older_than: Annotated[
        float, typer.Option(min=0, metavar="DAYS", help="Only versions published longer ago than this.")
    ] = 1.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    drop_parents: Annotated[
        bool,
        typer.Option(
            "--drop-parents", help="Also what kept versions went on from; they cannot be reproduced then."
        ),
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Without asking Kafka: also what serves, or what rows still name."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Remove old versions that nothing names, and what killed publishing has left.

    Kept are the newest, what the models topic names in any slot, what rows name that have no list yet,
    what is young, and what a kept version went on from. Of recommenders that are sources of lists Kafka knows
    nothing: run it with the settings of scoring, whose STREAMREC_SCORING__RECOMMENDERS names what serves.
    """
    from streamrec.config import load_settings
    from streamrec.pruning import LEFTOVER_AGE_S, Named, chosen_versions, reasons_to_keep

    registry, now_s = _registry(), time.time()
    named = Named({}, ()) if force else _asked()
    rows: list[dict[str, Any]] = []
    for model in registry.models():
        published = registry.published(model)
        reasons = reasons_to_keep(
            # Another may prune at the same time: what is gone by now is not ours to keep or remove.
            [each for each in registry.entries(model) if each.version in published],
            published,
            named if model == _MODEL else chosen_versions(load_settings(), model),
            keep=keep,
            younger_than_s=older_than * _DAY_S,
            now_s=now_s,
            parents=not drop_parents,
        )
        rows += [{"model": model, "version": name, "kept": why or None} for name, why in reasons.items()]
        rows += [
            {"model": model, "version": left, "kept": None, "leftover": True}
            for left in registry.leftovers(model, now_s - LEFTOVER_AGE_S)
        ]
    if force:
        typer.echo("Kafka was not asked: a version that serves may be among those removed", err=True)
    if not dry_run:
        for row in rows:
            if row["kept"] is None:
                _remove(registry, row)
    if json:
        print_json(rows)
        return
    verb = "would be removed" if dry_run else "removed"
    print_table(
        ["model", "version", ""],
        [[row["model"], row["version"], _fate(row, verb)] for row in rows],
    )


def _remove(registry: "Registry", row: dict[str, Any]) -> None:
    if row.get("leftover"):
        registry.discard(row["model"], row["version"])
    else:
        registry.remove(row["model"], row["version"])


def _fate(row: dict[str, Any], verb: str) -> str:
    if row["kept"] is not None:
        return f"kept: {row['kept']}"
    return f"{verb}: left of a killed publish" if row.get("leftover") else verb


def _asked() -> "Named":
    from streamrec.config import load_settings
    from streamrec.errors import BrokerError, TopicError
    from streamrec.pruning import named_versions

    try:
        return named_versions(load_settings(), _MODEL)
    except (BrokerError, TopicError) as error:
        raise type(error)(
            f"{error}. Nothing is removed: which versions serve, and which of them rows name, only Kafka "
            "knows; --force goes without, and may remove what serves"
        ) from None


def _clicks(
    settings: "Settings",
    manifest: "Manifest",
    data: "Path | None",
    bundled: bool,
    from_topic: bool,
    from_history: bool,
    console: "Console",
) -> "Clicks":
    """The clicks of the place that was asked for, or else of that in the manifest. Raises ConfigError."""
    from streamrec import lineage
    from streamrec.datasets import bundled_clicks, load_clicks
    from streamrec.errors import ConfigError

    asked = {"--data": data is not None, "--bundled": bundled, "--from-topic": from_topic}
    asked["--from-history"] = from_history
    named = [name for name, is_asked in asked.items() if is_asked]
    if len(named) > 1:
        raise ConfigError(f"which clicks? give one of {' and '.join(named)}")
    source = manifest.data.get("source")
    if data is not None:
        return load_clicks(data)
    if bundled or (not named and source == "bundled clicks"):
        return bundled_clicks()
    if not named and "offsets" not in manifest.data:
        raise ConfigError(f"which clicks? {manifest.version} was trained on {source}; give --data FILE")
    with _status("reading the interactions", console):
        # Imports, and topics of before, are in history alone.
        in_history = from_history or (not named and "earlier" in manifest.data)
        read = lineage.history_of if in_history else lineage.topic_of
        return read(settings, manifest).clicks


def found_version(registry: "Registry", version: str, model: str | None) -> tuple[str, str]:
    """Model and version that are meant. A version by its name is of whichever model has it."""
    if version == "latest":
        return model or _MODEL, registry.latest(model or _MODEL)
    having = [name for name in registry.models() if version in registry.versions(name)]
    return model or (having[0] if len(having) == 1 else _MODEL), version


def checked(registry: "Registry", model: str, version: str, *, signed: bool = True) -> "Manifest":
    """The manifest of a version that has been loaded and probed. Raises RegistryError, ArtifactError."""
    if model == _MODEL:
        from streamrec.scorer import check_artifact

        return check_artifact(registry, version, signed=signed)
    from streamrec.recommender_artifacts import check_recommender

    return check_recommender(registry, model, version, signed=signed)


def _verified(registry: "Registry", model: str, version: str) -> dict[str, Any]:
    manifest = checked(registry, model, version)
    digest = registry.digest(model, version)
    return {"model": model, "version": version, "digest": digest, "probes": len(manifest.probes)}


def _verified_cells(row: dict[str, Any]) -> list[str]:
    return [
        row["model"],
        row["version"],
        row.get("digest", "")[:12],
        "whole" if "digest" in row else "see below",
    ]


def _print(made: "Comparison", n_clicks: int) -> None:
    told = "" if made.clicks_known else ", as many as then; the manifest has no digest of them"
    if made.equal:
        typer.echo(f"{made.version} is made again to the last bit, from {n_clicks:,} clicks{told}")
    else:
        typer.echo(f"{made.version} comes out otherwise, from {n_clicks:,} clicks{told}")
        rows = [[name, then[:12], now[:12] or "none"] for name, (then, now) in made.files.items()]
        print_table(["file", "sha256 then", "now"], rows)
        print_table(
            ["", "largest difference"],
            [
                *([name, f"{apart:.3g}"] for name, apart in made.weights.items()),
                ["scores after the probes' sessions", f"{made.scores:.3g}"],
            ],
        )
    if made.environment:
        print_table(
            ["environment", "then", "now"], [[name, *both] for name, both in made.environment.items()]
        )
    elif not made.equal:
        typer.echo("nothing in the environment that is recorded is another: was the code changed?")


def _status(text: str, console: "Console | None" = None) -> Any:
    """A line that says what is going on, on a terminal; gives a function that changes it."""
    from contextlib import contextmanager

    from rich.console import Console

    shown = console or Console(stderr=True)

    @contextmanager
    def status() -> Any:
        with shown.status(text) if shown.is_terminal else nullcontext() as spinner:
            yield (lambda new: None) if spinner is None else spinner.update

    return status()


def _registry() -> "Registry":
    from streamrec.config import load_settings
    from streamrec.registry import Registry

    return Registry.of(load_settings())


def _named(registry: "Registry", version: str) -> str:
    from streamrec.errors import ConfigError

    model, named = found_version(registry, version, None)
    if model != _MODEL:
        raise ConfigError(
            f"{named} is of {model}, and only versions of {_MODEL} are made again; `streamrec train "
            f"recommender {model}` trains another"
        )
    return named
