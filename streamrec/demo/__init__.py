"""The demo: bundled real clicks, replayed live through the real thing, and judged.

run      from nothing to summary.json
judge    clicks and lists in, figures out; pure
view     what the terminal shows meanwhile
summary  the figures, their file and their table
"""

from streamrec.demo.run import DemoOptions, run_demo
from streamrec.demo.summary import Summary

__all__ = ["DemoOptions", "Summary", "run_demo"]
