"""`streamrec models kinds`: every model there is, and everything that can be configured, in words."""

import json

import pytest
from verbs import Run, runner

from streamrec import model_kinds as kinds
from streamrec import models
from streamrec.errors import ConfigError
from streamrec.model_kinds import hyperparameters, model_kind, model_kinds
from streamrec.models import RECOMMENDERS, SESSION_MODELS, recommender_class, session_model_class

EVERY = [*SESSION_MODELS, *RECOMMENDERS]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(capsys)


def test_a_name_is_that_of_one_model() -> None:
    assert len({each.replace("_", "") for each in EVERY}) == len(EVERY)


def test_every_model_is_listed(run: Run) -> None:
    code, out, _ = run("models", "kinds", "--json")
    found = {each["name"]: each for each in json.loads(out)}
    assert code == 0
    assert list(found) == EVERY
    assert all(each["installed"] and each["about"] and each["missing"] is None for each in found.values())
    assert {each["tasks"][0] for name, each in found.items() if name in SESSION_MODELS} == {"next item"}
    for name in RECOMMENDERS:
        made = recommender_class(name)
        assert set(found[name]["tasks"]) == made.tasks
        assert found[name]["streams"] == hasattr(made, "learn_one")
    assert found["markov"]["streams"]
    assert not found["gru4rec"]["streams"]
    code, out, _ = run("models", "kinds")
    assert code == 0
    assert all(name in out for name in EVERY)


@pytest.mark.parametrize("name", EVERY)
def test_every_hyperparameter_is_documented(name: str) -> None:
    made = session_model_class(name) if name in SESSION_MODELS else recommender_class(name)
    found = hyperparameters(name)
    assert [each.name for each in found] == list(made.Config.model_fields)
    assert all(each.about and each.type != "any" for each in found)
    assert {each.name: each.default for each in found} == made.Config().model_dump(mode="json")


def test_a_model_tells_its_source_and_what_it_takes(run: Run) -> None:
    code, out, _ = run("models", "kinds", "WALS")
    text = " ".join(out.split())
    assert code == 0
    assert "ICDM 2008" in text
    assert "recommender, for top-n" in text
    assert "factors 64 whole number > 0, ≤ 1000 Length of a vector." in text
    assert "liked_from none number or none" in text
    code, out, _ = run("models", "kinds", "vs-knn", "--json")
    found = json.loads(out)
    parameters = {each["name"]: each for each in found["parameters"]}
    assert code == 0
    assert found["kind"] == "session model"
    assert parameters["similarity"]["type"] == "dot, cosine"
    assert parameters["k"] == {
        "name": "k",
        "type": "whole number > 0",
        "default": 500,
        "about": "Neighbours: the most similar sessions of the sample.",
    }
    code, out, _ = run("models", "kinds", "popularity")
    assert "it has no hyperparameters" in out


def test_a_model_that_there_is_not(run: Run) -> None:
    code, out, err = run("models", "kinds", "walz")
    assert (code, out) == (2, "")
    assert "there is no model 'walz'; did you mean wals? known are popularity" in err


def test_what_is_not_installed_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands in for an installation without the extra `train`; there the import fails in the same place."""
    whole = models.import_module

    def without_torch(name: str) -> object:
        if name.endswith(".gru4rec"):
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
        return whole(name)

    monkeypatch.setattr(models, "import_module", without_torch)
    monkeypatch.setattr(kinds, "find_spec", lambda name: None if name == "implicit" else name)
    found = {each.name: each for each in model_kinds()}
    assert found["gru4rec"].missing == (
        'gru4rec needs torch, which is not installed; pip install "streamrec[train]"'
    )
    assert found["gru4rec"].about.startswith("GRU4Rec")
    assert found["wals"].missing == model_kind("wals").missing
    assert "wals is trained by implicit, which is not installed" in str(found["wals"].missing)
    assert [each for each in found if found[each].missing] == ["gru4rec", "bpr", "wals"]
    with pytest.raises(ConfigError, match="needs torch"):
        hyperparameters("gru4rec")
    code, out, err = run("models", "kinds", "gru4rec")
    assert code == 0
    assert "session-based next-item scores" in out
    assert "needs torch" in err
