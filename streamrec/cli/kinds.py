"""`streamrec models kinds`: the models there are, and what can be configured of each."""

from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamrec.cli.output import JsonOption, print_json, print_table

if TYPE_CHECKING:
    from streamrec.model_kinds import ModelKind

__all__ = ["register_models"]


def register_models(models: typer.Typer) -> None:
    """Add the verb `models kinds`."""
    models.command()(kinds)


def kinds(
    name: Annotated[
        str | None, typer.Argument(help="One of them: its source and its hyperparameters.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the models that can be trained and evaluated, or tell what one of them is and takes."""
    if name is None:
        _all(json=json)
    else:
        _one(name, json=json)


def _all(*, json: bool) -> None:
    from rich.console import Console

    from streamrec.model_kinds import model_kinds

    console = Console(stderr=True)
    with console.status("loading the models") if console.is_terminal else nullcontext():
        found = model_kinds()
    if json:
        print_json([_as_json(each) for each in found])
        return
    print_table(
        ["model", "for", "streams", "what it is"],
        [
            [
                each.name,
                ", ".join(each.tasks),
                "yes" if each.streams else "",
                each.about,
            ]
            for each in found
        ],
    )
    for each in found:
        if each.missing:
            typer.echo(each.missing, err=True)
    typer.echo(
        "\nnext item: session models, on clicks; rating, top-n: recommenders, on ratings and other feedback\n"
        "`streamrec models kinds NAME` tells what a model takes; `streamrec evaluate --model NAME`, how good "
        "it is on your data"
    )


def _one(name: str, *, json: bool) -> None:
    from streamrec.model_kinds import hyperparameters, model_kind

    found = model_kind(name)
    parameters = [] if found.missing else hyperparameters(name)
    if json:
        print_json(
            {**_as_json(found), "text": found.text, "parameters": [each._asdict() for each in parameters]}
        )
        return
    typer.echo(found.text)
    typer.echo(
        f"\n{found.kind}, for {', '.join(found.tasks) or '?'}{', learns from streams' * found.streams}"
    )
    if found.missing:
        typer.echo(found.missing, err=True)
    elif not parameters:
        typer.echo("it has no hyperparameters")
    else:
        typer.echo("")
        print_table(
            ["--param", "default", "takes", ""],
            [[each.name, _shown(each.default), each.type, each.about] for each in parameters],
        )


def _as_json(found: "ModelKind") -> dict[str, Any]:
    return {
        "name": found.name,
        "kind": found.kind,
        "tasks": found.tasks,
        "streams": found.streams,
        "installed": found.missing is None,
        "missing": found.missing,
        "about": found.about,
    }


def _shown(default: Any) -> str:
    return "none" if default is None else str(default).lower() if isinstance(default, bool) else str(default)
