"""Two lists shown as one, so that a click tells which of them is better: team-draft interleaving.

In: the live list, the challenger's list for the same visitor, and the id of the list to be shown. Out: one
list, every item with the team it was drafted for. Pure: no clock, no settings, no chance. The coin of
each round is a bit of a hash of the list's id, so that a list made again is the same list, and
whoever has both lists and the id can make it again.

Source: Radlinski, Kurup and Joachims, "How does clickthrough data reflect retrieval quality?", CIKM
2008, algorithm 2. Both teams stand equally often and equally high on average over the coins: of
two equal rankers neither is preferred.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from xxhash import xxh3_64_intdigest

from streamrec.events import RecommendedItem, Team

__all__ = ["CHALLENGER", "LIVE", "in_share", "interleaved"]

LIVE: Final[Team] = "live"
CHALLENGER: Final[Team] = "challenger"

_HASHES: Final = 1 << 64


def in_share(visitor_id: str, share: float, salt: str) -> bool:
    """Whether a visitor is among the share of all, by hash: always the same ones; a larger share keeps them.

    salt: what the share is drawn for; shares with different salts are drawn independently of each other.
    """
    return xxh3_64_intdigest(f"{salt}/{visitor_id}".encode()) < share * _HASHES


def interleaved(
    live: Sequence[RecommendedItem], challenger: Sequence[RecommendedItem], rec_id: str, k: int
) -> list[RecommendedItem]:
    """The team draft of two lists, at most k items, each as it stands in the list of its team.

    live, challenger: best first, no item twice in one. rec_id: of the list that is made, which
    throws the coins. Who has fewer items drafts next, the coin decides between equals; each drafts its
    best item that is not drafted yet. Once a team has none left, what the other one has follows
    without a team: a click on it says nothing.
    """
    teams: dict[Team, Sequence[RecommendedItem]] = {LIVE: live, CHALLENGER: challenger}
    place: dict[Team, int] = dict.fromkeys(teams, 0)
    size: dict[Team, int] = dict.fromkeys(teams, 0)
    drafted: set[str] = set()
    found: list[RecommendedItem] = []
    while len(found) < k:
        for team, items in teams.items():
            while place[team] < len(items) and items[place[team]].item_id in drafted:
                place[team] += 1
        left = [team for team, items in teams.items() if place[team] < len(items)]
        if not left:
            break
        if len(left) == 1:
            drafts = left[0]
        elif size[LIVE] != size[CHALLENGER]:
            drafts = min(left, key=size.__getitem__)
        else:
            drafts = left[_coin(rec_id, size[LIVE])]
        item = teams[drafts][place[drafts]]
        drafted.add(item.item_id)
        size[drafts] += 1
        found.append(msgspec.structs.replace(item, team=drafts if len(left) == 2 else None))
    return found


def _coin(rec_id: str, n: int) -> int:
    """The nth coin of a list: 0 or 1."""
    return xxh3_64_intdigest(f"{rec_id}/{n}".encode()) & 1
