"""The data sets: MovieLens 100k out of a wheel that carries it, the others from the folder of data sets."""

import csv
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from streamrec.engine.child import Child
from streamrec.errors import DatasetError
from streamrec.events import Item
from streamrec.feedback import Feedback, Knowledge, Tagging, Trust, make_feedback
from streamrec.feedback_files import load_feedback

__all__ = [
    "camra2011",
    "citeulike_t",
    "depaul_movie",
    "filmtrust",
    "movielens_100k",
    "movielens_small",
    "tagged",
]

_CARRIER: Final = "recbole==1.2.1"
_RATINGS: Final = "recbole/dataset_example/ml-100k/ml-100k.inter"
_TAGGED: Final = 3
_LABEL: Final = 64
"""Letters of a record's tag, at most."""


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
    """100,004 ratings of 671 visitors and 9,066 films, with titles and genres; and the tags visitors gave.

    Records have no tags: which of them may be known depends on what is held out. See `tagged`.
    """
    feedback = load_feedback(folder / "ratings.csv")
    tags = [
        Tagging(row["userId"], row["movieId"], row["tag"].lower().strip())
        for row in _rows(folder / "tags.csv")
    ]
    items = {
        row["movieId"]: Item(
            item_id=row["movieId"],
            title=row["title"],
            categories=[] if row["genres"].startswith("(") else row["genres"].split("|"),
        )
        for row in _rows(folder / "movies.csv")
    }
    return feedback, Knowledge(items=items, tags=tags)


def tagged(knowledge: Knowledge) -> Knowledge:
    """The same, where records have the tags that visitors gave their items, each once."""
    of_item: dict[str, dict[str, None]] = {}
    for each in knowledge.tags:
        of_item.setdefault(each.item_id, {})[each.tag[:_LABEL]] = None
    items = {
        item_id: msgspec.structs.replace(item, tags=list(of_item.get(item_id, ())))
        for item_id, item in knowledge.items.items()
    }
    return knowledge._replace(items=items)


def filmtrust(folder: Path) -> tuple[Feedback, Knowledge]:
    """35,494 ratings of 1,508 visitors and 2,071 films, the last of each pair; 1,853 links of trust."""
    # A dict, as a few pairs are rated twice: an earlier rating must not tell a later one that is held out.
    rated = {(user, item): float(value) for user, item, value in _lines(folder / "ratings.txt")}
    users, items = zip(*rated, strict=True)
    feedback = make_feedback(users, items, list(rated.values()))
    links = [Trust(user, other, float(weight)) for user, other, weight in _lines(folder / "trust.txt")]
    return feedback, Knowledge(trust=links)


def depaul_movie(folder: Path) -> Feedback:
    """5,043 ratings of 97 visitors and 79 films, with when, where and in whose company."""
    rows = _rows(folder / "ratings.txt")
    return make_feedback(
        [row["userid"] for row in rows],
        [row["itemid"] for row in rows],
        [float(row["rating"]) for row in rows],
        contexts={name.lower(): [row[name] for row in rows] for name in ("Time", "Location", "Companion")},
    )


def camra2011(folder: Path) -> tuple[Feedback, Feedback, Knowledge]:
    """113,334 ratings of members of households, 1,450 by 290 households as such; and who lives in which."""
    members = {f"household {name}": each.split(",") for name, each in _lines(folder / "groupMember.txt")}
    of_members, of_groups = (
        make_feedback(
            [prefix + user for user, _, _ in rows],
            [item for _, item, _ in rows],
            [float(value) for _, _, value in rows],
        )
        for prefix, rows in (
            ("", list(_lines(folder / "userRatingTrain.txt"))),
            ("household ", list(_lines(folder / "groupRatingTest.txt"))),
        )
    )
    return of_members, of_groups, Knowledge(groups=members)


def citeulike_t(folder: Path) -> tuple[Feedback, Knowledge]:
    """134,860 articles in the libraries of 7,947 visitors; 25,975 articles with words and tags.

    Words stand as often as in the article, in no order. Tags are those of three articles or more.
    """
    words = _text(folder / "vocabulary.dat").split("\n")
    tag_names = _text(folder / "tags.dat").split("\n")
    texts = []
    for line in _text(folder / "mult.dat").splitlines():
        pairs = (pair.split(":") for pair in line.split()[1:])
        texts.append(" ".join(" ".join([_letters(words[int(word)])] * int(times)) for word, times in pairs))
    tags: list[list[str]] = [[] for _ in texts]
    for name, line in zip(tag_names, _text(folder / "tag-item.dat").splitlines(), strict=False):
        articles = line.split()[1:]
        if len(articles) >= _TAGGED:
            for article in articles:
                tags[int(article)].append(name[:_LABEL])
    items = {
        str(n): Item(item_id=str(n), text=text, tags=own)
        for n, (text, own) in enumerate(zip(texts, tags, strict=True))
    }
    libraries = [line.split()[1:] for line in _text(folder / "users.dat").splitlines()]
    pairs = [(str(user), article) for user, library in enumerate(libraries) for article in library]
    return make_feedback(*zip(*pairs, strict=True)), Knowledge(items=items)


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise _unreadable(path, error) from error


def _letters(word: str) -> str:
    return "".join(letter for letter in word if letter.isalpha())


def _lines(path: Path) -> Iterator[list[str]]:
    """The fields of each line that has any."""
    return (line.split() for line in _text(path).splitlines() if line.strip())


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> DatasetError:
    return DatasetError(f"{path} cannot be read: {error}; --data names the folder of data sets")
