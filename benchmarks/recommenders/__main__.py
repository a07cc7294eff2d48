"""Run it: `python -m benchmarks.recommenders [--data FOLDER] [--model NAME] [--out FOLDER]`.

Exit 1 if a claim does not hold: ratings within 1 % of the published error where there is one, lists of every
model that is trained for them above popularity. Adds its rows to report.json.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.recommenders.claims import list_entries, lists_table, rating_entries, ratings_table
from benchmarks.recommenders.data import movielens_100k, movielens_small
from benchmarks.recommenders.judged import Listed, Rated, judge_lists, judge_ratings
from streamrec.cli.output import print_error
from streamrec.errors import StreamrecError
from streamrec.evaluation.held_out import last_of_each
from streamrec.models import RECOMMENDERS, recommender_class

_ROOT: Final = Path(__file__).resolve().parents[2]
_RATED: Final = "movielens-100k"
_LISTED: Final = "ml-latest-small"
_WIDTH: Final = 110
"""Of the lines in a log or a pipe."""

console = Console()


def main() -> None:
    """Train, measure, print, add to the report."""
    options = _options()
    if not console.is_terminal:
        console.width = _WIDTH
    names = options.model or list(RECOMMENDERS)
    try:
        entries = _measure(names, options.data, Path(options.out))
    except StreamrecError as error:
        print_error(str(error))
        sys.exit(error.exit_code)
    _add(Path(options.out) / "report.json", entries)
    faults = [
        f"{each['data']}, {each['model']}: {each['metric']} is {each['value']:.4f}, "
        f"wanted {each['claim']} {each['reference']:.4f}"
        for each in entries
        if each["required"] and not each["holds"]
    ]
    for fault in faults:
        print_error(fault)
    sys.exit(bool(faults))


def _measure(names: list[str], folder: Path, out: Path) -> list[dict[str, Any]]:
    rated_data = movielens_100k(out / "data")
    listed_data, knowledge = movielens_small(folder / _LISTED)
    parts = last_of_each(listed_data)
    raters = [name for name in names if "rating" in recommender_class(name).tasks]
    rated: dict[str, Rated] = {}
    listed: dict[str, Listed] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        for name in raters:
            task = progress.add_task(f"{_RATED}: {name}", total=5)
            rated[name] = judge_ratings(
                name, rated_data, on_fold=lambda done, task=task: progress.update(task, completed=done)
            )
        task = progress.add_task(_LISTED, total=len(names))
        for name in names:
            listed[name] = judge_lists(name, parts, knowledge)
            progress.advance(task)
    console.print(ratings_table(_RATED, rated))
    console.print(lists_table(_LISTED, listed))
    for_lists = {name for name in names if "top-n" in recommender_class(name).tasks}
    return [*rating_entries(_RATED, rated), *list_entries(_LISTED, listed, for_lists)]


def _add(report: Path, entries: list[dict[str, Any]]) -> None:
    """Put the rows in place of those of the same models and data."""
    report.parent.mkdir(parents=True, exist_ok=True)
    ours = {(each["model"], each["data"]) for each in entries}
    before = json.loads(report.read_text("utf-8")) if report.exists() else []
    kept = [each for each in before if (each["model"], each["data"]) not in ours]
    report.write_text(json.dumps([*kept, *entries], indent=2) + "\n", "utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.recommenders", description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=_ROOT.parent / "shared" / "data", help="folder of the data sets"
    )
    parser.add_argument(
        "--model", action="append", choices=list(RECOMMENDERS), help="one model; again for another"
    )
    parser.add_argument("--out", default="build/quality", help="folder of report.json")
    return parser.parse_args()


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    main()
