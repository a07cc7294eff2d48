"""Findings, and what they come to."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Finding", "Outcome", "Report"]


class Outcome(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    """It runs, but not as it should, or could not be found out."""
    FAILED = "failed"
    """The apps refuse to start like this, or will lose or delay lists."""


@dataclass(frozen=True)
class Finding:
    """What a check found, in one line."""

    check: str
    outcome: Outcome
    finding: str
    remedy: str | None = None
    """What to do about it: a command where there is one."""


@dataclass(frozen=True)
class Report:
    """All findings, in the order in which to read them."""

    findings: Sequence[Finding]

    @property
    def outcome(self) -> Outcome:
        """The worst there is."""
        found = {each.outcome for each in self.findings}
        return next((each for each in (Outcome.FAILED, Outcome.WARNING) if each in found), Outcome.OK)
