"""`streamrec train recommender`, and what `streamrec models` does with its versions; without a broker."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from feedback_files import write_knowledge, write_ratings
from recommender_answers import ratings, ratings_knowledge
from verbs import Run, runner

from streamrec.cli.knowledge import unknowing
from streamrec.config import load_settings
from streamrec.events import Item, encode
from streamrec.feedback import NOTHING, Knowledge, Tagging, Trust
from streamrec.recommender import Visitor
from streamrec.recommender_artifacts import load_recommender
from streamrec.registry import Registry
from streamrec.signing import SigningKey


@pytest.fixture
def registry(tmp_path: Path, signing_key: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    public = SigningKey.load(signing_key).public
    monkeypatch.setenv("STREAMREC_REGISTRY__PATH", str(tmp_path / "registry"))
    monkeypatch.setenv("STREAMREC_REGISTRY__SIGNING_KEY", str(signing_key))
    monkeypatch.setenv("STREAMREC_REGISTRY__TRUSTED_KEYS", json.dumps([public]))
    return Registry(tmp_path / "registry", trusted=[public])


@pytest.fixture
def run(registry: Registry, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a verb on the registry."""
    return runner(capsys)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Ratings of twenty visitors."""
    rows = [(user, item, 1 + (user * item) % 5, 100 * user + item) for user in range(20) for item in range(9)]
    path = tmp_path / "ratings.csv"
    lines = [f"u{user},i{item},{value},{time}" for user, item, value, time in rows if (user + item) % 3]
    path.write_text("\n".join(["userId,itemId,rating,timestamp", *lines]))
    return path


def test_what_it_prints_is_the_setting_that_makes_it_a_source(
    run: Run, registry: Registry, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = run("train", "recommender", "slope-one", "--data", str(data))
    assert code == 0, err
    exported = next(line for line in out.splitlines() if "export STREAMREC_" in line)
    name, _, value = shlex.split(exported)[1].partition("=")
    monkeypatch.setenv(name, value)
    ((model, chosen),) = load_settings().scoring.recommenders.items()
    assert model == "slope_one"
    assert chosen.version == registry.latest("slope_one")
    assert "120 interactions of 20 visitors, 9 items" in out
    assert len(load_recommender(registry, model, chosen.version).items) == 9


def test_a_file_that_composes_one_is_trained_with_its_hyperparameters(
    run: Run, registry: Registry, data: Path, tmp_path: Path
) -> None:
    node = tmp_path / "node.yaml"
    node.write_text("model: funk_svd\nfactors: 3\nturns: 2\n")
    code, out, err = run(
        "train", "recommender", str(node), "--data", str(data), "--json", "--param", "turns=4"
    )
    assert code == 0, err
    manifest = registry.manifest("funk_svd", json.loads(out)["version"])
    assert manifest.config == {"factors": 3, "turns": "4"}
    assert manifest.data == {
        "source": "ratings.csv",
        "interactions": 120,
        "visitors": 20,
        "last": "1970-01-01T00:31:47.000+00:00",
    }


def test_what_can_make_lists_is_trained_to_unless_it_is_told_otherwise(
    run: Run, registry: Registry, data: Path
) -> None:
    trained = ["train", "recommender", "item_based_cf", "--data", str(data), "--json"]
    for more, task in (
        ([], "top-n"),
        (["--param", "task=rating"], "rating"),
        (["--ratings", "--param", "k=9"], "rating"),
    ):
        code, out, err = run(*trained, *more)
        assert code == 0, err
        config = registry.manifest("item_based_cf", json.loads(out)["version"]).config
        assert config.get("task", "rating") == task


def test_items_are_known_by_their_records(run: Run, registry: Registry, data: Path, tmp_path: Path) -> None:
    items = tmp_path / "items.jsonl"
    records = [encode(Item(item_id=f"i{n}", tags=[f"tag{n % 3}"])).decode() for n in range(12)]
    items.write_text("\n".join(records))
    code, out, err = run(
        "train", "recommender", "tag_profile", "--data", str(data), "--items", str(items), "--json"
    )
    assert code == 0, err
    assert json.loads(out)["items"] == 12
    assert "warning" not in err
    code, _, err = run("train", "recommender", "tag_profile", "--data", str(data), "--json")
    assert code == 0
    assert (
        "warning: it goes by what items are or the tags that visitors gave, and nothing says so: give "
        "--items FILE or --tags FILE" in err
    )


def test_what_has_nothing_to_say_to_anybody_is_told(run: Run, tmp_path: Path) -> None:
    once = tmp_path / "once.csv"
    once.write_text("user,item\n" + "".join(f"u{n},i{n}\n" for n in range(9)))
    code, _, err = run("train", "recommender", "item_based_cf", "--data", str(once))
    assert code == 0, err
    assert "warning: it has no item for any visitor that was looked at" in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["wals"], "which interactions? give one of --data FILE, --bundled, --from-topic and --from-history"),
        (["wals", "--bundled", "--from-topic"], "which interactions? give one of --data FILE, --bundled"),
        (["wals", "--bundled", "--context", "mood"], "--context and --columns are of --data"),
        (
            ["weighted_hybrid", "--bundled"],
            "biased_mf, a part of weighted_hybrid, foretells ratings, and this",
        ),
        (["group_recommender", "--bundled"], "factorisation_machine, a part of group_recommender, foretells"),
        (
            ["item_based_cf", "--bundled", "--param", "task=rating"],
            "item_based_cf foretells ratings, and this",
        ),
        (["item_based_cf", "--bundled", "--ratings"], "item_based_cf foretells ratings, and this feedback"),
        (["magic", "--bundled"], "there is no model 'magic'; known are"),
        (["wals", "--bundled", "--param", "factors=-1"], "factors"),
        (["gru4rec", "--bundled"], "gru4rec is a model of what comes next in a session, and a recommender"),
        (["slope_one", "--bundled"], "slope_one foretells ratings, and this feedback has none that differ"),
        (["nowhere.yaml", "--bundled"], "nowhere.yaml cannot be read: No such file"),
        (["wals", "--data", "nowhere.csv"], "nowhere.csv cannot be read"),
    ],
)
def test_what_cannot_be_trained_is_said_and_nothing_is_published(
    run: Run, registry: Registry, arguments: list[str], told: str
) -> None:
    code, _, err = run("train", "recommender", *arguments)
    assert code != 0
    assert told in re.sub(r"\s+", " ", err)
    assert registry.models() == []


def test_versions_are_listed_shown_verified_and_signed(
    run: Run, registry: Registry, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as unsigned:
        unsigned.delenv("STREAMREC_REGISTRY__SIGNING_KEY")
        code, out, _ = run("train", "recommender", "item_popularity", "--data", str(data))
    assert code == 0
    version = registry.latest("item_popularity")
    assert f"not signed, so scoring refuses it: sign it with `streamrec models sign {version}`" in out
    code, _, err = run("models", "verify", "--model", "item_popularity")
    assert code == 1
    assert f"not signed; if you answer for it: `streamrec models sign {version}`" in err
    assert run("models", "sign", version)[0] == 0
    assert run("models", "verify", version)[0] == 0
    assert run("models", "verify", "--model", "item_popularity")[0] == 0
    code, out, _ = run("models", "verify", "--all", "--json")
    assert [(row["model"], row["version"]) for row in json.loads(out)] == [("item_popularity", version)]
    code, out, _ = run("models", "show", "--model", "item_popularity", "--json")
    assert json.loads(out)["data"]["interactions"] == 120
    code, out, _ = run("models", "list", "--json")
    assert [row["model"] for row in json.loads(out)] == ["item_popularity"]


def test_pruning_keeps_what_the_settings_name(
    run: Run, registry: Registry, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = []
    for value in ("1", "2", "3"):
        code, out, _ = run(
            "train", "recommender", "funk_svd", "--data", str(data), "--json", "--param", f"factors={value}"
        )
        assert code == 0
        versions.append(json.loads(out)["version"])
    chosen = json.dumps({"funk_svd": {"version": sorted(versions)[0]}})
    monkeypatch.setenv("STREAMREC_SCORING__RECOMMENDERS", chosen)
    code, out, err = run("models", "prune", "--force", "--keep", "1", "--older-than", "0")
    assert code == 0, err
    assert registry.versions("funk_svd") == [sorted(versions)[0], sorted(versions)[2]]


def test_hybrids_are_trained_for_lists_down_to_their_parts(
    run: Run, registry: Registry, data: Path, tmp_path: Path
) -> None:
    node = tmp_path / "mine.yaml"
    node.write_text(
        "model: weighted_hybrid\nparts: [{node: {model: wals}}, {node: {model: item_based_cf}}]\n"
    )
    code, out, err = run("train", "recommender", str(node), "--data", str(data), "--json")
    assert code == 0, err
    config = registry.manifest("weighted_hybrid", json.loads(out)["version"]).config
    assert config["task"] == "top-n"
    assert [each["node"] for each in config["parts"]] == [
        {"model": "wals"},
        {"model": "item_based_cf", "task": "top-n"},
    ]
    code, out, err = run("evaluate", "--model", str(node), "--data", str(data), "--task", "top-n", "--json")
    assert code == 0, err
    assert [each["node"].get("task") for each in json.loads(out)["config"]["parts"]] == [None, "top-n"]


def test_what_is_known_beside_is_learned(run: Run, registry: Registry, tmp_path: Path) -> None:
    files = write_knowledge(tmp_path)
    data = write_ratings(tmp_path, mood=True)
    for name, known, more in (
        ("mole_trust", "--trust", []),
        ("tag_aware_cf", "--tags", []),
        ("group_recommender", "--groups", ["--param", "base=baseline_predictor"]),
    ):
        versions = []
        for given in ([], [known, files[known]]):
            code, out, err = run("train", "recommender", name, "--data", data, *more, *given, "--json")
            assert code == 0, err
            warned = f"nothing says so: give {known} FILE" in err.replace("--items FILE or ", "")
            assert warned != bool(given)
            versions.append(json.loads(out)["version"])
        without, with_ = (load_recommender(registry, name, each) for each in versions)
        asking = Visitor("everybody" if known == "--groups" else "u01")
        items = list(without.items)
        assert not np.array_equal(without.score(asking, items), with_.score(asking, items), equal_nan=True)


def test_contexts_are_columns_of_the_data(run: Run, registry: Registry, tmp_path: Path) -> None:
    data = tmp_path / "moods.csv"
    moods = ["4,glad" if n // 7 % 2 else "2,sad" for n in range(240)]
    rows = [f"u{n % 12},i{n % 7},{each}" for n, each in enumerate(moods)]
    data.write_text("\n".join(rows))
    arguments = [
        "train",
        "recommender",
        "context_postfilter",
        "--param",
        "base=baseline_predictor",
        "--data",
        str(data),
    ]
    code, out, err = run(*arguments, "--columns", "user,item,rating,mood", "--context", "mood", "--json")
    assert code == 0, err
    assert "warning" not in err
    model = load_recommender(registry, "context_postfilter", json.loads(out)["version"])
    glad, sad = (model.score(Visitor("u1", context={"mood": each}), ["i1"])[0] for each in ("glad", "sad"))
    assert glad > sad + 1
    code, _, err = run(*arguments, "--columns", "user,item,rating,mood")
    assert code == 0
    assert "it goes by contexts, and nothing says so: give --context COLUMN" in err


def test_contexts_that_cannot_be_told_are_not_asked_for() -> None:
    node = {"model": "context_prefilter"}
    assert unknowing({"it": node}, NOTHING, [ratings()], has_columns=False) == [
        "it goes by contexts, and there are none in what is read"
    ]


def test_what_is_no_session_model_is_not_made_again(run: Run, data: Path) -> None:
    _, out, _ = run("train", "recommender", "wals", "--data", str(data), "--json")
    version = json.loads(out)["version"]
    code, _, err = run("models", "reproduce", version)
    assert code == 2
    assert f"{version} is of wals, and only versions of gru4rec are made again" in err


def test_what_is_known_of_others_alone_is_told() -> None:
    known = Knowledge(
        {"x": Item(item_id="x")}, [Tagging("u01", "x", "t")], [Trust("anna", "bob")], {"g": ["anna"]}
    )
    assert [each.split(" none is of an id")[0] for each in unknowing({}, known, [ratings()])] == [
        "of 1 records of items",
        "of 1 tags",
        "of 1 trust",
        "of 1 groups",
    ]
    assert unknowing({}, ratings_knowledge(), [ratings()]) == []
