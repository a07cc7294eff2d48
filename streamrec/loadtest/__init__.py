"""`streamrec loadtest`: real clicks at a steady rate, and how long their lists take.

run      clicks published, open loop, and lists read
ledger   what became of each click; pure
report   the figures, their files and their faults
"""

from streamrec.loadtest.ledger import Ledger
from streamrec.loadtest.report import Latencies, Outcome, Report
from streamrec.loadtest.run import Load, load_test

__all__ = ["Latencies", "Ledger", "Load", "Outcome", "Report", "load_test"]
