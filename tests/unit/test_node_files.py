"""Nodes in YAML files: what is no node is refused with the file's name."""

from pathlib import Path

import pytest

from streamrec.errors import ConfigError
from streamrec.models import recommender_of
from streamrec.models.wals import WALSConfig
from streamrec.node_files import load_node
from streamrec.nodes import asked_for


def written(folder: Path, text: str) -> Path:
    path = folder / "node.yaml"
    path.write_text(text, "utf-8")
    return path


def test_a_node_is_a_recommender_with_its_hyperparameters(tmp_path: Path) -> None:
    node = load_node(written(tmp_path, "model: wals\nfactors: 7  # few\n"))
    assert node == {"model": "wals", "factors": 7}
    assert recommender_of(node).config == WALSConfig(factors=7)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("model: [wals", "cannot be read as YAML"),
        ("model: !!python/object:os.system {}", "cannot be read as YAML"),
        ("[" * 5000, "cannot be read as YAML"),
        ("- wals\n- bpr\n", "holds no node: `model: NAME` is wanted"),
        ("", "holds no node"),
        ("model: wals\nsince: 2026-01-01\n", "holds what is no part of a node: .*date"),
        ("&it\nmodel: weighted_hybrid\nparts: [{node: *it}]\n", "holds what is no part of a node: Circular"),
    ],
)
def test_what_is_no_node_is_refused(text: str, fault: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"node\.yaml {fault}"):
        load_node(written(tmp_path, text))


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml cannot be read: No such file"):
        load_node(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"bytes\.yaml cannot be read"):
        load_node(tmp_path / "bytes.yaml")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("factors: 7\n", r"node\.yaml names no model: `model: NAME` is wanted"),
        ("model: 7\n", r"node\.yaml names no model"),
        ("model: {name: wals}\n", r"node\.yaml names no model"),
        ("model: walls\n", r"node\.yaml: there is no model 'walls'"),
        (
            "model: wals\nfactors: -7\n",
            r"node\.yaml: wals cannot be configured like this:\n  factors: .*, not -7",
        ),
        (
            "model: weighted_hybrid\nparts: [{node: {model: wals, factor: 7}}]\n",
            r"node\.yaml: weighted_hybrid cannot .*:\n  parts\.0\.node\.factor: there is no such parameter",
        ),
    ],
)
def test_a_node_that_makes_no_model_is_refused(text: str, fault: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=fault):
        load_node(written(tmp_path, text))


def test_a_hybrid_of_parts_that_make_lists_may_leave_its_task_to_who_trains_it(tmp_path: Path) -> None:
    node = load_node(written(tmp_path, "model: weighted_hybrid\nparts: [{node: {model: wals}}]\n"))
    with pytest.raises(ConfigError, match="set task: top-n to make lists of them"):
        recommender_of(node)
    assert recommender_of(asked_for(node, "top-n")).tasks
    with pytest.raises(ConfigError, match=r"(?s)node\.yaml: weighted_hybrid cannot .* set task: top-n"):
        load_node(written(tmp_path, "model: weighted_hybrid\ntask: rating\nparts: [{node: {model: wals}}]\n"))


def test_a_session_model_is_written_in_the_same_way(tmp_path: Path) -> None:
    assert load_node(written(tmp_path, "model: VS-KNN\nk: 5\n")) == {"model": "vs_knn", "k": 5}


def test_nodes_that_lie_too_deep_are_refused(tmp_path: Path) -> None:
    text = "{model: weighted_hybrid, task: top-n, parts: [{node: " * 300 + "wals" + "}]}" * 300
    with pytest.raises(ConfigError, match=r"node\.yaml"):
        load_node(written(tmp_path, text))
