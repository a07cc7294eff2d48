"""Run it: `python -m benchmarks.drift [--rate N] [--out FOLDER] [--before N] [--settle N] [--after N]`.

Exit 1 if a claim does not hold: the signal fires, a retrain runs, the gate releases, GRU4Rec's live hit rate
is back at 90 % of what it was before the drift; and in the same run without retraining it is not.
"""

import argparse
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.drift.run import Finished, Options, plain, run_scenario
from benchmarks.drift.stream import make_stream
from benchmarks.drift.verdict import RunFigures, claims, figures
from streamrec.cli.output import print_error
from streamrec.config import load_settings
from streamrec.datasets import bundled_clicks
from streamrec.errors import StreamrecError

_RATES = {"earlier": "before the drift", "fallen": "right after it", "best_after": "best after it"}

console = Console(highlight=False)


def main() -> None:
    """Both runs, what they came to, and whether it is what is claimed."""
    options = _options()
    started = time.monotonic()
    shutil.rmtree(options.out, ignore_errors=True)
    try:
        report = _measured(options)
    except StreamrecError as error:
        print_error(str(error))
        sys.exit(error.exit_code)
    except ValueError as error:  # too few judged clicks for a figure
        print_error(str(error))
        sys.exit(1)
    report["seconds"] = round(time.monotonic() - started, 1)
    (options.out / "report.json").write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    text = _text(report)
    (options.out / "report.txt").write_text(text, "utf-8")
    console.print(text, end="")
    sys.exit(not all(report["claims"].values()))


def _measured(options: Options) -> dict[str, Any]:
    stream = make_stream(bundled_clicks(), options.base, options.before, options.rate)
    settings = load_settings()
    console.print(f"with retraining: {options.rate:g} clicks a second, the drift after {options.before:,}")
    first = run_scenario(settings, options, stream, options.out / "retrained", retrain=True, clicks=None)
    retrained = figures(first.hits, first.drift_ms, options.window)
    console.print(f"without: the same {first.sent:,} clicks")
    second = run_scenario(settings, options, stream, options.out / "alone", retrain=False, clicks=first.sent)
    alone = figures(second.hits, second.drift_ms, options.window)
    outcomes = plain(first.outcomes)
    return {
        "options": {**options._asdict(), "out": str(options.out)},
        "trained_on_s": options.history_s,
        "retrained": _described(first, retrained),
        "alone": _described(second, alone),
        "runs": [
            {
                **each,
                "started_s": (each["start_ms"] - first.drift_ms) / 1000,
                "ended_s": (each["end_ms"] - first.drift_ms) / 1000,
            }
            for each in outcomes
        ],
        "claims": claims(retrained, alone, outcomes, first.drift_ms),
    }


def _described(run: Finished, found: RunFigures) -> dict[str, Any]:
    return {"clicks": run.sent, "judged": len(run.hits.hit), "drops": run.drops, **found._asdict()}


def _text(report: dict[str, Any]) -> str:
    lines = ["Hit rate@20 of GRU4Rec's own proposals   with retraining   without"]
    for name, label in _RATES.items():
        both = [report[each][name] for each in ("retrained", "alone")]
        lines.append(f"  {label:<38} {both[0]:>15.4f} {both[1]:>9.4f}")
    times = [report[each]["recovered_s"] for each in ("retrained", "alone")]
    told = ["never" if each is None else f"{each:.0f} s" for each in times]
    lines.append(f"  {'from the drift to 90 % of before':<38} {told[0]:>15} {told[1]:>9}")
    lines += [
        f"run ({each['reason']}): from {each['started_s']:.0f} s to {each['ended_s']:.0f} s after the drift, "
        f"{each['train_s']:.0f} s of it training: {each['result']} {each['version']} {each['detail']}"
        for each in report["runs"]
    ]
    lines.append(f"a run trains on the last {report['trained_on_s']} s of clicks: few from before the drift")
    lines += [f"{'holds' if held else 'DOES NOT HOLD'}: {claim}" for claim, held in report["claims"].items()]
    lines.append(f"took {report['seconds']:.0f} s")
    return "\n".join(lines) + "\n"


def _options() -> Options:
    parser = argparse.ArgumentParser("python -m benchmarks.drift", description=__doc__)
    defaults = Options()
    parser.add_argument("--out", type=Path, default=defaults.out, help="folder of report.json and report.txt")
    parser.add_argument("--rate", type=float, default=defaults.rate, help="clicks a second")
    for name, text in (
        ("base", "clicks that the first model is trained on"),
        ("before", "live clicks before the drift"),
        ("settle", "judged clicks of a partition from the change to the signal"),
        ("after", "clicks after the release"),
        ("held_out", "sessions that the gate judges by"),
        ("window", "judged clicks that a hit rate is of"),
        ("most", "live clicks at most"),
    ):
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=int, default=getattr(defaults, name), help=text
        )
    return Options(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
