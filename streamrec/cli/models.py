"""`streamrec models`: the versions in the registry, who signed them, and which of them is live."""

import json as json_text
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamrec.cli import gate, kinds, lineage, roles, shadows
from streamrec.cli.output import JsonOption, print_json, print_table

if TYPE_CHECKING:
    from streamrec.events import ModelRelease, Verdict
    from streamrec.registry import Entry, Registry

__all__ = ["register"]

_MODEL = "gru4rec"
_KAFKA_S = 3.0

_models = typer.Typer(help="The models there are, and their versions in the registry.", no_args_is_help=True)

Version = Annotated[str, typer.Argument(help="A version, or `latest`.")]


def register(app: typer.Typer) -> None:
    """Add the verb `models`, with the verbs of other modules too."""
    for family in (kinds, gate, roles, shadows, lineage):
        family.register_models(_models)
    app.add_typer(_models, name="models")


@_models.command("list")
def list_(json: JsonOption = False) -> None:
    """List the published versions, oldest first, which of them is live, and what the gate said of each.

    The latter two if Kafka can be asked; without it, verdicts as they are kept beside their pages.
    """
    registry = _registry()
    found = [_row(entry) for model in registry.models() for entry in registry.entries(model)]
    if found:
        slots, judged = _announced()
        found += _absent(found, slots or {})
        for row in found:
            row["slots"] = None if slots is None else slots.get((row["model"], row["version"]), [])
            row["verdict"] = judged.get(row["version"])
    elif not json:
        typer.echo(f"no versions in {registry.path}; train one with `streamrec train gru4rec --bundled`")
        return
    if json:
        print_json(found)
    else:
        columns = ["model", "version", "released as", "verdict", "items", "Recall@20", "signed", "from"]
        print_table(columns, [_cells(row) for row in found])


@_models.command()
def show(version: Version = "latest", model: lineage.ModelOption = None, json: JsonOption = False) -> None:
    """Show a version's manifest, with data, hyperparameters, metrics and files, and the gate's verdict."""
    from streamrec.config import load_settings

    registry = _registry()
    model, named = lineage.found_version(registry, version, model)
    directory = registry.location(model, named)
    manifest = registry.manifest(model, named).model_dump(exclude={"probes"})
    verdict = _announced()[1].get(named)
    if json:
        print_json({**manifest, "directory": str(directory), "verdict": verdict})
        return
    rows: list[tuple[str, object]] = [("directory", directory)]
    for name, value in manifest.items():
        if isinstance(value, dict):
            rows += [(f"{name}.{key}", _shown(each)) for key, each in value.items()]
        else:
            rows.append((name, value))
    print_table(["", ""], [[name, str(value)] for name, value in rows])
    if verdict is not None:
        gate.print_verdict(load_settings(), verdict)


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
def sign(version: Version = "latest", model: lineage.ModelOption = None, json: JsonOption = False) -> None:
    """Load and probe a version, then sign it with the key of STREAMREC_REGISTRY__SIGNING_KEY."""
    registry = _registry()
    model, named = lineage.found_version(registry, version, model)
    lineage.checked(registry, model, named, signed=False)
    public = registry.sign(model, named)
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
    gate.warn_of_verdict(settings, named)
    released = announce(settings, _MODEL, named)
    if json:
        print_json(released)
    else:
        typer.echo(f"{named} is live at {settings.kafka.bootstrap} as release {released.sequence}")


def _announced() -> tuple[dict[tuple[str, str], list[str]] | None, Mapping[str, "Verdict"]]:
    """What each (model, version) is released as, `live` or `canary (0.1)`, say; and verdicts by version.

    If Kafka cannot be asked, None for the first, and verdicts as they are kept beside their pages.
    """
    from streamrec.config import load_settings
    from streamrec.doctor.asking import answer, ask
    from streamrec.doctor.facts import Unknown
    from streamrec.gate import kept_verdicts
    from streamrec.releases import released
    from streamrec.verdicts import verdicts

    settings = load_settings()
    found = answer(ask(lambda: (released(settings), verdicts(settings))), _KAFKA_S)
    if isinstance(found, Unknown):
        typer.echo(f"which version is live is not known: {found.why}", err=True)
        return None, kept_verdicts(settings.gate.pages)
    releases, judged = found
    slots: dict[tuple[str, str], list[str]] = {}
    for each in releases.values():
        slots.setdefault((each.model, each.version), []).append(_role(each))
    return slots, judged


def _absent(
    rows: Sequence[Mapping[str, Any]], slots: Mapping[tuple[str, str], Sequence[str]]
) -> list[dict[str, Any]]:
    """Rows for versions that have a role and no files. A mark of what was rolled back needs none."""
    known = {(row["model"], row["version"]) for row in rows}
    return [
        {"model": model, "version": version, "fault": "not in the registry"}
        for (model, version), roles in slots.items()
        if (model, version) not in known and not all(role.startswith("rolled back") for role in roles)
    ]


def _role(release: "ModelRelease") -> str:
    """A slot, with what else there is to say of it."""
    role = release.slot.partition(":")[0].replace("-", " ")
    more = [
        *(["pinned"] if release.pinned else []),
        *([f"{release.share:.4g}"] if release.share is not None else []),
        *([release.reason] if release.reason is not None else []),
    ]
    return f"{role} ({', '.join(more)})" if more else role


def _registry() -> "Registry":
    from streamrec.config import load_settings
    from streamrec.registry import Registry

    return Registry.of(load_settings())


def _named(registry: "Registry", version: str) -> str:
    return registry.latest(_MODEL) if version == "latest" else version


def _row(entry: "Entry") -> dict[str, Any]:
    row: dict[str, Any] = {"model": entry.model, "version": entry.version}
    if entry.manifest is None:
        return {**row, "fault": entry.fault}
    row["signed"] = entry.signed
    return {**row, **entry.manifest.model_dump(include={"created", "n_items", "metrics", "data", "parent"})}


def _cells(row: dict[str, Any]) -> list[object]:
    slots = ", ".join(row["slots"] or ())
    verdict = row["verdict"].outcome if row["verdict"] else ""
    if row["verdict"] and row["verdict"].released is not None:
        verdict += f", release {row['verdict'].released}"
    if "fault" in row:
        return [row["model"], row["version"], slots, verdict, "", "", "", row["fault"]]
    recall = row["metrics"].get("recall_at_20")
    return [
        row["model"],
        row["version"],
        slots,
        verdict,
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
