"""What comes next in a session: GRU4Rec beside the official figures, and baselines beside GRU4Rec.

GRU4Rec with the published hyperparameters has to be not below the official figure, with tuned ones above it,
and the simple baselines below the published cross-entropy. That session neighbours are below the tuned
GRU4Rec is claimed too; those that are not beaten are shown.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.quality.claims import claims, claims_table
from benchmarks.quality.runs import Run, measure
from benchmarks.quality.settings import FILES, PUBLISHED, RIVALS, TUNED
from benchmarks.recommenders.rows import Judged
from streamrec.errors import DatasetError

__all__ = ["judge_sessions"]


def judge_sessions(data: str, folder: Path, seeds: int, processes: int, console: Console) -> Judged:
    """All trainings on one data set. folder: of the data sets; console: for a line about each training.

    Raises DatasetError if the data set is not there.
    """
    runs = list(_runs(data, folder, seeds))
    _require_files(runs)
    entries = claims(runs, measure(runs, processes, console))
    return Judged(entries, [claims_table(data, entries, seeds)])


def _runs(data: str, folder: Path, seeds: int) -> Iterator[Run]:
    files = folder / FILES[data].train, folder / FILES[data].test
    settings = [(f"published, {loss}", loss, given) for loss, given in PUBLISHED.items()]
    settings += [(f"tuned, {loss}", loss, given) for (of, loss), given in TUNED.items() if of == data]
    for setting, loss, given in settings:
        for seed in range(seeds):
            yield Run(data, setting, "gru4rec", {"loss": loss, **given}, seed, *files)
    for rival in RIVALS:
        yield Run(data, rival.setting, rival.model, rival.parameters, 0, *files)


def _require_files(runs: Sequence[Run]) -> None:
    missing = {str(path): None for run in runs for path in (run.train, run.test) if not path.exists()}
    if missing:
        raise DatasetError(
            f"there is no {', no '.join(missing)}; --data names the folder that holds the data sets: "
            "make quality ARGS='--data FOLDER'"
        )
