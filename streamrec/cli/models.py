"""`streamrec models`: the versions in the registry, who signed them, and which of them is live."""

import json as json_text
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamrec.cli.output import JsonOption, print_json, print_table

if TYPE_CHECKING:
    from streamrec.registry import Registry

__all__ = ["register"]

_MODEL = "gru4rec"
_KAFKA_S = 3.0

_models = typer.Typer(help="The model versions in the registry.", no_args_is_help=True)

Version = Annotated[str, typer.Argument(help="A version, or `latest`.")]


def register(app: typer.Typer) -> None:
    """Add the verbs `models list`, `show`, `verify`, `keygen`, `sign` and `release`."""
    app.add_typer(_models, name="models")


@_models.command("list")
def list_(json: JsonOption = False) -> None:
    """List the published versions, oldest first, and which of them is live, if Kafka can be asked."""
    registry = _registry()
    found = [
        _row(registry, model, version) for model in registry.models() for version in registry.versions(model)
    ]
    if not found and not json:
        typer.echo(f"no versions in {registry.path}; train one with `streamrec train gru4rec --bundled`")
        return
    for row, slots in zip(found, _slots(found), strict=True):
        row["slots"] = slots
    if json:
        print_json(found)
    else:
        columns = ["model", "version", "released as", "items", "Recall@20", "signed", "from"]
        print_table(columns, [_cells(row) for row in found])


@_models.command()
def show(version: Version = "latest", json: JsonOption = False) -> None:
    """Show a version's manifest: data, hyperparameters, metrics, files."""
    from streamrec.artifact import read_manifest

    registry = _registry()
    directory = registry.directory(_MODEL, _named(registry, version))
    manifest = read_manifest(directory).model_dump(exclude={"probes"})
    if json:
        print_json({**manifest, "directory": str(directory)})
        return
    rows: list[tuple[str, object]] = [("directory", directory)]
    for name, value in manifest.items():
        if isinstance(value, dict):
            rows += [(f"{name}.{key}", _shown(each)) for key, each in value.items()]
        else:
            rows.append((name, value))
    print_table(["", ""], [[name, str(value)] for name, value in rows])


@_models.command()
def verify(version: Version = "latest", json: JsonOption = False) -> None:
    """Check signature and files of a version, load it and compare its outputs with those of training."""
    from streamrec.scorer import check_artifact

    registry = _registry()
    named = _named(registry, version)
    manifest = check_artifact(registry, named)
    digest = registry.digest(_MODEL, named)
    if json:
        print_json({"version": named, "digest": digest, "probes": len(manifest.probes)})
    else:
        typer.echo(f"{named} is whole and gives what it gave in training; sha256 {digest}")


@_models.command()
def keygen(
    file: Annotated[Path, typer.Argument(help="Where the private key goes; it must not exist.")],
    json: JsonOption = False,
) -> None:
    """Make a key pair to sign versions with: the private key into FILE, the public one printed."""
    from streamrec.signing import SigningKey

    public = SigningKey.create(file).public
    if json:
        print_json({"signing_key": str(file), "trusted_key": public})
        return
    typer.echo(
        f"{file} is the private key: where models are trained or signed, and nowhere else\n"
        f"  export STREAMREC_REGISTRY__SIGNING_KEY={file}\n"
        "the public key, where models are released and served\n"
        f"  export STREAMREC_REGISTRY__TRUSTED_KEYS='{json_text.dumps([public])}'"
    )


@_models.command()
def sign(version: Version = "latest", json: JsonOption = False) -> None:
    """Load and probe a version, then sign it with the key of STREAMREC_REGISTRY__SIGNING_KEY."""
    from streamrec.scorer import check_artifact

    registry = _registry()
    named = _named(registry, version)
    check_artifact(registry, named, signed=False)
    public = registry.sign(_MODEL, named)
    if json:
        print_json({"version": named, "trusted_key": public})
    else:
        typer.echo(f"{named} is signed; who trusts {public} can serve it")


@_models.command()
def release(version: Version = "latest", json: JsonOption = False) -> None:
    """Check a version and make it the live one; an older one is live again the same way."""
    from streamrec.config import load_settings
    from streamrec.releases import announce
    from streamrec.scorer import check_artifact

    settings = load_settings()
    registry = _registry()
    named = _named(registry, version)
    check_artifact(registry, named)
    released = announce(settings, _MODEL, named)
    if json:
        print_json(released)
    else:
        typer.echo(f"{named} is live at {settings.kafka.bootstrap} as release {released.sequence}")


def _slots(rows: Sequence[Mapping[str, Any]]) -> list[list[str] | None]:
    """The slots (live, previous) that each version is released in; None if Kafka cannot be asked."""
    from functools import partial

    from streamrec.config import load_settings
    from streamrec.doctor.asking import answer, ask
    from streamrec.doctor.facts import Unknown
    from streamrec.releases import released

    if not rows:
        return []
    releases = answer(ask(partial(released, load_settings())), _KAFKA_S)
    if isinstance(releases, Unknown):
        typer.echo(f"which version is live is not known: {releases.why}", err=True)
        return [None for _ in rows]
    slots: dict[tuple[str, str], list[str]] = {}
    for each in releases.values():
        slots.setdefault((each.model, each.version), []).append(each.slot)
    return [slots.get((row["model"], row["version"]), []) for row in rows]


def _registry() -> "Registry":
    from streamrec.config import load_settings
    from streamrec.registry import Registry

    return Registry.of(load_settings().registry)


def _named(registry: "Registry", version: str) -> str:
    return registry.latest(_MODEL) if version == "latest" else version


def _row(registry: "Registry", model: str, version: str) -> dict[str, Any]:
    from streamrec.artifact import read_manifest
    from streamrec.errors import ArtifactError

    row: dict[str, Any] = {"model": model, "version": version}
    try:
        manifest = read_manifest(registry.directory(model, version))
        row["signed"] = registry.is_signed(model, version)
    except ArtifactError as error:
        return {**row, "fault": str(error)}
    return {**row, **manifest.model_dump(include={"created", "n_items", "metrics", "data"})}


def _cells(row: dict[str, Any]) -> list[object]:
    slots = ", ".join(row["slots"] or ())
    if "fault" in row:
        return [row["model"], row["version"], slots, "", "", "", row["fault"]]
    recall = row["metrics"].get("recall_at_20")
    return [
        row["model"],
        row["version"],
        slots,
        row["n_items"],
        "" if recall is None else f"{recall:.4f}",
        "yes" if row["signed"] else "no",
        row["data"].get("source", ""),
    ]


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    if isinstance(value, dict) and "sha256" in value:
        return f"{value['size_bytes']:,} bytes, sha256 {value['sha256'][:12]}…"
    return str(value)
