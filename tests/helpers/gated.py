"""Clicks round the ring, for windows, and versions of a registry to be judged on them."""

from collections.abc import Iterable

from session_models import Published, ring_sessions

from streamrec.contracts import Session
from streamrec.datasets import Clicks, make_clicks
from streamrec.registry import Registry

TRAINED_UNTIL = {"last": "2020-01-01T00:00:00.000+00:00"}
NEW_YEAR_MS = 1_577_836_800_000


def clicks_of(sessions: Iterable[Session], start_ms: int = NEW_YEAR_MS + 1) -> Clicks:
    """One session a minute, its clicks a second apart."""
    rows = [
        (f"s{number:05}", item, start_ms + 60_000 * number + 1000 * place)
        for number, session in enumerate(sessions)
        for place, item in enumerate(session.items)
    ]
    return make_clicks(*zip(*rows, strict=True))


def ring_window(n: int = 200, seed: int = 7) -> Clicks:
    """Sessions of the new year: none of the versions here has learned from them."""
    return clicks_of(ring_sessions(n, seed))


def publish_as(registry: Registry, published: Published, *versions: str) -> None:
    """The published model once more, under other names."""
    for name in versions:
        registry.publish(
            "gru4rec",
            name,
            lambda place, name=name: published.model.export(place, version=name, data=TRAINED_UNTIL),
        )
