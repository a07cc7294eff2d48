"""The data sets: MovieLens 100k out of a wheel that carries it, the others from the folder of data sets."""

import csv
import sys
import zipfile
from pathlib import Path
from typing import Final

from streamrec.engine.child import Child
from streamrec.errors import DatasetError
from streamrec.events import Item
from streamrec.feedback import Feedback, Knowledge, Tagging
from streamrec.feedback_files import load_feedback

__all__ = ["movielens_100k", "movielens_small"]

_CARRIER: Final = "recbole==1.2.1"
_RATINGS: Final = "recbole/dataset_example/ml-100k/ml-100k.inter"


def movielens_100k(folder: Path) -> Feedback:
    """100,000 ratings of 943 visitors and 1,682 films; fetched once, to `folder`, as part of a package.

    The data set may be used, not redistributed: the package is downloaded and nothing of it installed. Raises
    DatasetError if it cannot be had.
    """
    path = folder / Path(_RATINGS).name
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / "download.log"
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(folder), _CARRIER]
        download = Child(command, log)
        download.wait()
        wheels = sorted(folder.glob("recbole-*.whl"))
        if not wheels:
            raise DatasetError(
                f"MovieLens 100k cannot be fetched as a part of {_CARRIER}; put its ratings at {path}. "
                f"pip says:\n{log.read_text(errors='replace')[-500:]}"
            )
        with zipfile.ZipFile(wheels[0]) as wheel:
            path.write_bytes(wheel.read(_RATINGS))
    return load_feedback(path)


def movielens_small(folder: Path) -> tuple[Feedback, Knowledge]:
    """100,004 ratings of 671 visitors and 9,066 films, with titles, genres and tags."""
    feedback = load_feedback(folder / "ratings.csv")
    tags = [
        Tagging(row["userId"], row["movieId"], row["tag"].lower().strip())
        for row in _rows(folder / "tags.csv")
    ]
    of_item: dict[str, dict[str, None]] = {}
    for each in tags:
        of_item.setdefault(each.item_id, {})[each.tag[:64]] = None
    items = {
        row["movieId"]: Item(
            item_id=row["movieId"],
            title=row["title"],
            tags=list(of_item.get(row["movieId"], ())),
            categories=[] if row["genres"].startswith("(") else row["genres"].split("|"),
        )
        for row in _rows(folder / "movies.csv")
    }
    return feedback, Knowledge(items=items, tags=tags)


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error}; --data names the folder of data sets") from error
