"""What `python -m benchmarks.scaling` prints."""

import math
from collections.abc import Mapping, Sequence

from rich.table import Table

from benchmarks.scaling.capacity import Plan, takeover_s
from benchmarks.scaling.check import Predicted
from benchmarks.scaling.fleet import Course, Fresh
from benchmarks.scaling.inputs import Inputs

__all__ = ["check_table", "course_table", "fresh_table", "plan_table"]


def plan_table(inputs: Inputs, plan: Plan) -> Table:
    """The arithmetic."""
    title = (
        f"{inputs.visitors / 1e6:,.0f} million visitors, {inputs.clicks_per_s:,.0f} clicks a second, "
        f"{inputs.items:,.0f} items"
    )
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column("what", style="bold")
    table.add_column("how much")
    _, alone_s = takeover_s(inputs, plan, standby=False)
    _, standby_s = takeover_s(inputs, plan, standby=True)
    for what, how_much in (
        ("partitions of each topic", f"{plan.partitions:,}"),
        (
            "scoring",
            f"{plan.scoring_workers:,} workers, {plan.scoring_cores:,} cores, {plan.scoring_busy:.0%} busy "
            f"with lists of {plan.list_us:,.0f} µs; {plan.list_graph_share:.0%} of it the score graph",
        ),
        ("state", f"{plan.state_workers:,} workers of a core, {plan.state_busy:.0%} busy with clicks"),
        ("machines for both", f"{plan.machines:,} of {inputs.cores_per_machine} cores"),
        (
            "into the brokers",
            f"{plan.in_mb_per_s:,.0f} MB/s: interactions {plan.interactions_mb_per_s:,.0f}, visitor-states "
            f"{plan.states_mb_per_s:,.0f}, recommendations {plan.lists_mb_per_s:,.0f}",
        ),
        (
            f"with {inputs.replication} copies",
            f"{plan.written_mb_per_s:,.0f} MB/s written, {plan.read_mb_per_s:,.0f} read; {plan.brokers} "
            f"brokers at {inputs.broker_bytes_per_s / 1e6:,.0f} MB/s each; {plan.broker_cores:.0f} cores for "
            "one copy",
        ),
        (
            "visitor-states, a copy",
            f"visitors' newest rows {plan.visitor_rows_gb:,.0f} GB, items' {plan.item_rows_gb:,.0f} GB, "
            f"not yet compacted {plan.uncompacted_gb:,.0f} GB",
        ),
        ("interactions and lists kept", f"{plan.kept_tb:,.0f} TB, all copies"),
        (
            "memory of a worker",
            f"state {plan.state_memory_gb:,.1f} GB, scoring {plan.scoring_memory_gb:,.1f} GB with one model",
        ),
        (
            "restart",
            f"state {_s(plan.state_restart_s)}, one worker or all at once (all: "
            f"{plan.restart_read_mb_per_s:,.0f} MB/s from the brokers); scoring {_s(plan.scoring_restart_s)}",
        ),
        ("takeover of a dead state worker", f"{_s(alone_s)}, with a standby {_s(standby_s)}"),
        (
            "a million recommendations",
            f"{plan.core_s_per_million:,.0f} core seconds; {plan.cost_per_million:.3f} at "
            f"{inputs.core_hour_price:g} a core hour, all cores paid for around the clock",
        ),
    ):
        table.add_row(what, how_much)
    return table


def fresh_table(title: str, points: Mapping[str, Fresh]) -> Table:
    """Freshness of a fleet; points: by when."""
    table = Table(title=title, title_justify="left")
    for name in (
        "",
        "scoring busy",
        "p50 ms",
        "p99 ms",
        "clicks a batch: state",
        "scoring",
        "cores busy: state",
        "scoring",
    ):
        table.add_column(name, justify="right")
    for name, each in points.items():
        table.add_row(
            name,
            f"{each.utilisation:.0%}",
            _ms(each.p50_ms),
            _ms(each.p99_ms),
            f"{each.state_batch:.1f}",
            f"{each.scoring_batch:.1f}",
            f"{each.state_busy:.0%}",
            f"{each.scoring_busy:.0%}",
        )
    return table


def course_table(courses: Mapping[str, Course]) -> Table:
    """What happened to a share; courses: by what happened."""
    table = Table(title="A share of the fleet", title_justify="left")
    for name in (
        "what",
        "longest wait for a list",
        "largest backlog, s of traffic",
        "as fresh as before after",
    ):
        table.add_column(name, justify="left" if name == "what" else "right")
    for name, each in courses.items():
        largest_s = float(each.backlog.max()) / each.clicks_per_s
        table.add_row(name, _s(each.worst_s), f"{largest_s:,.1f}", _s(each.well_after_s))
    return table


def check_table(found: Sequence[Predicted]) -> Table:
    """Measured beside predicted."""
    table = Table(title="One machine: measured, and as simulated", title_justify="left")
    for name in (
        "clicks/s",
        "p50 ms",
        "simulated",
        "p99 ms",
        "simulated",
        "state batch",
        "sim.",
        "scoring batch",
        "sim.",
    ):
        table.add_column(name, justify="right")
    table.add_column("cores left by others", justify="right")
    for each in found:
        p50, p99 = each.errors
        table.add_row(
            f"{each.clicks_per_s:,.0f}",
            _ms(each.p50_ms),
            f"{_ms(each.predicted_p50_ms)} ({p50:+.0%})",
            _ms(each.p99_ms),
            f"{_ms(each.predicted_p99_ms)} ({p99:+.0%})",
            f"{each.state_batch:.1f}",
            f"{each.predicted_state_batch:.1f}",
            f"{each.scoring_batch:.1f}",
            f"{each.predicted_scoring_batch:.1f}",
            f"{each.cores_left:.2f}",
        )
    return table


def _ms(ms: float) -> str:
    return f"{ms:,.0f}" if math.isfinite(ms) else "never"


def _s(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "never"
    return f"{seconds:,.1f} s" if seconds < 100 else f"{seconds / 60:,.1f} min"
