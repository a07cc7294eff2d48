"""What this machine says: installed packages, the registry, and whether the live model works here."""

import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Final

from packaging.requirements import Requirement

from streamrec.config import Settings
from streamrec.doctor.facts import Disk, Model, Package, RegistryFolder
from streamrec.engine.tested import TESTED
from streamrec.errors import ConfigError, StreamrecError
from streamrec.events import ModelRelease
from streamrec.recommender_artifacts import load_recommender
from streamrec.registry import Registry
from streamrec.scorer import load_step

__all__ = ["find_packages", "load_model", "load_recommenders", "look_at_registry"]

_DISTRIBUTION: Final = "streamrec"
_MODEL: Final = "gru4rec"


def find_packages() -> Sequence[Package]:
    """Python and what serving needs, with the versions that are installed. Raises ConfigError if
    streamrec itself is not installed as a package."""
    try:
        own = metadata.metadata(_DISTRIBUTION)
    except metadata.PackageNotFoundError:
        raise ConfigError(
            "streamrec is not installed as a package; in a checkout `make env` does it"
        ) from None
    found = [Package("Python", own["Requires-Python"], ".".join(map(str, sys.version_info[:3])))]
    for line in metadata.requires(_DISTRIBUTION) or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            found.append(_package(requirement))
    return found


def _package(requirement: Requirement) -> Package:
    try:
        installed = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        installed = None
    return Package(
        requirement.name, str(requirement.specifier), installed, TESTED.get(requirement.name, frozenset())
    )


def look_at_registry(settings: Settings) -> RegistryFolder:
    """The registry's folder and the disk it is on, or will be; an object store, if it answers.

    Raises OSError, ConfigError or StorageError.
    """
    registry, path = Registry.of(settings), settings.registry.path
    versions = frozenset(registry.versions(_MODEL))
    if isinstance(path, str):
        return RegistryFolder(path=path, disk=None, writable=True, versions=versions)
    there = next(each for each in (path, *path.absolute().parents) if each.exists())
    usage = shutil.disk_usage(there)
    return RegistryFolder(
        path=path,
        disk=Disk(str(path), usage.free, usage.total),
        writable=os.access(there, os.W_OK | os.X_OK),
        versions=versions,
    )


def load_model(settings: Settings, release: ModelRelease) -> Model:
    """Verify, load and probe a released version, as the apps do before they serve from it."""
    registry = Registry.of(settings)
    started = time.monotonic()
    try:
        load_step(registry, release.version, release.digest)
        n_items = registry.manifest(release.model, release.version).n_items
    except StreamrecError as error:
        return Model(release.version, fault=str(error))
    return Model(release.version, n_items, time.monotonic() - started)


def load_recommenders(settings: Settings) -> Mapping[str, Model]:
    """Verify, load and probe the recommenders that the settings name, as scoring does when it starts."""
    registry = Registry.of(settings)
    return {
        name: _recommender(registry, name, chosen.version)
        for name, chosen in settings.scoring.recommenders.items()
    }


def _recommender(registry: Registry, name: str, version: str) -> Model:
    started = time.monotonic()
    try:
        n_items = len(load_recommender(registry, name, version).items)
    except StreamrecError as error:
        return Model(version, fault=str(error))
    return Model(version, n_items, time.monotonic() - started)
