"""`streamrec topics`: make, check, mend and describe the topics, their rights and their schemas."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from streamrec.cli.output import JsonOption, print_json, print_table

__all__ = ["register"]

_topics = typer.Typer(help="The topics in Kafka.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the verbs `topics create`, `check`, `mend`, `describe`, `acl` and `schemas`."""
    app.add_typer(_topics, name="topics")


@_topics.command()
def create(json: JsonOption = False) -> None:
    """Make the topics that are missing; the others stay as they are."""
    from streamrec.config import load_settings
    from streamrec.topics import create_topics, topic_specs

    settings = load_settings()
    created = create_topics(settings)
    if json:
        print_json({"created": created})
        return
    for name in created:
        typer.echo(f"made {name}")
    there = len(topic_specs(settings)) - len(created)
    if there:
        typer.echo(f"{there} topics were there already; `streamrec topics check` looks whether they fit")


@_topics.command()
def check(json: JsonOption = False) -> None:
    """Compare the topics with what the apps need. Exit code 1 if anything differs."""
    from streamrec.config import load_settings
    from streamrec.topics import check_topics

    settings = load_settings()
    problems = check_topics(settings)
    if json:
        print_json(problems)
    elif problems:
        print_table(
            ["topic", "setting", "is", "has to be", "how to mend it"],
            [[each.topic, each.setting, each.actual, each.wanted, each.remedy] for each in problems],
        )
    else:
        typer.echo(f"all topics at {settings.kafka.bootstrap} are as they have to be")
    if problems:
        raise typer.Exit(1)


@_topics.command()
def mend(json: JsonOption = False) -> None:
    """Set the topics' configuration as the apps need it; partitions are left alone."""
    from streamrec.config import load_settings
    from streamrec.topics import mend_topics

    mended = mend_topics(load_settings())
    if json:
        print_json(mended)
        return
    for each in mended:
        typer.echo(f"{each.topic}: {each.setting} was {each.actual}, is now {each.wanted}")
    if not mended:
        typer.echo("nothing to mend")


@_topics.command()
def describe(json: JsonOption = False) -> None:
    """Show the topics as they are: cut, kept, filled."""
    from streamrec.config import load_settings
    from streamrec.topics import describe_topics

    topics = describe_topics(load_settings())
    if json:
        print_json(topics)
        return
    print_table(
        ["topic", "partitions", "copies", "offsets", "set on it"],
        [
            [each.name, each.partitions, each.replication, each.offsets, _shown(each.config)]
            for each in topics
        ],
    )


def _shown(config: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(config.items()))


@_topics.command()
def acl(
    role: Annotated[
        str | None,
        typer.Argument(
            help="state, scoring, evaluation, publisher, catalogue, reader, training, backtest or operator; "
            "or all."
        ),
    ] = None,
    user: Annotated[
        str | None, typer.Option(help="The role's user; without it a user called like the role.")
    ] = None,
    group: Annotated[str | None, typer.Option(help="The consumer group of a reader.")] = None,
    json: JsonOption = False,
) -> None:
    """Print the least rights of each role, as kafka-acls.sh commands."""
    from streamrec.config import load_settings
    from streamrec.errors import ConfigError
    from streamrec.rights import ROLES, acl_commands, rights

    if role is not None and role not in ROLES:
        raise ConfigError(f"{role!r} is no role; there are {', '.join(ROLES)}")
    if user is not None and role is None:
        raise ConfigError(f"whose user is {user!r}? name the role, one of {', '.join(ROLES)}")
    kafka = load_settings().kafka
    granted = {each: rights(kafka, each, group=group) for each in ([role] if role else ROLES)}
    if json:
        print_json(
            {
                each: {"user": user or each, "rights": [right._asdict() for right in wanted]}
                for each, wanted in granted.items()
            }
        )
        return
    for each, wanted in granted.items():
        typer.echo(f"# {each}: {ROLES[each]}")
        for command in acl_commands(wanted, user or each, kafka.bootstrap):
            typer.echo(command)


@_topics.command()
def schemas(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("docs/schemas"),
) -> None:
    """Write the JSON Schema of every record and an AsyncAPI document of the topics."""
    from streamrec.schemas import write_schemas

    for path in write_schemas(out):
        typer.echo(path)
