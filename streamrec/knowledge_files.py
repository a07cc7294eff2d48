"""Files of what is known of items and visitors beside feedback.

In: records of items as JSON lines, and files of columns (see column_files) of tags, trust and groups. Out:
parts of Knowledge.
"""

import re
from pathlib import Path
from typing import Final

from streamrec.column_files import read_lines, read_table
from streamrec.errors import DatasetError, RecordError
from streamrec.events import Item, decode_item
from streamrec.feedback import Knowledge, Tagging, Trust

__all__ = ["load_items", "load_knowledge", "load_members", "load_tags", "load_trust"]

_USER: Final = ("user", "userid", "visitor", "visitorid")
_ITEM: Final = ("item", "itemid", "movie", "movieid", "product", "productid")
_TAG: Final = ("tag", "tagname", "label")
_TRUSTING: Final = ("user", "userid", "truster", "trustor", "trusterid", "source", "from")
_TRUSTED: Final = ("trusted", "trustedid", "trustee", "trusteeid", "friend", "friendid", "target", "to")
_WEIGHT: Final = ("weight", "trust", "value", "rating")
_GROUP: Final = ("group", "groupid")
_MEMBER: Final = ("member", "memberid", *_USER)
_MEMBERS: Final = ("members", "users")
_LIST: Final = re.compile(r"[,;|\s]+")


def load_knowledge(
    items: Path | None = None,
    tags: Path | None = None,
    trust: Path | None = None,
    groups: Path | None = None,
) -> Knowledge:
    """What the files hold, each of which may be missing. Raises DatasetError naming file, line and fault."""
    return Knowledge(
        load_items(items) if items is not None else {},
        load_tags(tags) if tags is not None else (),
        load_trust(trust) if trust is not None else (),
        load_members(groups) if groups is not None else {},
    )


def load_items(path: Path) -> dict[str, Item]:
    """Records of items by id: a JSON object a line, as on the items topic; of two of one item the last.

    Raises DatasetError naming file, line and fault.
    """
    found: dict[str, Item] = {}
    for number, line in read_lines(path):
        try:
            item = decode_item(line.encode())
        except RecordError as error:
            raise DatasetError(f"{path}: line {number}: {error}") from None
        found[item.item_id] = item
    return found


def load_tags(path: Path) -> list[Tagging]:
    """Who gave what which tag: columns user, item and tag. Raises DatasetError as read_table."""
    table = read_table(path, {"user": _USER, "item": _ITEM, "tag": _TAG}, ("user", "item", "tag"))
    return list(map(Tagging, *(table.cells[name] for name in ("user", "item", "tag"))))


def load_trust(path: Path) -> list[Trust]:
    """Who trusts whom: columns user and trusted, and if there, weight, above 0.

    Raises DatasetError as read_table, or for a weight that is none.
    """
    names = {"user": _TRUSTING, "trusted": _TRUSTED, "weight": _WEIGHT}
    table = read_table(path, names, ("user", "trusted"))
    weights = table.numbers("weight")
    if weights is None:
        weights = [1.0] * len(table.lines)
    for number, weight in zip(table.lines, weights, strict=True):
        if not 0 < weight < float("inf"):
            raise DatasetError(f"{path}: line {number}: a weight of {weight:g}; trust weighs more than 0")
    return list(map(Trust, table.cells["user"], table.cells["trusted"], weights))


def load_members(path: Path) -> dict[str, list[str]]:
    """Who is in which group: columns group and member, a line for each; or group and members, all in a cell.

    Raises DatasetError as read_table.
    """
    table = read_table(path, {"group": _GROUP, "member": _MEMBER, "members": _MEMBERS}, ("group",))
    found: dict[str, list[str]] = {}
    if "member" in table.cells:
        rows = ([member] for member in table.cells["member"])
    elif "members" in table.cells:
        rows = (list(filter(None, _LIST.split(members))) for members in table.cells["members"])
    else:
        raise DatasetError(f"{path}: no column member, with one id a line, and no column members, with all")
    for group, members in zip(table.cells["group"], rows, strict=True):
        found.setdefault(group, []).extend(members)
    return {group: list(dict.fromkeys(members)) for group, members in found.items()}
