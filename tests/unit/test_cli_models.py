"""`streamrec train` and `streamrec models` without a broker."""

import json
import re
import shlex
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from session_models import Published, ring_sessions
from verbs import Run, runner

from streamrec.artifact import MANIFEST, SIGNATURE
from streamrec.datasets import make_clicks, write_clicks
from streamrec.events import Verdict, Window
from streamrec.gate.page import write_page
from streamrec.registry import Registry
from streamrec.signing import SigningKey

SMALL = ["embedding_size=16", "hidden_size=16", "epochs=2", "batch_size=8", "n_sample=16"]
PARAMETERS = [each for value in SMALL for each in ("--param", value)]
DAY_MS = 86_400_000


@pytest.fixture
def registry(tmp_path: Path, signing_key: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    public = SigningKey.load(signing_key).public
    monkeypatch.setenv("STREAMREC_REGISTRY__PATH", str(tmp_path / "registry"))
    monkeypatch.setenv("STREAMREC_REGISTRY__SIGNING_KEY", str(signing_key))
    monkeypatch.setenv("STREAMREC_REGISTRY__TRUSTED_KEYS", json.dumps([public]))
    return Registry(tmp_path / "registry", trusted=[public], signing_key=signing_key)


@pytest.fixture
def run(registry: Registry, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a verb on the registry."""
    return runner(capsys)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Ten days of sessions round the ring."""
    rows = [
        (f"s{number}", item, number * DAY_MS // 20 + 1000 * place)
        for number, session in enumerate(ring_sessions(200))
        for place, item in enumerate(session.items)
    ]
    path = tmp_path / "clicks.tsv.gz"
    write_clicks(path, make_clicks(*zip(*rows, strict=True)))
    return path


@pytest.fixture
def version(registry: Registry, published: Published) -> str:
    registry.publish("gru4rec", "v1", lambda place: published.model.export(place, version="v1"))
    return "v1"


def test_train_from_a_file_measures_what_is_held_out(run: Run, registry: Registry, data: Path) -> None:
    code, out, err = run("train", "gru4rec", "--data", str(data), "--until", "8", *PARAMETERS, "--json")
    assert (code, err) == (0, "")
    made = json.loads(out)
    assert registry.versions("gru4rec") == [made["version"]]
    assert made["release"] is None
    assert made["metrics"]["next_clicks"] > 50
    manifest = json.loads((Path(made["directory"]) / MANIFEST).read_text())
    assert manifest["metrics"] == made["metrics"]
    assert (manifest["data"]["source"], manifest["data"]["sessions"]) == ("clicks.tsv.gz", 160)


def test_train_says_what_it_did_and_how_to_go_on(run: Run, data: Path) -> None:
    code, out, _ = run("train", "gru4rec", "--data", str(data), "--until", "8", *PARAMETERS)
    assert code == 0
    for part in ("trained on", "Recall@20", "published as", "streamrec models release"):
        assert part in out


@pytest.mark.parametrize("options", [[], ["--until", "8", "--no-evaluate"], ["--until", "99"]])
def test_without_held_out_sessions_or_if_so_asked_nothing_is_measured(
    run: Run, data: Path, options: list[str]
) -> None:
    code, out, _ = run("train", "gru4rec", "--data", str(data), *PARAMETERS, *options, "--json")
    assert code == 0
    assert json.loads(out)["metrics"] == {}


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        ([], 2, "--data FILE, --bundled, --from-topic and --from-history"),
        (["--bundled", "--from-topic"], 2, "give one of"),
        (["--bundled", "--param", "epochs"], 2, "--param epochs"),
        (["--bundled", "--param", "epoch=3"], 2, "known are loss, embedding"),
        (["--bundled", "--device", "abacus"], 2, "'abacus'"),
        (["--bundled", "--until", "0"], 1, "the clicks cover 30.0"),
        (["--data", "nowhere.tsv"], 1, "nowhere.tsv"),
    ],
    ids=str,
)
def test_what_cannot_be_trained_is_an_error_in_one_line(
    run: Run, registry: Registry, arguments: list[str], code: int, named: str
) -> None:
    found, out, err = run("train", "gru4rec", *arguments)
    assert (found, out) == (code, "")
    assert named in err
    assert "Traceback" not in err
    assert registry.models() == []


def test_without_torch_training_says_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if "gru4rec" in name]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("streamrec.models.gru4rec", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    code, _, err = run("train", "gru4rec", "--bundled")
    assert code == 2
    assert 'pip install "streamrec[train]"' in err


def test_an_empty_registry_says_how_to_fill_it(run: Run) -> None:
    assert "train one with `streamrec train gru4rec" in run("models", "list")[1]
    for verb in ("show", "verify"):
        code, _, err = run("models", verb)
        assert code == 1
        assert "`streamrec train gru4rec` with --data FILE" in err


def test_without_a_broker_versions_are_listed_with_a_note(
    run: Run, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        monkeypatch.setenv("STREAMREC_KAFKA__BOOTSTRAP", address)
        code, out, err = run("models", "list", "--json")
    assert code == 0
    assert [(row["version"], row["slots"]) for row in json.loads(out)] == [(version, None)]
    assert f"which version is live is not known: no Kafka broker at {address}" in err


def test_without_a_broker_verdicts_are_those_beside_their_pages(
    run: Run, version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict = Verdict(
        model="gru4rec",
        version=version,
        outcome="passed",
        checks=[],
        window=Window(sessions=2000, clicks=8000, digest="a" * 64),
        rules="b" * 64,
        time=0,
        against="v0",
        released=7,
    )
    pages = tmp_path / "pages"
    monkeypatch.setenv("STREAMREC_GATE__PAGES", str(pages))
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("STREAMREC_KAFKA__BOOTSTRAP", f"127.0.0.1:{nobody.getsockname()[1]}")
        assert "passed" not in run("models", "list")[1]
        write_page(pages, verdict)
        (pages / "gru4rec-broken.json").write_text("{")
        assert "passed, release 7" in run("models", "list")[1]
        (row,) = json.loads(run("models", "list", "--json")[1])
    assert (row["slots"], row["verdict"]["against"], row["verdict"]["released"]) == (None, "v0", 7)


def test_in_a_narrow_terminal_a_version_is_whole(
    run: Run, registry: Registry, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "20261122t131714-770b6c67"
    registry.publish("gru4rec", name, lambda place: published.model.export(place, version=name))
    monkeypatch.setenv("COLUMNS", "60")
    assert name in run("models", "list")[1]


def test_versions_are_listed_the_damaged_ones_as_such(run: Run, registry: Registry, version: str) -> None:
    Registry(registry.path).publish("gru4rec", "v2", lambda place: (place / MANIFEST).write_text("{"))
    code, out, _ = run("models", "list", "--json")
    assert code == 0
    whole, damaged = json.loads(out)
    assert (whole["version"], whole["n_items"]) == ("v1", 40)
    assert damaged["version"] == "v2"
    assert "no JSON" in damaged["fault"]
    code, out, _ = run("models", "list")
    assert code == 0
    assert "v1" in out
    assert "v2" in out


def test_a_version_is_shown_with_all_that_its_manifest_says(run: Run, version: str) -> None:
    shown: dict[str, Any] = json.loads(run("models", "show", version, "--json")[1])
    assert (shown["version"], shown["config"]["hidden_size"]) == ("v1", 16)
    assert "probes" not in shown
    assert json.loads(run("models", "show", "--json")[1]) == shown
    out = run("models", "show", version)[1]
    for part in ("config.loss", "cross-entropy", "files.step.onnx", "n_items"):
        assert part in out


def test_verify_loads_and_probes(run: Run, registry: Registry, version: str) -> None:
    code, out, _ = run("models", "verify", version, "--json")
    assert (code, json.loads(out)["probes"]) == (0, 4)
    assert "gives what it gave in training" in run("models", "verify")[1]
    (registry.directory("gru4rec", version) / "bias.npy").write_bytes(b"")
    code, _, err = run("models", "verify", version)
    assert code == 1
    assert "bias.npy" in err


def test_what_is_not_signed_is_neither_verified_nor_released_until_it_is(
    run: Run, registry: Registry, version: str
) -> None:
    (registry.directory("gru4rec", version) / SIGNATURE).unlink()
    assert [row["signed"] for row in json.loads(run("models", "list", "--json")[1])] == [False]
    for verb in ("verify", "release"):
        code, _, err = run("models", verb, version)
        assert code == 1
        assert f"not signed; if you answer for it: `streamrec models sign {version}`" in err
    assert run("models", "sign", version)[0] == 0
    assert [row["signed"] for row in json.loads(run("models", "list", "--json")[1])] == [True]
    assert run("models", "verify", version)[0] == 0


def test_a_damaged_version_is_not_signed(run: Run, registry: Registry, version: str) -> None:
    directory = registry.directory("gru4rec", version)
    (directory / SIGNATURE).unlink()
    (directory / "step.onnx").write_bytes(b"")
    code, _, err = run("models", "sign", version)
    assert code == 1
    assert "step.onnx" in err
    assert not (directory / SIGNATURE).exists()


def test_a_key_pair_is_made_once_and_works_as_it_is_printed(
    run: Run, registry: Registry, version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "new" / "signing.key"
    code, out, _ = run("models", "keygen", str(key))
    assert code == 0
    for name, value in re.findall(r"export (\w+)=(.*)", out):
        monkeypatch.setenv(name, shlex.split(value)[0])
    assert run("models", "verify", version)[0] == 1
    assert run("models", "sign", version)[0] == 0
    assert run("models", "verify", version)[0] == 0
    code, out, err = run("models", "keygen", str(key))
    assert (code, out) == (2, "")
    assert "keys are not overwritten" in err


@pytest.mark.parametrize("options", [[], ["--release"]])
def test_a_key_that_cannot_be_used_is_found_out_before_training(
    run: Run, data: Path, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMREC_REGISTRY__SIGNING_KEY", "nowhere.key")
    code, _, err = run("train", "gru4rec", "--data", str(data), *options)
    assert code == 2
    assert "nowhere.key" in err
    assert "streamrec models keygen" in err


def test_who_wants_to_release_has_to_be_able_to_sign(
    run: Run, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STREAMREC_REGISTRY__SIGNING_KEY")
    code, _, err = run("train", "gru4rec", "--data", str(data), "--release")
    assert code == 2
    assert "no key to sign with" in err


@pytest.mark.parametrize("name", ["v9", "../v1", ""])
def test_a_version_that_is_not_there_is_named(run: Run, version: str, name: str) -> None:
    for verb in ("show", "verify", "release"):
        code, _, err = run("models", verb, name)
        assert code == 1
        assert repr(name).strip("'") in err
