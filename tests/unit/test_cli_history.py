"""`streamrec import`, and `--from-history`, without a broker."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from streamrec.cli import main
from streamrec.datasets import bundled_clicks, write_clicks
from streamrec.recommender import Visitor
from streamrec.recommender_artifacts import load_recommender
from streamrec.registry import Registry

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a verb with its history in a folder; returns exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STREAMREC_HISTORY__URL", str(tmp_path / "history"))
    monkeypatch.setenv("STREAMREC_REGISTRY__REQUIRE_SIGNATURE", "false")
    monkeypatch.setenv("STREAMREC_REGISTRY__PATH", str(tmp_path / "registry"))

    def run(*arguments: str) -> tuple[int, str, str]:
        code: int | str | None = 0
        try:
            main(list(arguments))
        except SystemExit as exit_:
            code = exit_.code
        out, err = capsys.readouterr()
        assert isinstance(code, int)
        return code, out, err

    return run


@pytest.fixture
def clicks(tmp_path: Path) -> Path:
    path = tmp_path / "clicks.tsv.gz"
    write_clicks(path, bundled_clicks().first(3000))
    return path


def test_it_tells_what_was_taken_and_where_the_rest_is(run: Run, tmp_path: Path) -> None:
    Path("old.csv").write_text("customer,item,when\nu,i,1600000000\nu,i,soon\n")
    columns = ("--column", "visitor_id=customer", "--column", "time=when")
    code, out, _ = run("import", "old.csv", *columns, "--json")
    [found] = json.loads(out)
    assert (code, found["rows"], found["taken"], found["refused"]) == (0, 2, 1, {"invalid": 1})
    assert found["refused_file"] == "build/import/old.csv.refused.jsonl"
    assert json.loads(Path(found["refused_file"]).read_text())["line"] == 3
    code, out, _ = run("import", "old.csv", *columns)
    assert code == 0
    assert "there already" in out
    assert "1 invalid" in out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("none.csv",), 1, "none.csv: there is no such file"),
        (("old.csv",), 1, "--column visitor_id=NAME"),
        (("old.csv", "--column", "who=customer"), 2, "FIELD=NAME is wanted"),
        (("old.csv", "--column", "visitor_id=nobody"), 1, "no column nobody; there are customer, item, when"),
        (("old.csv", "--time-unit", "hours"), 2, "--time-unit"),
    ],
)
def test_what_is_wrong_is_said_without_a_traceback(
    run: Run, arguments: tuple[str, ...], code: int, message: str
) -> None:
    Path("old.csv").write_text("customer,item,when\nu,i,1600000000\n")
    found = run("import", *arguments)
    assert found[0] == code
    assert message in found[2]
    assert "Traceback" not in found[2]


def test_a_history_without_a_click_says_how_to_fill_it(run: Run) -> None:
    code, _, err = run("train", "gru4rec", "--from-history")
    assert code == 1
    assert "no click in history" in err
    assert "`streamrec import`" in err


def test_one_source_at_a_time(run: Run) -> None:
    code, _, err = run("train", "gru4rec", "--from-history", "--bundled")
    assert code == 2
    assert "give one of --data FILE, --bundled, --from-topic and --from-history" in err


def test_evaluation_of_history_is_that_of_the_file(run: Run, clicks: Path) -> None:
    assert run("import", str(clicks))[0] == 0
    judged = ("evaluate", "--model", "popularity", "--json", "--test-share", "0.3")
    found, wanted = (
        {name: value for name, value in json.loads(out).items() if not name.endswith("_s")}
        for _, out, _ in (run(*judged, "--from-history"), run(*judged, "--data", str(clicks)))
    )
    assert found == wanted
    assert found["recall@20"] > 0


def test_the_manifest_of_what_was_trained_on_history_names_its_imports(run: Run, clicks: Path) -> None:
    [imported] = json.loads(run("import", str(clicks), "--json")[1])
    quick = [f"--param={each}" for each in ("epochs=1", "embedding_size=8", "hidden_size=8", "n_sample=0")]
    code, out, err = run(
        "train", "gru4rec", "--from-history", "--no-evaluate", "--json", "--device", "cpu", *quick
    )
    assert code == 0, err
    manifest = json.loads((Path(json.loads(out)["directory"]) / "manifest.json").read_text())
    [earlier] = manifest["data"]["earlier"]
    assert (earlier["source"], earlier["id"]) == ("clicks.tsv.gz", imported["id"])
    assert len(earlier["digest"]) == 64
    assert manifest["data"]["source"] == "streamrec.interactions"


@pytest.fixture
def shop(run: Run) -> list[str]:
    """History of views, a purchase and some ratings; returns the option that keeps the items topic out."""
    rows = [(f"v{n % 12}", f"i{(n % 12 + n // 12 * 5) % 8}", "view", "") for n in range(60)]
    rows += [("v0", "i0", "purchase", ""), ("v1", "i1", "rating", "5"), ("v2", "i2", "rating", "2")]
    lines = [",".join([*cells, str(1_600_000_000 + n)]) for n, cells in enumerate(rows)]
    Path("shop.csv").write_text("\n".join(["user,item,type,value,time", *lines]) + "\n")
    Path("items.jsonl").write_text('{"item_id": "i0", "tags": ["x"]}\n{"item_id": "i1", "tags": ["y"]}\n')
    assert run("import", "shop.csv")[0] == 0
    return ["--items", "items.jsonl"]


def test_who_only_viewed_gets_lists_by_what_it_viewed(run: Run, shop: list[str], tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry", trusted=None)
    Path("both.yaml").write_text("model: weighted_hybrid\nparts: [{node: {model: wals}}, {node: bpr}]\n")
    for name in ("wals", "both.yaml", "content_classifier"):
        code, out, err = run("train", "recommender", name, "--from-history", *shop, "--json")
        assert code == 0, err
        trained = json.loads(out)
        assert trained["interactions"] == 63
        model = load_recommender(registry, trained["model"], trained["version"])
        scores = model.score(Visitor("v5"), ["i0", "i1", "i2"])
        assert np.isfinite(scores[:2]).all()
        data = registry.manifest(trained["model"], trained["version"]).data
        assert data["last"] == "2020-09-13T12:27:42.000+00:00"
    assert registry.manifest("content_classifier", trained["version"]).config == {"liked_from": 0.0}
    # Had a view been taken for a dislike, what v0 viewed would speak against its like.
    assert model.score(Visitor("v0"), ["i0"])[0] > 0


def test_ratings_are_read_where_something_can_only_rate(run: Run, shop: list[str]) -> None:
    for name, more, interactions in (
        ("weighted_hybrid", [], 2),
        ("weighted_hybrid", ["--all"], 63),
        ("group_recommender", [], 2),
        ("item_based_cf", [], 63),
        ("item_based_cf", ["--ratings"], 2),
        ("item_based_cf", ["--param", "task=rating", "--param", "k=9"], 2),
    ):
        code, out, err = run("train", "recommender", name, "--from-history", *shop, *more, "--json")
        assert code == 0, err
        assert json.loads(out)["interactions"] == interactions


def test_what_was_viewed_is_liked_in_an_evaluation_too(run: Run, shop: list[str]) -> None:
    judged = ("evaluate", "--model", "wals", "--json", "--from-history")
    code, out, err = run(*judged)
    assert code == 0, err
    found = json.loads(out)
    assert (found["task"], found["config"]["liked_from"]) == ("top-n", 0.0)
    code, out, err = run(*judged, "--param", "liked_from=1")
    assert code == 0, err
    same = {"ndcg@10", "recall@20", "coverage@20", "visitors"}
    assert {name: json.loads(out)[name] for name in same} == {name: found[name] for name in same}


def test_what_types_weigh_is_not_evaluated_as_ratings(run: Run, shop: list[str]) -> None:
    for name, part in (("weighted_hybrid", "biased_mf"), ("group_recommender", "factorisation_machine")):
        code, _, err = run("evaluate", "--model", name, "--from-history", *shop)
        assert code == 2
        assert f"{name}: {part}" in err
        assert "would foretell what types of interactions weigh, as if these were ratings" in err
