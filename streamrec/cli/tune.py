"""`streamrec tune`: hyperparameters for the clicks at hand."""

import shlex
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamrec.cli.output import JsonOption, print_json, print_table
from streamrec.cli.parameters import parse_parameters
from streamrec.cli.sources import BundledOption, FromHistoryOption

if TYPE_CHECKING:
    from rich.console import Console

    from streamrec.tuning import Trained, Tuned

__all__ = ["register"]

_SHOWN = 5
"""Trials in the table."""


def register(app: typer.Typer) -> None:
    """Add the verb `tune`."""
    app.command("tune")(_tune)


def _tune(
    model: Annotated[str, typer.Option(help="A session model: gru4rec, vs_knn, …")] = "gru4rec",
    data: Annotated[
        Path | None,
        typer.Option(help="Training clicks, tab-separated: SessionId, ItemId, Time in seconds; .gz or not."),
    ] = None,
    bundled: BundledOption = False,
    from_history: FromHistoryOption = False,
    valid_share: Annotated[
        float,
        typer.Option(
            min=0.01, max=0.9, help="Share of the sessions, the latest, that trials are measured on."
        ),
    ] = 0.1,
    valid_days: Annotated[
        float | None, typer.Option(min=0, help="Measure on the sessions of so many last days instead.")
    ] = None,
    metric: Annotated[str, typer.Option(help="What to search for: recall@K, mrr@K or ndcg@K.")] = "mrr@20",
    param: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A hyperparameter that is not searched; may be repeated."),
    ] = None,
    minutes: Annotated[float, typer.Option(min=0, help="Stop after so long, whatever is at work.")] = 10.0,
    trials: Annotated[
        int | None, typer.Option(min=0, help="Stop after so many; 0 only shows what was found before.")
    ] = None,
    study: Annotated[
        Path | None,
        typer.Option(help="The file of trials; the same one goes on with them. build/tune/MODEL.sqlite."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the search and of every training.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: CUDA where present.")] = "auto",
    json: JsonOption = False,
) -> None:
    """Search the hyperparameters of a session model, on sessions held out by time from its training clicks.

    Bad trials are given up on their way; the defaults are the first. Stop it whenever you like: the
    same line goes on where it was.
    """
    from rich.console import Console

    from streamrec.cli.sources import one_source
    from streamrec.evaluation.splits import by_time
    from streamrec.models import session_model_name
    from streamrec.progress import progress_bar
    from streamrec.tuning import Limits, need_optuna, tune

    need_optuna()
    model = session_model_name(model)
    fixed = parse_parameters(param or [])
    console = Console(stderr=True)
    clicks = one_source(data, bundled, from_history)
    split = by_time(clicks, days=valid_days, share=valid_share if valid_days is None else None)
    file = study or Path("build/tune") / f"{model}.sqlite"
    try:
        tuned = tune(
            model,
            split,
            file,
            limits=Limits(minutes, trials),
            progress=partial(progress_bar, console),
            metric=metric,
            fixed=fixed,
            seed=seed,
            device=device,
            on_trial=partial(_print_trial, console, metric),
        )
    except KeyboardInterrupt:
        typer.echo(f"stopped; the same line goes on with the trials in {file}", err=True)
        raise typer.Exit(130) from None
    if json:
        print_json({**tuned._asdict(), "file": str(file), "evaluate": _evaluate_line(tuned, data)})
        return
    _print(tuned, file, data, from_history)


def _print_trial(console: "Console", metric: str, trial: "Trained") -> None:
    value = trial.state if trial.value is None else f"{metric} {trial.value:.4f}"
    console.print(
        f"trial {trial.number}: {value} in {trial.seconds:.0f} s  [dim]{_line(trial.parameters)}[/]",
        highlight=False,
        soft_wrap=True,
    )


def _print(tuned: "Tuned", file: Path, data: Path | None, from_history: bool) -> None:
    counts = Counter(trial.state for trial in tuned.trials)
    print_table(
        [tuned.metric, "trial", "s", "hyperparameters"],
        [
            [f"{trial.value:.4f}", trial.number, round(trial.seconds), _line(trial.parameters)]
            for trial in tuned.trials[:_SHOWN]
            if trial.value is not None
        ],
    )
    done = ", ".join(f"{n} {state}" for state, n in counts.items())
    default = "" if tuned.default_value is None else f", the defaults have {tuned.default_value:.4f}"
    if tuned.value == tuned.default_value:
        default = ", which is that of the defaults: nothing better was found"
    typer.echo(
        f"\ntrials: {done}, kept in {file}\n"
        f"{tuned.metric} {tuned.value:.4f}{default}, on the sessions held out\n"
        f"the best on a test set that the search has not seen:\n  {_evaluate_line(tuned, data)}"
    )
    if tuned.model == "gru4rec":
        source = (
            f"--data {shlex.quote(str(data))}" if data else "--from-history" if from_history else "--bundled"
        )
        typer.echo(f"and published:\n  streamrec train gru4rec {source} {_params(tuned)}")


def _evaluate_line(tuned: "Tuned", data: Path | None) -> str:
    train = shlex.quote(str(data)) if data else "TRAIN"
    return f"streamrec evaluate --train {train} --test TEST --model {tuned.model} {_params(tuned)}"


def _params(tuned: "Tuned") -> str:
    return " ".join(f"--param {shlex.quote(f'{name}={value}')}" for name, value in tuned.parameters.items())


def _line(parameters: dict[str, object]) -> str:
    return " ".join(f"{name}={value}" for name, value in parameters.items())
