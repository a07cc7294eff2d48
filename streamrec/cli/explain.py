"""`streamrec explain`: how one list came about."""

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from streamrec.cli.output import JsonOption, print_json, print_table, quiet_kafka_client

if TYPE_CHECKING:
    from streamrec.explaining import ExplainedItem, Explanation
    from streamrec.explaining.rebuilding import Voice

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb `explain`."""
    app.command("explain")(_run)


def _run(
    rec_id: Annotated[str, typer.Option(metavar="ID", help="The list: `rec_id` of a recommendation.")],
    visitor: Annotated[
        str | None, typer.Option(metavar="ID", help="Whose list it is: only that partition is searched.")
    ] = None,
    partition: Annotated[int | None, typer.Option(min=0, help="The partition to be searched.")] = None,
    version: Annotated[
        str | None,
        typer.Option(help="GRU4Rec's version at the time, where the list is gone. Else as it was announced."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make one list again out of the interactions, and show what each place in it is due to.

    Exit code 1 if it is not the list that was sent, or if history does not reach back far enough to tell.
    Takes the settings of the apps.
    """
    # As in scoring: numpy's threads would only fight those of ONNX Runtime.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from rich.console import Console

    from streamrec.config import load_settings
    from streamrec.explaining import Question, explain
    from streamrec.progress import progress_bar

    quiet_kafka_client()
    with progress_bar(Console(stderr=True), "explain") as on_step:
        found = explain(
            load_settings(),
            Question(rec_id, visitor, partition, version),
            lambda _, done, total: on_step(done, total, float("nan")),
        )
    faults = found.faults()
    if json:
        print_json({**_fields(found), "faults": faults})
    else:
        _print(found)
    for fault in faults:
        typer.echo(fault, err=True)
    if faults:
        raise typer.Exit(1)


def _fields(found: "Explanation") -> "dict[str, object]":
    return {name: getattr(found, name) for name in found.__struct_fields__}


def _print(found: "Explanation") -> None:
    typer.echo(f"{found.rec_id} answers {found.topic}[{found.partition}] offset {found.offset}")
    rows = [
        ("recorded", _time(found.recorded_ms)),
        ("visitor", found.visitor_id),
        ("session", f"{found.session_id}: {' '.join(found.session_items)}"),
        ("model", f"{found.model} {found.release or '(none)'}, {_WHO_SAYS[found.release_from]}"),
        *([("interleaved", f"with {found.challenger}")] if found.challenger else []),
        ("sent", "is not on the topic" if found.emitted_ms is None else _time(found.emitted_ms)),
        ("the same", _SAME[found.equal]),
        ("made from", f"{found.records:,} records in {found.seconds:,.1f} s"),
    ]
    print_table(["", ""], rows)
    sources = list(found.items[0].voices) if found.items else []
    told = any(voice.because for each in found.items for voice in each.voices.values())
    print_table(
        ["", "item", "score", *sources, "reason", *(["because"] if told else [])],
        [
            [
                each.place,
                each.item_id if each.title is None else f"{each.item_id} {each.title}",
                f"{each.score:.3f}",
                *(_told(each.voices[source]) for source in sources),
                each.reason + (f" ({each.team})" if each.team else ""),
                *(["; ".join(_because(each))] if told else []),
            ]
            for each in found.items
        ],
    )
    if sources:
        typer.echo("by source: rank in its own list, its score, and what the rank adds to the blend's score")


_WHO_SAYS = {"list": "as the list says", "announced": "as announced at the time", "given": "as given"}
_SAME = {True: "yes, byte for byte", False: "no", None: "nothing to compare it with"}


def _because(item: "ExplainedItem") -> list[str]:
    return [f"{source}: {', '.join(voice.because)}" for source, voice in item.voices.items() if voice.because]


def _told(voice: "Voice") -> str:
    rank = "-" if voice.rank is None else f"{voice.rank}."
    score = "" if voice.score is None else f" ({voice.score:.3g})"
    points = f" +{voice.points:.3f}" if voice.points else ""
    return f"{rank}{score}{points}"


def _time(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")
