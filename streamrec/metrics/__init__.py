"""Every metric of every app, declared once.

In: nothing. Out: `REGISTRY`, which the operators' page /metrics shows, and one object per
metric. Names carry the prefix `streamrec_` and base units; counters end in `_total`; labels
never hold a visitor, a session, an item or any text that a client chose freely. Labels whose
values are known ahead start at 0, so that the first failure already counts as an increase.
"""

from prometheus_client import GCCollector, PlatformCollector, ProcessCollector

from streamrec import __version__
from streamrec.metrics import flow, lifecycle
from streamrec.metrics.flow import *
from streamrec.metrics.kinds import REGISTRY, AssignedGauge, gauge, total
from streamrec.metrics.lifecycle import *

__all__ = ["REGISTRY", "AssignedGauge", "total"]
__all__ += flow.__all__
__all__ += lifecycle.__all__

_build_info = gauge("build_info", "The version that runs; always 1.", "version")
_build_info.labels(__version__).set(1)
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)
