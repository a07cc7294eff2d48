"""Judging a candidate and acting on it: verdict to the models topic and to a page, release if it passed.

In: a version of the registry, and clicks that neither it nor the live one was trained on. Out: the
verdict, sent and written; and the live release, if it is to be.
"""

import hashlib
import logging
import time
from typing import Final

import msgspec

from streamrec.artifact import Manifest
from streamrec.config import Settings
from streamrec.datasets import Clicks
from streamrec.errors import ArtifactError, ConfigError, ReleaseError
from streamrec.events import Check, ModelRelease, Verdict
from streamrec.gate.measuring import Loaded, load, measure, milliseconds, popularity_recall
from streamrec.gate.page import write_page
from streamrec.gate.rules import Figures, checks_of, outcome_of
from streamrec.gate.window import describe
from streamrec.registry import Registry
from streamrec.releases import announce, released
from streamrec.verdicts import send_verdict, verdicts

__all__ = ["judge_and_release", "judged"]

log = logging.getLogger(__name__)

_MODEL: Final = "gru4rec"
_LIST: Final = 100
"""Items asked of the score graph where time is taken: about what scoring asks for a list of 20."""


def judge_and_release(
    settings: Settings, version: str, window: Clicks, *, release: bool = True, force: bool = False
) -> Verdict:
    """Hold a version against the live one, send the verdict, and make it live if it passed.

    window: sessions that neither was trained on, as `newest_window` has them. What was judged before by the
    same rules, on the same clicks, against the same live version, is not judged again, and a version that was
    live and has been replaced since is not made live again, unless force. A pinned live version stays.
    Raises RegistryError if there is no such version, ArtifactError if the live one is damaged, BrokerError or
    TopicError. A candidate that is damaged is refused.
    """
    live = released(settings).get(f"{_MODEL}/live")
    asked = _asked(settings, version, window, live)
    known = verdicts(settings).get(version)
    if known is not None and not force and _same(known, asked, version, live):
        verdict = known
        log.info("%s was judged before: %s", version, verdict.outcome)
    else:
        verdict = judged(settings, version, window, live)
        # The verdict first: a release without one would be a release that nobody can account for.
        send_verdict(settings, verdict)
        log.info("%s is judged: %s", version, verdict.outcome)
    if release:
        verdict = _released(settings, verdict, live, force=force)
    write_page(settings.gate.pages, verdict, _manifests(settings, verdict))
    return verdict


def judged(settings: Settings, version: str, window: Clicks, live: ModelRelease | None) -> Verdict:
    """The verdict about a version, nothing sent and nothing released; errors as judge_and_release.

    live: what it is held against; None, or the version itself: the limits alone, and popularity to beat.
    """
    asked = _asked(settings, version, window, live)
    registry = Registry.of(settings)
    registry.location(_MODEL, version)
    try:
        candidate = load(registry, version)
    except ArtifactError as error:
        check = Check(name="loads", passed=False, text=str(error)[:2000])
        return msgspec.structs.replace(asked, outcome="refused", checks=[check])
    loaded = [candidate]
    if asked.against is not None and live is not None:
        loaded.append(load(registry, live.version, live.digest))
    figures = _figures(loaded, window, asked.window.sessions > 0)
    against = figures[1] if len(figures) > 1 else None
    whole = Check(name="loads", passed=True, text="signature, digests and probes are as they have to be")
    checks = [whole, *checks_of(figures[0], against, asked.window, settings.gate)]
    return msgspec.structs.replace(asked, outcome=outcome_of(checks), checks=checks)


def _figures(models: list[Loaded], window: Clicks, is_measured: bool) -> list[Figures]:
    taken = milliseconds(models, _LIST)
    return [
        Figures(
            model.manifest.version,
            model.manifest.n_items,
            model.size_bytes,
            latency_ms,
            measure(model, window) if is_measured else None,
            popularity_recall(model, window) if is_measured else None,
        )
        for model, latency_ms in zip(models, taken, strict=True)
    ]


def _asked(settings: Settings, version: str, window: Clicks, live: ModelRelease | None) -> Verdict:
    """What is to be judged, by which rules, against whom; not yet how."""
    held = None if live is None or live.version == version else live
    rules = settings.gate.model_dump_json(exclude={"pages"}).encode()
    try:
        digest = Registry.of(settings).digest(_MODEL, version)
    except ArtifactError:
        digest = None
    return Verdict(
        model=_MODEL,
        version=version,
        outcome="undecided",
        checks=[],
        window=describe(window),
        rules=hashlib.sha256(rules).hexdigest(),
        time=time.time_ns() // 1_000_000,
        digest=digest,
        against=held.version if held else None,
        against_digest=held.digest if held else None,
    )


def _same(known: Verdict, asked: Verdict, version: str, live: ModelRelease | None) -> bool:
    """Whether judging again could come to nothing else."""
    if live is not None and live.version == version and known.digest == asked.digest:
        return True  # it is live already, by this verdict or by hand
    return _question(known) == _question(asked)


def _question(verdict: Verdict) -> tuple[str | None, ...]:
    return (verdict.digest, verdict.against, verdict.against_digest, verdict.window.digest, verdict.rules)


def _released(
    settings: Settings, verdict: Verdict, judged_live: ModelRelease | None, *, force: bool
) -> Verdict:
    """Make the version live if its verdict and what is live allow it; the verdict says what came of it."""
    live = released(settings).get(f"{_MODEL}/live")
    if verdict.outcome != "passed" or (live is not None and live.version == verdict.version):
        return verdict
    note = _hindrance(verdict, judged_live, live, force=force)
    try:
        sequence = None if note else announce(settings, _MODEL, verdict.version, automatic=not force).sequence
    except ReleaseError as error:
        sequence, note = None, str(error)
    if note is None:
        verdict = msgspec.structs.replace(verdict, released=sequence, note=None)
    elif note == verdict.note:
        return verdict
    else:
        verdict = msgspec.structs.replace(verdict, note=note)
        log.warning("%s passed and is not released: %s", verdict.version, note)
    send_verdict(settings, verdict)
    return verdict


def _hindrance(
    verdict: Verdict, judged_live: ModelRelease | None, live: ModelRelease | None, *, force: bool
) -> str | None:
    """Why a version that passed is not to be made live."""
    by_hand = f"`streamrec models release {verdict.version}` does it by hand"
    if live is not None and live.pinned:
        return f"{live.version} is pinned; {by_hand}"
    if live != judged_live:
        now = live.version if live is not None else "nothing"
        return f"{now} has become live meanwhile; judge it again"
    if verdict.released is not None and not force:
        return f"it was live before, as release {verdict.released}, and has been replaced since; {by_hand}"
    return None


def _manifests(settings: Settings, verdict: Verdict) -> list[Manifest]:
    """Of the candidate and the live version, those that can be read."""
    registry = Registry.of(settings)
    found = []
    for version in filter(None, (verdict.version, verdict.against)):
        try:
            found.append(registry.read(_MODEL, version, signed=False)[0])
        except (ArtifactError, ConfigError):
            continue
    return found
