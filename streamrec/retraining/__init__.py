"""Retraining in the background: when a run is due, on what it trains, and what becomes of it.

In: the settings, the clock, and what became of live lists. Out: a version in the registry, judged by the
gate. A run is a process of its own (`carry_out`); what it needs to be taken up again after a kill
stands in one file (`Plan`).
"""

from streamrec.retraining.decisions import Reason, RunDesk
from streamrec.retraining.drift import DriftWatch, Signal
from streamrec.retraining.plan import Outcome, Place, Plan, new_plan
from streamrec.retraining.run import carry_out
from streamrec.retraining.schedule import Schedule

__all__ = [
    "DriftWatch",
    "Outcome",
    "Place",
    "Plan",
    "Reason",
    "RunDesk",
    "Schedule",
    "Signal",
    "carry_out",
    "new_plan",
]
