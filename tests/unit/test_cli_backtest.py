"""`streamrec backtest` without a broker."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import pytest
from session_models import Published, ring_sessions

from streamrec.cli import main
from streamrec.datasets import DAY_MS, make_clicks, write_clicks
from streamrec.events import Recommendation
from streamrec.registry import Registry

Run = Callable[..., tuple[int, str, str]]
DAY_6 = "1970-01-07"


@pytest.fixture
def run(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Runs the verb on ten days of sessions round the ring; returns exit code, output and errors."""
    rows = [
        (f"s{number}", item, number * DAY_MS // 8 + 1000 * place)
        for number, session in enumerate(ring_sessions(80))
        for place, item in enumerate(session.items)
    ]
    write_clicks(tmp_path / "clicks.tsv.gz", make_clicks(*zip(*rows, strict=True)))
    registry = Registry(tmp_path / "registry", trusted=None)
    for version, data in (("v1", {}), ("v2", {"last": "1970-01-08T10:00:00.000+00:00"})):
        registry.publish("gru4rec", version, partial(published.model.export, version=version, data=data))
    monkeypatch.setenv("STREAMREC_REGISTRY__PATH", str(registry.path))
    monkeypatch.setenv("STREAMREC_REGISTRY__REQUIRE_SIGNATURE", "false")
    monkeypatch.setenv("STREAMREC_KAFKA__PARTITIONS", "2")
    monkeypatch.setenv("STREAMREC_ONLINE_MF", '{"factors": 4}')

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main(["backtest", "--data", str(tmp_path / "clicks.tsv.gz"), *arguments])
        assert isinstance(caught.value.code, int)
        out, err = capsys.readouterr()
        return caught.value.code, out, err

    return run


def configuration(folder: Path, name: str, text: str) -> tuple[str, str]:
    path = folder / name
    path.write_text(text)
    return "--config", str(path)


def test_it_judges_what_comes_after_from_and_reads_nothing_after_to(run: Run) -> None:
    code, out, err = run("--from", DAY_6, "--to", "1970-01-09", "--releases", "v1", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    (figures,) = found["runs"]
    assert figures["config"] == "settings"
    assert figures["events"] == sum(len(session.items) for session in ring_sessions(80)[:64])
    judged = ring_sessions(80)[48:64]
    assert figures["lists"] == sum(len(session.items) for session in judged)
    assert figures["judged"] == sum(len(session.items) - 1 for session in judged)
    assert figures["sessions"] == 16
    assert figures["releases"] == {"v1": figures["lists"]}
    assert found["events_per_s"] > 0
    assert found["comparisons"] == found["warnings"] == []
    # The model was trained on the ring, whose items follow each other.
    assert figures["sources"]["gru4rec"]["hit_rate@20"] > 0.9
    assert 0 < figures["sources"]["popularity"]["hit_rate@20"] < 1
    assert 0 < figures["sources"]["blend"]["ndcg@20"] < 1


def test_several_files_are_compared_with_the_first(run: Run, tmp_path: Path) -> None:
    with_model = configuration(tmp_path, "with.toml", "[[releases]]\nversion = 'v1'")
    without = configuration(tmp_path, "without.toml", "[scoring.weights]\npopularity = 1.0")
    wider = configuration(tmp_path, "wider.toml", "[kafka]\npartitions = 3")
    files = [*with_model, *without, *wider]
    code, out, _ = run("--from", DAY_6, "--releases", "v1", *files, "--k", "5", "--json")
    assert code == 0
    found = json.loads(out)
    assert [each["config"] for each in found["runs"]] == ["with", "without", "wider"]
    assert [(each["run"], each["against"]) for each in found["comparisons"]] == [
        ("without", "with"),
        ("wider", "with"),
    ]
    less, same = found["comparisons"]
    assert less["pairs"] == same["pairs"] == found["runs"][0]["judged"]
    hits = less["differences"]["blend"]["hit_rate@5"]
    means = [each["sources"]["blend"]["hit_rate@5"] for each in found["runs"]]
    assert hits["difference"] == pytest.approx(means[1] - means[0])
    assert hits["low"] < hits["difference"] < hits["high"] < 0
    assert hits["p"] < 0.01
    assert same["differences"]["gru4rec"]["mrr@5"]["difference"] == 0.0  # it knows nothing of partitions


def test_it_prints_a_table(run: Run, tmp_path: Path) -> None:
    files = [
        configuration(tmp_path, name, f"[scoring]\nk = {k}") for name, k in (("a.toml", 20), ("b.toml", 5))
    ]
    code, out, err = run("--releases", "none", *files[0], *files[1])
    assert (code, err) == (0, "")
    assert "hit_rate@20" in out
    assert "b less a, on " in out
    assert " events in " in out
    assert " a second" in out


def test_the_lists_are_written(run: Run, tmp_path: Path) -> None:
    lists = tmp_path / "lists.jsonl"
    code, out, _ = run("--from", DAY_6, "--lists", str(lists), "--latency-ms", "40", "--json")
    assert code == 0
    made = [msgspec.json.decode(line, type=Recommendation) for line in lists.read_bytes().splitlines()]
    assert len(made) == json.loads(out)["runs"][0]["lists"]
    assert {each.release for each in made} == {"v2"}  # the newest
    assert all(each.emit_time == each.event_time + 40 for each in made)


def test_a_model_that_saw_what_it_is_judged_by_is_told(run: Run, tmp_path: Path) -> None:
    seen = "v2 was trained on clicks up to 1970-01-08T10:00:00.000+00:00 and is judged from"
    code, out, err = run("--from", DAY_6, "--json")
    assert code == 0
    assert json.loads(out)["warnings"][0].startswith(f"{seen} 1970-01-07")
    code, _, err = run("--from", DAY_6)
    assert err.startswith(f"mind: {seen} 1970-01-07")
    later = "[[releases]]\nversion = 'v1'\n[[releases]]\nversion = 'v2'\ntime = 1970-01-09"
    code, out, _ = run("--from", DAY_6, *configuration(tmp_path, "later.toml", later), "--json")
    assert json.loads(out)["warnings"] == []
    assert set(json.loads(out)["runs"][0]["releases"]) == {"v1", "v2"}


@pytest.mark.parametrize(
    ("arguments", "code", "fault"),
    [
        (["--bundled"], 2, "which clicks? give one of --data FILE, --bundled, --from-topic"),
        (
            ["--from", "1970-02-01"],
            1,
            "there is no click from 1970-02-01T00:00:00+00:00 on; there are clicks",
        ),
        (["--from", "1970-01-03", "--to", "1970-01-02"], 2, "nothing lies from 1970-01-03"),
        (["--to", "soon"], 2, "--to: 'soon' is no time"),
        (["--releases", "v9"], 1, "gru4rec has no version v9"),
        (["--config", "nothing.toml"], 2, "nothing.toml: cannot be read"),
        (["--to", "1970-01-01T00:00:01Z", "--releases", "none"], 1, "there is nothing to judge"),
    ],
)
def test_faults_are_told_in_a_line(run: Run, arguments: list[str], code: int, fault: str) -> None:
    found, out, err = run(*arguments)
    assert (found, out) == (code, "")
    assert err.startswith("error: ")
    assert fault in err


def test_lists_of_several_runs_do_not_go_into_one_file(run: Run, tmp_path: Path) -> None:
    files = [configuration(tmp_path, name, "") for name in ("a.toml", "b.toml")]
    code, _, err = run("--lists", str(tmp_path / "lists"), *files[0], *files[1])
    assert code == 2
    assert "--lists goes with one --config" in err


def test_a_hyperparameter_that_is_none_is_found_out_before_the_work(run: Run, tmp_path: Path) -> None:
    code, _, err = run(*configuration(tmp_path, "a.toml", "[online_mf]\nfacets = 3"))
    assert code == 2
    assert "facets: there is no such parameter" in err
