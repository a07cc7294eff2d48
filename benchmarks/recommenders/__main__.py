"""Run it: `python -m benchmarks.recommenders [--only QUESTION] [--model NAME] [--data DIR] [--out DIR]`.

Exit 1 if a claim that is required does not hold. Adds its rows to report.json. Peers are installed for
"speed" once, into an environment of their own below the folder of the report; scikit-surprise is built there,
which takes a C compiler.
"""

import argparse
import sys
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from threadpoolctl import threadpool_limits

from benchmarks.recommenders.context import judge_context
from benchmarks.recommenders.data import movielens_100k, movielens_small
from benchmarks.recommenders.groups import judge_groups
from benchmarks.recommenders.lists import judge_lists
from benchmarks.recommenders.new_items import judge_new_items
from benchmarks.recommenders.ratings import judge_ratings
from benchmarks.recommenders.rows import Judged, add_to_report, not_held
from benchmarks.recommenders.speed import judge_speed
from benchmarks.recommenders.trust import judge_trust
from streamrec.cli.output import print_error
from streamrec.errors import StreamrecError
from streamrec.models import RECOMMENDERS

_ROOT: Final = Path(__file__).resolve().parents[2]
_WIDTH: Final = 120
"""Of the lines in a log or a pipe."""
OnStep = Callable[[int, int], object]

console = Console()


class _Folders(NamedTuple):
    data: Path
    out: Path


def _small(data: Path) -> Path:
    return data / "ml-latest-small"


_QUESTIONS: Final[Mapping[str, Callable[[Collection[str], _Folders, OnStep], Judged]]] = {
    "ratings": lambda names, at, step: judge_ratings(names, movielens_100k(at.out / "data"), step),
    "lists": lambda names, at, step: judge_lists(names, movielens_small(_small(at.data)), step),
    "trust": lambda names, at, step: judge_trust(names, at.data, step),
    "context": lambda names, at, step: judge_context(names, at.data, step),
    "groups": lambda names, at, step: judge_groups(names, at.data, step),
    "new-items": lambda names, at, step: judge_new_items(names, at.data, step),
    "speed": lambda names, at, step: judge_speed(
        names, movielens_100k(at.out / "data"), movielens_small(_small(at.data))[0], at.out, step
    ),
}


def main() -> None:
    """Ask, print, add to the report, one question after the other."""
    options = _options()
    if not console.is_terminal:
        console.width = _WIDTH
    names = options.model or list(RECOMMENDERS)
    report = Path(options.out) / "report.json"
    faults = []
    for question in options.only or _QUESTIONS:
        began = time.monotonic()
        try:
            judged = _asked(question, names, _Folders(options.data, Path(options.out)))
        except StreamrecError as error:
            print_error(str(error))
            sys.exit(error.exit_code)
        add_to_report(report, judged.entries)
        for table in judged.tables:
            console.print(table)
        console.print(f"{question} took {time.monotonic() - began:.0f} s\n", highlight=False)
        faults += not_held(judged.entries)
    for fault in faults:
        print_error(fault)
    sys.exit(bool(faults))


def _asked(question: str, names: Collection[str], folders: _Folders) -> Judged:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(question, total=None)
        return _QUESTIONS[question](
            names, folders, lambda done, total: progress.update(task, completed=done, total=total)
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.recommenders", description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=_ROOT.parent / "shared" / "data", help="folder of the data sets"
    )
    parser.add_argument(
        "--only", action="append", choices=list(_QUESTIONS), help="one question; again for another"
    )
    parser.add_argument(
        "--model", action="append", choices=list(RECOMMENDERS), help="one model; again for another"
    )
    parser.add_argument("--out", default="build/quality", help="folder of report.json")
    return parser.parse_args()


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
