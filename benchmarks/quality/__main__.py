"""Run it: `python -m benchmarks.quality [--data FOLDER] [--only DATA] [--seeds N] [--out FOLDER]`.

Exit 1 if a claim that is required does not hold: GRU4Rec with the published hyperparameters is not below the
official figure, with tuned ones above it, and the simple baselines are below the published cross-entropy.
That session neighbours are below the tuned GRU4Rec is claimed too; those that are not beaten are shown.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rich.console import Console

from benchmarks.quality.claims import claims, claims_table, not_held
from benchmarks.quality.runs import Run, measure
from benchmarks.quality.settings import FILES, PUBLISHED, RIVALS, TUNED
from streamrec.cli.output import print_error
from streamrec.errors import DatasetError, StreamrecError

_ROOT: Final = Path(__file__).resolve().parents[2]

_WIDTH: Final = 110
"""Of the lines in a log or a pipe."""

console = Console()


def main() -> None:
    """Train, measure, print, write the report."""
    options = _options()
    if not console.is_terminal:
        console.width = _WIDTH
    started = time.monotonic()
    runs = list(_runs(options.data, options.seeds, [options.only] if options.only else list(FILES)))
    try:
        _require_files(runs)
        entries = claims(runs, measure(runs, options.processes, console))
    except StreamrecError as error:
        print_error(str(error))
        sys.exit(error.exit_code)
    report = Path(options.out) / "report.json"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(json.dumps(entries, indent=2) + "\n", "utf-8")
    for data in dict.fromkeys(run.data for run in runs):
        console.print()
        console.print(claims_table(data, entries))
    console.print(
        f"± is the standard error of the mean of {options.seeds} seeds; official figures have one. "
        f"Took {time.monotonic() - started:.0f} s; written to {report}.",
        highlight=False,
    )
    faults = not_held(entries)
    for fault in faults:
        print_error(fault)
    sys.exit(bool(faults))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.quality", description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=_ROOT.parent / "shared" / "data", help="folder of the data sets"
    )
    parser.add_argument("--only", choices=[*FILES], help="one data set alone")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of every setting")
    parser.add_argument("--processes", type=int, default=2, help="trainings at once, of one thread each")
    parser.add_argument("--out", default="build/quality", help="folder of report.json")
    options = parser.parse_args()
    if options.seeds < 1 or options.processes < 1:
        parser.error("at least one seed and one process are needed to measure anything")
    return options


def _runs(folder: Path, seeds: int, data_sets: list[str]) -> Iterator[Run]:
    for data in data_sets:
        files = folder / FILES[data].train, folder / FILES[data].test
        settings = [(f"published, {loss}", loss, given) for loss, given in PUBLISHED.items()]
        settings += [(f"tuned, {loss}", loss, given) for (of, loss), given in TUNED.items() if of == data]
        for setting, loss, given in settings:
            for seed in range(seeds):
                yield Run(data, setting, "gru4rec", {"loss": loss, **given}, seed, *files)
        for rival in RIVALS:
            yield Run(data, rival.setting, rival.model, rival.parameters, 0, *files)


def _require_files(runs: list[Run]) -> None:
    missing = {str(path): None for run in runs for path in (run.train, run.test) if not path.exists()}
    if missing:
        raise DatasetError(
            f"there is no {', no '.join(missing)}; --data names the folder that holds the data sets: "
            "make quality ARGS='--data FOLDER'"
        )


if __name__ == "__main__":
    main()
