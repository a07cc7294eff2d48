"""How large batches are: what the load makes them. Nobody waits for company."""

import time
from pathlib import Path
from statistics import median

from app_processes import App, click, last, publish, read, running

from streamrec.config import Settings
from streamrec.state.rows import VISITOR, WATERMARK_KEY, decode_visitor_row, decode_watermark

_BACKLOG = 20_000
_SINGLES = 20
_MOST_WAIT_S = 0.05


def handled(settings: Settings) -> int:
    """Interactions up to the newest watermarks."""
    marks = last(settings, "visitor-states", WATERMARK_KEY).values()
    return sum(decode_watermark(each.value).offset + 1 for each in marks)


def batches(app: App) -> tuple[int, int]:
    """How many were handled by now, and the records in them."""
    figures = dict(line.rsplit(" ", 1) for line in app.page("metrics")[1].splitlines())
    n, records = (float(figures[f'streamrec_batch_size_{each}{{app="state"}}']) for each in ("count", "sum"))
    return int(n), int(records)


def test_batches_are_large_behind_a_backlog_and_single_records_when_it_is_quiet(
    settings: Settings, tmp_path: Path
) -> None:
    now_ms = time.time_ns() // 1_000_000
    publish(
        settings,
        "interactions",
        (click(f"v{n % 5000}", f"i{n % 100}", f"e{n}", now_ms + n) for n in range(_BACKLOG)),
    )
    with running("state", settings, tmp_path) as app:
        app.wait(lambda: handled(settings) == _BACKLOG)
        n, records = batches(app)
        assert records == _BACKLOG
        assert records / n > settings.kafka.max_poll_records / 4
        for single in range(_SINGLES):
            publish(settings, "interactions", [click(f"s{single}", "i1", f"s{single}", now_ms + _BACKLOG)])
            app.wait(lambda single=single: handled(settings) == _BACKLOG + 1 + single)
        n_more, records_more = batches(app)
    assert (n_more - n, records_more - records) == (_SINGLES, _SINGLES)
    rows = [each for each in read(settings, "visitor-states") if each.key.startswith(VISITOR + b"s")]
    waits_s = [(each.timestamp - decode_visitor_row(each.value).record_time) / 1000 for each in rows]
    assert len(waits_s) == _SINGLES
    # One that waited for others would do so each time; a busy machine keeps some waiting.
    assert median(waits_s) < _MOST_WAIT_S
