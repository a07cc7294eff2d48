"""What verbs ask of recommenders' data: its columns, and what is known beside it, from files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    from streamrec.feedback import Feedback, Knowledge
    from streamrec.recommender import Known

__all__ = [
    "KNOWLEDGE",
    "ColumnsOption",
    "ContextOption",
    "GroupsOption",
    "ItemsOption",
    "TagsOption",
    "TrustOption",
    "split_columns",
    "unknowing",
]

KNOWLEDGE: Final = "Recommenders: data, and what is known beside it"

ColumnsOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,NAME,…",
        help="Columns of files that have no header, such as user,item,rating,time.",
        rich_help_panel=KNOWLEDGE,
    ),
]
ContextOption = Annotated[
    list[str] | None,
    typer.Option(
        "--context",
        metavar="COLUMN",
        help="A column of the data that is the context of ratings. Repeat it.",
        rich_help_panel=KNOWLEDGE,
    ),
]
ItemsOption = Annotated[
    Path | None,
    typer.Option(
        help="What is known of items: JSON lines, records as on the items topic.", rich_help_panel=KNOWLEDGE
    ),
]
TagsOption = Annotated[
    Path | None,
    typer.Option(help="Who gave what which tag: columns user, item, tag.", rich_help_panel=KNOWLEDGE),
]
TrustOption = Annotated[
    Path | None,
    typer.Option(
        help="Who trusts whom: columns user, trusted and perhaps weight.", rich_help_panel=KNOWLEDGE
    ),
]
GroupsOption = Annotated[
    Path | None,
    typer.Option(
        help="Who is in which group: columns group, member; or group, members.", rich_help_panel=KNOWLEDGE
    ),
]

_TOLD: Final[Mapping["Known", tuple[str, str]]] = {
    "items": ("what items are", "--items FILE"),
    "tags": ("the tags that visitors gave", "--tags FILE"),
    "trust": ("whom visitors trust", "--trust FILE"),
    "groups": ("who is in which group", "--groups FILE"),
    "contexts": ("contexts", "--context COLUMN"),
}
"""What recommenders go by, and what tells it."""


def split_columns(columns: str | None) -> list[str] | None:
    """The names given with --columns."""
    return [name.strip() for name in columns.split(",")] if columns else None


def unknowing(
    nodes: Mapping[str, Mapping[str, Any]],
    knowledge: "Knowledge",
    feedback: "Sequence[Feedback]",
    *,
    has_topic: bool = False,
    has_columns: bool = True,
) -> list[str]:
    """A warning for each thing that recommenders go by, or parts of theirs, and that nothing tells; and for
    each that is told, but of nobody and nothing that the feedback has.

    nodes: by what they are called. feedback: all there is, for its contexts. has_topic: whether records of
    items might be on their topic. has_columns: whether contexts could be told at all.
    """
    from streamrec.nodes import goes_by

    there = {name for name in knowledge._fields if getattr(knowledge, name)}
    there |= {"contexts" for part in feedback if part.contexts}
    missing: dict[tuple[Known, ...], list[str]] = {}
    for label, node in nodes.items():
        for ways in dict.fromkeys(goes_by(node)):
            if ways.isdisjoint(there):
                missing.setdefault(tuple(each for each in _TOLD if each in ways), []).append(label)
    said = [_warning(labels, ways, has_topic, has_columns) for ways, labels in missing.items()]
    return said + _strange(knowledge, feedback)


def _strange(knowledge: "Knowledge", feedback: "Sequence[Feedback]") -> list[str]:
    """What is known, of none of which anybody or anything of the feedback is a part."""
    items = {item_id for part in feedback for item_id in part.item_ids}
    users = {user_id for part in feedback for user_id in part.user_ids}
    of_feedback = {
        "records of items": [item_id in items for item_id in knowledge.items],
        "tags": [each.item_id in items for each in knowledge.tags],
        "trust": [each.user_id in users or each.trusted_id in users for each in knowledge.trust],
        "groups": [not users.isdisjoint(members) for members in knowledge.groups.values()],
    }
    return [
        f"of {len(known):,} {name} none is of an id that the interactions have: compare how both write ids"
        for name, known in of_feedback.items()
        if known and not any(known)
    ]


def _warning(labels: Sequence[str], ways: Sequence["Known"], has_topic: bool, has_columns: bool) -> str:
    things = [_TOLD[each][0] for each in ways]
    options = [_TOLD[each][1] for each in ways if has_columns or each != "contexts"]
    go = "goes" if len(labels) == 1 else "go"
    or_else = ", or have records on the items topic" if has_topic and "items" in ways else ""
    told = f"{' and '.join(labels)} {go} by {' or '.join(things)}, and "
    if not options:
        return f"{told}there are none in what is read"
    return f"{told}nothing says so: give {' or '.join(options)}{or_else}"
