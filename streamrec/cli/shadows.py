"""`streamrec models shadow`, `challenge`, `interleaving`: versions that are tried out beside the live one."""

from typing import Annotated

import typer

from streamrec.cli.output import JsonOption, print_json, print_table

__all__ = ["register_models"]

_MODEL = "gru4rec"

Share = Annotated[
    float, typer.Option(help="Share of the visitors whose lists are interleaved; above 0, at most 1.")
]


def register_models(models: typer.Typer) -> None:
    """Add the verbs `shadow`, `challenge` and `interleaving` to `models`."""
    models.command()(shadow)
    models.command()(challenge)
    models.command()(interleaving)


def shadow(
    version: Annotated[str, typer.Argument(help="A version, or `latest`.")],
    end: Annotated[bool, typer.Option("--end", help="Make its lists no more.")] = False,
    json: JsonOption = False,
) -> None:
    """Have a version make lists that nobody sees, to compare them with those that are shown."""
    from streamrec import trials
    from streamrec.config import load_settings

    settings = load_settings()
    if end:
        trials.end_shadow(settings, _MODEL, version)
    else:
        version = _checked(version)
        trials.shadow(settings, _MODEL, version)
    if json:
        print_json({"version": version, "shadow": not end})
    elif end:
        typer.echo(f"{version} is no shadow any more")
    else:
        typer.echo(
            f"{version} is a shadow for {settings.contest.shadow_share:.0%} of the visitors; its lists go to "
            f"{settings.kafka.topic('shadow-recommendations')}"
        )


def challenge(
    version: Annotated[str | None, typer.Argument(help="A version, or `latest`.")] = None,
    share: Share = 0.1,
    end: Annotated[bool, typer.Option("--end", help="Interleave no more.")] = False,
    json: JsonOption = False,
) -> None:
    """Interleave the lists of a share of the visitors with a version's, and see whose items are clicked."""
    from streamrec import trials
    from streamrec.config import load_settings

    if end == (version is not None):
        raise typer.BadParameter("give either a version or --end")
    if not 0 < share <= 1:
        raise typer.BadParameter(f"--share is {share:g}; it has to be above 0 and at most 1")
    settings = load_settings()
    if version is None:
        trials.end_challenge(settings, _MODEL)
    else:
        version = _checked(version)
        trials.challenge(settings, _MODEL, version, share)
    if json:
        print_json({"version": version, "share": None if end else share})
    elif version is None:
        typer.echo("lists are interleaved no more")
    else:
        typer.echo(f"{version} is the challenger in the lists of {share:.0%} of the visitors")


def interleaving(
    named_only: Annotated[
        bool,
        typer.Option("--named-only", help="Count only clicks that say which list they were on (rec_id)."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Say which version the clicks on interleaved lists prefer, from the lists and clicks on the topics."""
    from streamrec.config import load_settings
    from streamrec.preferences import read_preferences

    found = read_preferences(load_settings(), named_only=named_only)
    if json:
        print_json(
            [
                {**pair._asdict(), **each.preference._asdict(), "clicks": each.clicks, "named": each.named}
                for pair, each in found.items()
            ]
        )
        return
    if not found:
        typer.echo("no clicks on interleaved lists; `streamrec models challenge VERSION` has some made")
        return
    rows = [
        [
            *(pair.challenger, pair.version),
            *(each.preference.wins, each.preference.losses, each.preference.ties),
            f"{each.preference.preference:+.3f} ({each.preference.low:+.3f} to {each.preference.high:+.3f})",
            f"{each.preference.p:.3g}",
            f"{each.clicks} ({each.named})",
        ]
        for pair, each in found.items()
    ]
    print_table(
        ["challenger", "against", "wins", "losses", "ties", "preference (95 %)", "p", "clicks (named)"], rows
    )


def _checked(version: str) -> str:
    """The version, once it has been loaded and probed."""
    from streamrec.config import load_settings
    from streamrec.registry import Registry
    from streamrec.scorer import check_artifact

    registry = Registry.of(load_settings())
    named = registry.latest(_MODEL) if version == "latest" else version
    check_artifact(registry, named)
    return named
