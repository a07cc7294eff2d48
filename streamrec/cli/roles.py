"""`streamrec models canary`, `promote`, `rollback`, `pin`, `unpin`: what serves whom, and the way back."""

from typing import TYPE_CHECKING, Annotated

import typer

from streamrec.cli.gate import warn_of_verdict
from streamrec.cli.output import JsonOption, print_json

if TYPE_CHECKING:
    from streamrec.events import ModelRelease

__all__ = ["register_models"]

_MODEL = "gru4rec"


def register_models(models: typer.Typer) -> None:
    """Add the verbs `canary`, `promote`, `rollback`, `pin` and `unpin` to `streamrec models`."""
    for verb in (canary, promote, rollback, pin, unpin):
        models.command()(verb)


def canary(
    version: Annotated[str | None, typer.Argument(help="A version, or `latest`.")] = None,
    share: Annotated[
        float, typer.Option(help="Share of the visitors it serves, above 0, at most 1.", min=0, max=1)
    ] = 0.1,
    end: Annotated[bool, typer.Option("--end", help="Have the live version serve everybody.")] = False,
    json: JsonOption = False,
) -> None:
    """Check a version and have it serve a share of the visitors; given again, the share grows or shrinks."""
    from streamrec import releases
    from streamrec.config import load_settings
    from streamrec.registry import Registry
    from streamrec.scorer import check_artifact

    if end == (version is not None):
        raise typer.BadParameter("either a VERSION that becomes the canary, or --end to have none")
    settings = load_settings()
    if version is None:
        releases.end_canary(settings, _MODEL)
        print_json({"canary": None}) if json else typer.echo("the live version serves everybody")
        return
    if share <= 0:
        raise typer.BadParameter("--share 0 is nobody; --end ends the canary")
    registry = Registry.of(settings)
    named = registry.latest(_MODEL) if version == "latest" else version
    check_artifact(registry, named)
    warn_of_verdict(settings, named)
    made = releases.canary(settings, _MODEL, named, share)
    _tell(
        made, f"{named} serves {share:.4g} of the visitors, the same ones as long as it is the canary", json
    )


def promote(json: JsonOption = False) -> None:
    """Make the canary the live version. Workers hold it: nothing is loaded."""
    from streamrec import releases
    from streamrec.config import load_settings

    settings = load_settings()
    made = releases.promote(settings, _MODEL)
    warn_of_verdict(settings, made.version)
    _tell(made, f"{made.version} is live as release {made.sequence}", json)


def rollback(
    reason: Annotated[str, typer.Option(help="Kept beside the version that is taken back.")] = "by hand",
    json: JsonOption = False,
) -> None:
    """Make the previous version live again; what is live comes back by hand only. Nothing is loaded."""
    from streamrec import releases
    from streamrec.config import load_settings
    from streamrec.errors import StreamrecError
    from streamrec.registry import Registry

    settings = load_settings()
    made = releases.rollback(settings, _MODEL, reason)
    try:
        Registry.of(settings).digest(_MODEL, made.version)
    except StreamrecError as error:
        # The way back is not barred by it: the workers hold that version.
        typer.echo(f"warning: workers that start from now on cannot load {made.version}: {error}", err=True)
    _tell(made, f"{made.version} is live again as release {made.sequence}", json)


def pin(json: JsonOption = False) -> None:
    """Have the live version replaced by hand only: gate, training and guard leave it alone."""
    from streamrec import releases
    from streamrec.config import load_settings

    made = releases.pin(load_settings(), _MODEL)
    _tell(made, f"{made.version} stays live until it is replaced by hand, or unpinned", json)


def unpin(json: JsonOption = False) -> None:
    """Let the live version be replaced automatically again."""
    from streamrec import releases
    from streamrec.config import load_settings

    made = releases.unpin(load_settings(), _MODEL)
    _tell(made, f"{made.version} is live and may be replaced automatically", json)


def _tell(release: "ModelRelease", text: str, json: bool) -> None:
    if json:
        print_json(release)
    else:
        typer.echo(text)
