"""Who has the credit of a click on an interleaved list, and which ranker clicks prefer.

In: interleaved lists that were shown, and the visitors' clicks in the order of their partition. Out:
credits, one for the first click on each place of a list that has a team; and from the lists with credits,
how many have more clicks on the challenger's items, on the visitor's own, or as many.

A click that names a list (`rec_id` of the interaction) is credited to that list, and to none if it is not
remembered, not interleaved, or another visitor's. A click that names none is credited to the list made
for the click before it in the session, if its item is there: what the visitor has most likely seen.
`Credit.named` tells them apart. A click on an item that is not in the list, or has no team, is credited
to nobody; lists without a credit say nothing.

Sources: Radlinski, Kurup and Joachims, CIKM 2008; the preference is that of Chapelle, Joachims,
Radlinski and Yue, "Large-scale validation and analysis of interleaved search evaluation", TOIS 30,
2012: (wins + ties / 2) / lists - 1/2.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple

import msgspec
import numpy as np

from streamrec.config import Settings
from streamrec.events import Team, recommendation_id
from streamrec.visits import Visit

__all__ = ["Credit", "Credits", "Pair", "Preference", "Result", "preference"]

Result = Literal["challenger", "live", "tie"]

_DRAWS: Final = 2000


class Pair(NamedTuple):
    """The versions of an interleaved list."""

    version: str
    """The visitor's own: the list's `release`."""
    challenger: str


class Credit(NamedTuple):
    """A click that counts for a team."""

    pair: Pair
    visitor_id: str
    team: Team
    named: bool
    """Whether the click said which list it was on."""
    before: Result | None
    """Who had more of the list's clicks until then; None if nobody had one."""
    after: Result


class _Place(msgspec.Struct, gc=False):
    item_id: str
    team: Team | None = None


class _List(msgspec.Struct, gc=False):
    """An interleaved list. Fields as in Recommendation."""

    rec_id: str
    visitor_id: str
    release: str
    challenger: str
    items: list[_Place]


_decode: Final = msgspec.json.Decoder(_List).decode


class _Shown(msgspec.Struct, gc=False):
    """An interleaved list, and the items of it that were clicked."""

    visitor_id: str
    pair: Pair
    teams: dict[str, Team]
    lead: int = 0
    """Clicks for the challenger less those for the visitor's own version."""
    credited: bool = False


class Credits:
    """The interleaved lists of one partition that clicks can still come for.

    most: lists remembered, those shown last; None: all of them.
    """

    def __init__(self, settings: Settings, partition: int, most: int | None = None) -> None:
        self.results: dict[Pair, Counter[Result]] = {}
        """Lists with credits, by who has more of them."""
        self._topic = settings.kafka.topic("interactions")
        self._partition = partition
        self._most = most
        self._shown: dict[str, _Shown] = {}

    def show(self, value: bytes) -> None:
        """Take the bytes of an interleaved list; of a list that comes again the first one counts.

        Raises msgspec.DecodeError or UnicodeDecodeError if they are none.
        """
        made = _decode(value)
        if made.rec_id in self._shown:
            return
        teams = {place.item_id: place.team for place in made.items if place.team is not None}
        self._shown[made.rec_id] = _Shown(made.visitor_id, Pair(made.release, made.challenger), teams)
        if self._most is not None and len(self._shown) > self._most:
            del self._shown[next(iter(self._shown))]

    def click(self, visit: Visit, before: int | None) -> Credit | None:
        """The credit of a click, if it has one.

        before: offset of the click before it in the session.
        """
        named = visit.event.rec_id
        if not self._shown or (named is None and before is None):
            return None
        shown = self._shown.get(named or recommendation_id(self._topic, self._partition, before or 0))
        if shown is None or shown.visitor_id != visit.event.visitor_id:
            return None
        team = shown.teams.pop(visit.event.item_id, None)
        if team is None:
            return None
        was = _result(shown.lead) if shown.credited else None
        shown.lead += 1 if team == "challenger" else -1
        shown.credited = True
        credit = Credit(shown.pair, shown.visitor_id, team, named is not None, was, _result(shown.lead))
        results = self.results.setdefault(shown.pair, Counter())
        if credit.before is not None:
            results[credit.before] -= 1
        results[credit.after] += 1
        return credit


def _result(lead: int) -> Result:
    return "challenger" if lead > 0 else "live" if lead < 0 else "tie"


class Preference(NamedTuple):
    """Which version clicks prefer."""

    wins: int
    """Lists with more clicks for the challenger."""
    losses: int
    ties: int
    preference: float
    """From -0.5, all for the visitors' own version, to 0.5, all for the challenger; 0 without lists."""
    low: float
    high: float
    """Bounds at 95 %, from drawing visitors with all their lists: those of one are not independent."""
    p: float
    """Sign test, two-sided: how often as uneven a count of wins and losses comes of equal rankers."""


def preference(visitors: Iterable[Mapping[Result, int]], *, seed: int = 0) -> Preference:
    """The preference over the lists of some visitors: for each, how many lists had which result."""
    counts = np.array(
        [[each.get("challenger", 0), each.get("live", 0), each.get("tie", 0)] for each in visitors],
        np.int64,
    ).reshape(-1, 3)
    wins, losses, ties = counts.sum(axis=0).tolist()
    if not wins + losses + ties:
        return Preference(0, 0, 0, 0.0, -0.5, 0.5, 1.0)
    totals = np.column_stack([(counts[:, 0] - counts[:, 1]) / 2, counts.sum(axis=1)])
    rng = np.random.default_rng(seed)
    n = len(totals)
    drawn = np.array([np.bincount(rng.integers(n, size=n), minlength=n) @ totals for _ in range(_DRAWS)])
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975]).tolist()
    mean = (wins - losses) / 2 / (wins + losses + ties)
    return Preference(wins, losses, ties, mean, low, high, _sign_test(wins, losses))


def _sign_test(wins: int, losses: int) -> float:
    """Twice the probability of as few as the fewer under n fair coins, exactly; 1 at most."""
    n, few = wins + losses, min(wins, losses)
    terms = [math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) for i in range(few + 1)]
    logs = [term - n * math.log(2) for term in terms]
    return min(1.0, 2 * math.fsum(math.exp(each) for each in logs))
