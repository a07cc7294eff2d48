"""Run it: `python -m benchmarks.quality [--only QUESTION] [--model NAME] [--data DIR] [--out DIR]`.

Asks one question after the other, each data set of sessions and each question about recommenders, prints a
table for each, and puts its rows into report.json in place of those of an earlier run. Exit 1 if a claim that
is required does not hold, or a question has no answer; the others are asked all the same.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from threadpoolctl import threadpool_limits

from benchmarks.quality.sessions import judge_sessions
from benchmarks.quality.settings import FILES
from benchmarks.recommenders.questions import QUESTIONS, Folders
from benchmarks.recommenders.rows import Judged, add_to_report, not_held
from streamrec.cli.output import print_error
from streamrec.errors import StreamrecError
from streamrec.models import RECOMMENDERS

_ROOT: Final = Path(__file__).resolve().parents[2]
_WIDTH: Final = 120
"""Of the lines in a log or a pipe."""

console = Console()


def main() -> None:
    """Ask, print, add to the report, one question after the other."""
    options = _options()
    if not console.is_terminal:
        console.width = _WIDTH
    report = options.out / "report.json"
    faults, unanswered = [], []
    for question in options.only:
        began = time.monotonic()
        try:
            judged = _answered(question, options)
        except StreamrecError as error:
            unanswered.append(question)
            print_error(f"{question}: {error}")
            continue
        add_to_report(report, judged.entries)
        for table in judged.tables:
            console.print()
            console.print(table)
        took = f"{question} took {time.monotonic() - began:.0f} s; its rows are in {report}"
        console.print(took, highlight=False, soft_wrap=True)
        faults += not_held(judged.entries)
    if unanswered:
        faults.append(f"no answer to {', '.join(unanswered)}, for what is said above")
    for fault in faults:
        print_error(fault)
    sys.exit(bool(faults))


def _answered(question: str, options: argparse.Namespace) -> Judged:
    if question in FILES:
        return judge_sessions(question, options.data, options.seeds, options.processes, console)
    names = options.model or list(RECOMMENDERS)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(question, total=None)

        def step(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        return QUESTIONS[question](names, Folders(options.data, options.out), step)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.quality", description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=_ROOT.parent / "shared" / "data", help="folder of the data sets"
    )
    parser.add_argument("--out", type=Path, default=Path("build/quality"), help="folder of report.json")
    parser.add_argument(
        "--only", action="append", choices=[*FILES, *QUESTIONS], help="one question; again for another"
    )
    parser.add_argument(
        "--model",
        action="append",
        choices=list(RECOMMENDERS),
        help="one recommender, in its questions alone; again for another",
    )
    parser.add_argument("--seeds", type=int, default=3, help="trainings of every setting of GRU4Rec")
    parser.add_argument("--processes", type=int, default=2, help="of these at once, of one thread each")
    options = parser.parse_args()
    if options.seeds < 1 or options.processes < 1:
        parser.error("at least one seed and one process are needed to measure anything")
    options.only = options.only or [*([] if options.model else FILES), *QUESTIONS]
    return options


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
