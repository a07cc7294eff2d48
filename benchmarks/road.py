"""The whole road from clicks to lists, on all cores: beside scoring alone, and scoring beside its graph.

Both apps and the broker run where the system puts them. All clicks are in the topic before, and every one
is answered: what is measured is how many lists a second come out.
"""

from contextlib import ExitStack
from functools import partial
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psutil

from benchmarks.load import Load, fill
from benchmarks.meter import Measured
from benchmarks.running import Contender, own_topics
from streamrec.config import Settings
from streamrec.releases import announce

__all__ = ["ALONE", "ROAD", "measure_road"]

ROAD: Final = "the whole road, state and scoring at once"
ALONE: Final = "scoring alone, of states made before"


def measure_road(
    settings: Settings,
    version: str,
    load: Load,
    folder: Path,
    on_events: Callable[[str, int], object] = lambda *_: None,
) -> dict[str, Measured]:
    """One round: the lists of both apps at work, and of scoring alone. Raises BenchmarkError."""
    found = {}
    for name, kinds in ((ROAD, [["state", "scoring"]]), (ALONE, [["state"], ["scoring"]])):
        own = settings.kafka.model_copy(update={"prefix": f"{settings.kafka.prefix}{len(found)}."})
        ours = settings.model_copy(update={"kafka": own})
        with own_topics(ours):
            filled = fill(ours, load, len(load))
            announce(ours, "gru4rec", version)
            for together in kinds:
                measured = _run(together, ours, filled, folder / f"{len(found)}", partial(on_events, name))
                print(
                    name,
                    {
                        k: (round(m.events / m.wall_s), round(m.cpu_us, 1), m.rss_bytes >> 20)
                        for k, m in measured.items()
                    },
                )
            found[name] = measured["scoring"]
    return found


def _run(kinds, settings, n_events, folder, on_events):
    folder.mkdir(exist_ok=True, parents=True)
    with ExitStack() as stack:
        contenders = {
            kind: stack.enter_context(Contender(kind, kind, settings, n_events, folder / kind, pinned=False))
            for kind in kinds
        }
        return {kind: each.join() for kind, each in contenders.items()}


if __name__ == "__main__":
    import sys, tempfile
    from benchmarks.load import make_load, train_model
    from streamrec.config import load_settings
    from streamrec.engine.broker import Broker
    from streamrec.registry import Registry
    from streamrec.standalone import with_own_key

    n = int(sys.argv[1])
    keep = Path("/tmp/prof/registry")
    settings = with_own_key(load_settings(registry={"path": keep}))
    reg = Registry.of(settings)
    version = (
        reg.latest("gru4rec")
        if keep.exists() and reg.versions("gru4rec")
        else train_model(settings, lambda *_: None)
    )
    load = make_load(n, 4, time.time_ns() // 1_000_000 - n)
    with Broker.start() as broker, tempfile.TemporaryDirectory() as work:
        own = load_settings(
            kafka={"bootstrap": broker.bootstrap, "prefix": "road.", "partitions": 4},
            registry=settings.registry,
            log_level="WARNING",
        )
        p = psutil.Process([c for c in psutil.Process().children(recursive=True)][0].pid)
        for r in range(int(sys.argv[2])):
            before = sum(p.cpu_times()[:2])
            print(
                r,
                measure_road(own, version, load, Path(work) / "x") and "",
                "broker cpu",
                sum(p.cpu_times()[:2]) - before,
            )
            import shutil

            shutil.rmtree(Path(work) / "x", ignore_errors=True)
