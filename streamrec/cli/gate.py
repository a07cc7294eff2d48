"""`streamrec models gate` and `compare`: whether a version may go live, and two of them side by side."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamrec.cli.output import JsonOption, print_json, print_table
from streamrec.cli.sources import BundledOption, DataOption, FromHistoryOption, FromTopicOption, named_source

if TYPE_CHECKING:
    from streamrec.config import Settings
    from streamrec.datasets import Clicks
    from streamrec.events import ModelRelease, Verdict
    from streamrec.gate.measuring import Loaded
    from streamrec.registry import Registry

__all__ = ["gated_release", "print_verdict", "register_models", "warn_of_verdict"]

_MODEL = "gru4rec"

Version = Annotated[str, typer.Argument(help="A version, or `latest`.")]


def register_models(models: typer.Typer) -> None:
    """Add the verbs `models gate` and `models compare`."""
    models.command()(gate)
    models.command()(compare)


def gate(
    version: Version = "latest",
    data: DataOption = None,
    bundled: BundledOption = False,
    from_topic: FromTopicOption = False,
    from_history: FromHistoryOption = False,
    release: Annotated[
        bool, typer.Option("--release/--no-release", help="Make it live if it passes, or only judge it.")
    ] = True,
    force: Annotated[
        bool, typer.Option("--force", help="Judge again what was judged, and release what was replaced.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Judge a version against the live one on clicks that neither has learned from; if it passes, release it.

    Exits with 1 if it does not pass. The verdict goes to the models topic and to a page either way.
    """
    from rich.console import Console

    from streamrec.config import load_settings
    from streamrec.errors import ReleaseError
    from streamrec.gate import judge_and_release, newest_window
    from streamrec.registry import Registry
    from streamrec.releases import released

    settings = load_settings()
    registry = Registry.of(settings)
    named = registry.latest(_MODEL) if version == "latest" else version
    console = Console(stderr=True)
    live = released(settings).get(f"{_MODEL}/live")
    if live is not None and live.version == named:
        raise ReleaseError(f"{named!r} is live, and would be judged beside itself; name another version")
    clicks, _ = named_source(settings, data, bundled, from_topic, console, from_history)
    window = newest_window(clicks, _manifests(registry, named, live), settings)
    verdict = judge_and_release(settings, named, window, release=release, force=force)
    if json:
        print_json(verdict)
    else:
        print_verdict(settings, verdict)
    if verdict.outcome != "passed":
        raise typer.Exit(1)


def compare(
    first: Annotated[str, typer.Argument(help="A version.")],
    second: Annotated[str, typer.Argument(help="Another, or `latest`.")] = "latest",
    data: DataOption = None,
    bundled: BundledOption = False,
    from_topic: FromTopicOption = False,
    from_history: FromHistoryOption = False,
    json: JsonOption = False,
) -> None:
    """Two versions side by side: figures on the newest clicks that neither has learned from, sizes, data."""
    from rich.console import Console

    from streamrec.config import load_settings
    from streamrec.errors import DatasetError
    from streamrec.gate import newest_window
    from streamrec.gate.measuring import load
    from streamrec.registry import Registry

    settings = load_settings()
    registry = Registry.of(settings)
    names = [registry.latest(_MODEL) if each == "latest" else each for each in (first, second)]
    models = [load(registry, name) for name in names]
    console = Console(stderr=True)
    clicks, _ = named_source(settings, data, bundled, from_topic, console, from_history)
    window = newest_window(clicks, [model.manifest for model in models], settings)
    if not len(window):
        ends = max(str(model.manifest.data.get("last")) for model in models)
        raise DatasetError(
            f"no session of two clicks begins after {ends}, the last click that one of them learned from; "
            "give newer clicks"
        )
    found = _compared(models, window)
    if json:
        print_json(found)
    else:
        _print_comparison(found)


def gated_release(
    settings: "Settings", version: str, clicks: "Clicks", *, has_held_out: bool, skip: bool
) -> tuple["ModelRelease | None", "Verdict | None", str]:
    """Release a version just trained, through the gate where there is something to judge it by.

    clicks: all there are, of the training too. Returns the release if there is one, the verdict if there is
    one, and what was done, for people.
    """
    from streamrec.gate import judge_and_release, newest_window
    from streamrec.registry import Registry
    from streamrec.releases import announce, released

    live = released(settings).get(f"{_MODEL}/live")
    why = (
        "as --no-gate says"
        if skip
        else "no version was live before"
        if live is None
        else "nothing is held out to judge it by; --until DAYS does that"
        if not has_held_out
        else None
    )
    if why is not None:
        release = announce(settings, _MODEL, version)
        return release, None, f"released without the gate: {why}"
    window = newest_window(clicks, _manifests(Registry.of(settings), version, live), settings)
    verdict = judge_and_release(settings, version, window)
    now = released(settings).get(f"{_MODEL}/live")
    return (now if now is not None and now.version == version else None), verdict, _sentence(verdict)


def print_verdict(settings: "Settings", verdict: "Verdict") -> None:
    """Print every check of a verdict, and where its page is."""
    rows = [["passed" if each.passed else "FAILED", each.name, each.text] for each in verdict.checks]
    print_table(["", "check", "what was found"], rows)
    typer.echo(f"{verdict.window.sessions:,} sessions; {_sentence(verdict)}")
    typer.echo(f"page: {settings.gate.pages / f'{verdict.model}-{verdict.version}.html'}")


def warn_of_verdict(settings: "Settings", version: str) -> None:
    """Say on stderr if a version that is released by hand did not pass the gate."""
    from streamrec.verdicts import verdicts

    verdict = verdicts(settings).get(version)
    if verdict is None:
        typer.echo(f"warning: the gate has not judged {version}; `streamrec models gate` does", err=True)
    elif verdict.outcome != "passed":
        typer.echo(f"warning: {_sentence(verdict)}", err=True)


def _sentence(verdict: "Verdict") -> str:
    from streamrec.gate.page import headline

    return headline(verdict)


def _manifests(registry: "Registry", version: str, live: "ModelRelease | None") -> list[Any]:
    """Those of the candidate and of the live version; a damaged candidate is for the gate to refuse."""
    from streamrec.errors import ArtifactError

    found = []
    for name in dict.fromkeys([version, *([live.version] if live else [])]):
        try:
            found.append(registry.manifest(_MODEL, name))
        except ArtifactError:
            if name != version:
                raise
    return found


def _compared(models: Sequence["Loaded"], window: "Clicks") -> dict[str, Any]:
    from streamrec.evaluation.intervals import confidence_intervals, paired_tests
    from streamrec.gate.measuring import measure, milliseconds
    from streamrec.gate.page import config_differences
    from streamrec.gate.window import describe

    measured = [measure(model, window) for model in models]
    taken = milliseconds(models, n=100)
    versions = [
        {
            "version": model.manifest.version,
            "metrics": confidence_intervals(each.values, each.sessions),
            "n_items": model.manifest.n_items,
            "size_bytes": model.size_bytes,
            "latency_ms": latency_ms,
            "data": {name: value for name, value in model.manifest.data.items() if name != "offsets"},
        }
        for model, each, latency_ms in zip(models, measured, taken, strict=True)
    ]
    one, other = measured
    return {
        "window": describe(window),
        "versions": versions,
        "differences": paired_tests(one.values, other.values, one.sessions),
        "config": config_differences(models[0].manifest, models[1].manifest),
    }


def _print_comparison(found: Mapping[str, Any]) -> None:
    first, second = found["versions"]
    rows: list[list[object]] = []
    for name, difference in found["differences"].items():
        cells = [
            f"{mean:.4f} [{low:.4f}, {high:.4f}]"
            for mean, low, high in (each["metrics"][name] for each in (first, second))
        ]
        value, low, high, _ = difference
        rows.append([name, *cells, f"{value:+.4f} [{low:+.4f}, {high:+.4f}]"])
    for name, shown in (("n_items", "{:,}"), ("size_bytes", "{:,}"), ("latency_ms", "{:.3f}")):
        cells = [shown.format(each[name]) for each in (first, second)]
        rows.append([name, *cells, f"{first[name] / second[name]:.2f} times"])
    rows += [
        [f"data.{name}", *(str(each["data"].get(name, "–")) for each in (first, second)), ""]
        for name in sorted(first["data"].keys() | second["data"].keys())
    ]
    rows += [[f"config.{name}", str(one), str(other), ""] for name, one, other in found["config"]]
    print_table(["", first["version"], second["version"], "first to second"], rows)
    window = found["window"]
    typer.echo(
        f"on {window.sessions:,} sessions that neither has learned from; intervals of 95 %, over sessions"
    )
