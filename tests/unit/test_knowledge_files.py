"""Files of what is known of items and visitors: read, or refused with file, line and fault."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from feedback_files import write_knowledge
from recommender_answers import ratings_knowledge

from streamrec.errors import DatasetError
from streamrec.feedback import NOTHING, Tagging, Trust
from streamrec.knowledge_files import load_items, load_knowledge, load_members, load_tags, load_trust


def test_what_is_written_is_read(tmp_path: Path) -> None:
    files = {option[2:]: Path(path) for option, path in write_knowledge(tmp_path).items()}
    found, wanted = load_knowledge(**files), ratings_knowledge()
    assert {name: (item.title, item.tags) for name, item in found.items.items()} == {
        name: (item.title, item.tags) for name, item in wanted.items.items()
    }
    assert (found.tags, found.trust, found.groups) == (wanted.tags, wanted.trust, wanted.groups)
    assert load_knowledge() == NOTHING


def test_a_text_may_hold_what_separates_lines_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl.gz"
    lines = [{"item_id": "a", "text": "one\u2028two\x85three"}, {"item_id": "a", "title": "the last"}]
    path.write_bytes(
        gzip.compress("\r\n\n".join(json.dumps(each, ensure_ascii=False) for each in lines).encode())
    )
    assert load_items(path)["a"].title == "the last"


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("group member\ng a\ng b\ng a\nh c\n", {"g": ["a", "b"], "h": ["c"]}),
        ("groupId members\ng a,b,a\nh c\n", {"g": ["a", "b"], "h": ["c"]}),
        ("Group;Users\ng;a b\nh;c\n", {"g": ["a", "b"], "h": ["c"]}),
        ('group,user\ng,"a, b"\n', {"g": ["a, b"]}),
    ],
)
def test_members_stand_in_lines_or_in_a_cell(text: str, groups: dict[str, list[str]], tmp_path: Path) -> None:
    path = tmp_path / "groups.txt"
    path.write_text(text)
    assert load_members(path) == groups


def test_a_group_may_have_very_many_members(tmp_path: Path) -> None:
    members = [f"member{number}" for number in range(20_000)]
    path = tmp_path / "groups.tsv"
    path.write_text(f"group\tmembers\ng\t{','.join(members)}\n")
    assert load_members(path) == {"g": members}


def test_trust_without_a_weight_weighs_one(tmp_path: Path) -> None:
    path = tmp_path / "trust.csv"
    path.write_text("user,friend\na,b\n")
    assert load_trust(path) == [Trust("a", "b", 1.0)]
    path.write_text("trustee,trustor,trust value\nb,a,0.5\n")
    assert load_trust(path) == [Trust("a", "b", 1.0)]  # a column of that name is none of a weight


def test_a_tag_may_hold_commas(tmp_path: Path) -> None:
    path = tmp_path / "tags.csv"
    path.write_text('userId,movieId,tag,timestamp\nu,1,"funny, or not",5\n')
    assert load_tags(path) == [Tagging("u", "1", "funny, or not")]


@pytest.mark.parametrize(
    ("load", "text", "fault"),
    [
        (load_items, '{"item_id": "a"}\n\n{"title": "b"}\n', "line 3: item: Object missing"),
        (load_items, "a,b\n", "line 1: item: JSON is malformed"),
        (load_tags, "user,item\nu,a\n", "no column tag among user, item; if the first line is no header"),
        (load_trust, "user,trusted,weight\nu,v,0\n", "line 2: a weight of 0; trust weighs more than 0"),
        (load_trust, "user,trusted,weight\nu,v,much\n", "line 2: the weight 'much' is no number"),
        (load_members, "group,who\ng,a\n", "no column member, with one id a line"),
        (load_members, "", "is empty; a line is wanted for each row"),
    ],
)
def test_faults_are_named(load: Callable[[Path], Any], text: str, fault: str, tmp_path: Path) -> None:
    path = tmp_path / "known.txt"
    path.write_text(text)
    with pytest.raises(DatasetError, match=fault):
        load(path)
    with pytest.raises(DatasetError, match=r"none\.txt cannot be read: No such file"):
        load(tmp_path / "none.txt")
