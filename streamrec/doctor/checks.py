"""Checks of what the stream stands on: brokers, clocks, disks, packages and the live model.

In: facts and settings. Out: findings. Pure, as are those of `flow_checks`.
"""

from collections.abc import Iterator
from typing import Final

from packaging.specifiers import SpecifierSet

from streamrec.config import Settings
from streamrec.doctor.facts import Cluster, Disk, Facts, Package, RegistryFolder, Unknown
from streamrec.doctor.report import Finding, Outcome

__all__ = [
    "check_brokers",
    "check_clock",
    "check_disks",
    "check_model",
    "check_packages",
    "check_recommenders",
]

_OK, _WARNING, _FAILED = Outcome

# Tests run on 4.1; from 2.8 on topics have ids, without which rows cannot be told to belong to another input.
_TESTED_KAFKA: Final = (4, 1)
_OLDEST_KAFKA: Final = (2, 8)
_FEATURES: Final = ("metadata.version", "transaction.version")
_SLOW_ANSWER_S: Final = 1.0
_CLOCK_S: Final = 5.0
_GIB: Final = 1 << 30
_LITTLE_ROOM: Final = 5 * _GIB
_NO_ROOM: Final = _GIB // 4
# A vocabulary that fills fewer lists than this has been trained on next to nothing.
_LISTS: Final = 10


def check_brokers(facts: Facts, settings: Settings) -> Iterator[Finding]:
    """Whether every address answers, and whether the brokers are enough and fit."""
    silent = [f"{address} ({fault})" for address, fault in facts.addresses.items() if fault is not None]
    kafka = facts.kafka
    if isinstance(kafka, Unknown):
        where = ", ".join(silent) if silent else f"{settings.kafka.bootstrap}: {kafka.why}"
        yield Finding(
            "broker",
            _FAILED,
            f"no Kafka at {where}; topics, rows, workers and the live model could not be looked at",
            "set STREAMREC_KAFKA__BOOTSTRAP=host:port, or start one with `streamrec broker`",
        )
        return
    if silent:
        yield Finding(
            "broker",
            _WARNING,
            f"no answer from {', '.join(silent)}; {len(facts.addresses) - len(silent)} others answer",
            "start that broker, or take it out of STREAMREC_KAFKA__BOOTSTRAP",
        )
    if isinstance(kafka.cluster, Unknown):
        yield Finding("broker", _WARNING, f"what it is could not be asked: {kafka.cluster.why}")
    else:
        yield _cluster(kafka.cluster, settings)


def _cluster(cluster: Cluster, settings: Settings) -> Finding:
    version = ".".join(map(str, cluster.version))
    replication = settings.kafka.replication
    if cluster.version < _OLDEST_KAFKA:
        oldest = ".".join(map(str, _OLDEST_KAFKA))
        return Finding(
            "broker", _FAILED, f"Kafka {version}: {oldest} is the oldest that will do", "upgrade Kafka"
        )
    if cluster.controller is None:
        return Finding(
            "broker",
            _FAILED,
            "there is no controller: topics cannot be made or changed",
            "start the controllers",
        )
    if cluster.brokers < replication:
        return Finding(
            "broker",
            _FAILED,
            f"STREAMREC_KAFKA__REPLICATION={replication}, but {cluster.brokers} broker(s) take part",
            f"start more brokers, or set STREAMREC_KAFKA__REPLICATION={max(1, cluster.brokers)}",
        )
    levels = ", ".join(f"{name} {cluster.features[name]}" for name in _FEATURES if name in cluster.features)
    text = (
        f"Kafka {version}, {cluster.brokers} broker(s), controller {cluster.controller}, "
        f"answers in {cluster.answer_s * 1000:.0f} ms" + (f"; {levels}" if levels else "")
    )
    if cluster.answer_s > _SLOW_ANSWER_S:
        return Finding(
            "broker", _WARNING, f"{text}: slow", "look at the brokers' load and the network between"
        )
    if cluster.version[0] != _TESTED_KAFKA[0]:
        tested = ".".join(map(str, _TESTED_KAFKA))
        return Finding("broker", _WARNING, f"{text}; streamrec is tested with {tested}")
    if cluster.brokers >= 3 and replication == 1:
        return Finding(
            "broker",
            _WARNING,
            f"{text}, and yet every record has one copy: with its broker the rows are lost",
            "set STREAMREC_KAFKA__REPLICATION=3 before the topics are made",
        )
    return Finding("broker", _OK, text)


def check_clock(facts: Facts, settings: Settings) -> Iterator[Finding]:
    """Whether this machine and the cluster's controller agree on the time."""
    if isinstance(facts.kafka, Unknown):
        return
    clock = facts.kafka.clock
    if isinstance(clock, Unknown):
        yield Finding("clock", _WARNING, f"Kafka's clock could not be asked: {clock.why}")
        return
    off_s = abs(clock.ahead_s)
    how = f"{off_s:.2f} s {'behind' if clock.ahead_s > 0 else 'ahead of'} Kafka's controller"
    if off_s - clock.within_s > _CLOCK_S:
        yield Finding(
            "clock",
            _WARNING,
            f"this machine's clock is {how}: freshness is measured wrong by as much, and what apps send "
            f"from here may be refused as future (more than {settings.state.max_future_s} s) or late",
            "set both clocks by NTP (`timedatectl` shows whether it is on)",
        )
    else:
        yield Finding("clock", _OK, f"{how}, give or take {clock.within_s * 1000:.0f} ms")


def check_disks(facts: Facts, settings: Settings) -> Iterator[Finding]:
    """Whether there is room for models and for what the brokers keep."""
    registry = facts.registry
    if isinstance(registry, Unknown):
        yield Finding(
            "disk",
            _FAILED,
            f"the registry {settings.registry.path} cannot be looked at: {registry.why}",
            "set STREAMREC_REGISTRY__PATH",
        )
    else:
        yield _registry(registry)
    if isinstance(facts.kafka, Unknown):
        return
    disks = facts.kafka.disks
    if isinstance(disks, Unknown):
        yield Finding("disk", _WARNING, f"the brokers' disks could not be asked for: {disks.why}")
    else:
        for disk in disks:
            yield _room(disk, "Kafka stops when it is full: add room, or lower retention.ms of interactions")


def _registry(registry: RegistryFolder) -> Finding:
    if registry.disk is None:
        return Finding("disk", _OK, f"the registry {registry.path} answers")
    found = _room(registry.disk, "remove versions that are neither live nor named by rows")
    if found.outcome is not _OK or registry.writable:
        return found
    return Finding("disk", _OK, f"{found.finding}; it cannot be written to, which only training needs")


def _room(disk: Disk, remedy: str) -> Finding:
    if disk.fault is not None:
        return Finding(
            "disk", _FAILED, f"{disk.place} does not work: {disk.fault}", "look at the broker's log"
        )
    if disk.free_bytes < 0:
        return Finding("disk", _WARNING, f"{disk.place}: how much is free is not told")
    text = f"{disk.place}: {disk.free_bytes / _GIB:.1f} of {disk.total_bytes / _GIB:.1f} GiB free"
    if disk.free_bytes < _NO_ROOM:
        return Finding("disk", _FAILED, text, remedy)
    # A small disk is little used: a tenth of it is room as well.
    if disk.free_bytes < min(_LITTLE_ROOM, disk.total_bytes / 10):
        return Finding("disk", _WARNING, text, remedy)
    return Finding("disk", _OK, text)


def check_packages(facts: Facts, settings: Settings) -> Iterator[Finding]:
    """Whether what is installed is what streamrec was tested with."""
    if isinstance(facts.packages, Unknown):
        yield Finding("versions", _WARNING, f"could not be looked up: {facts.packages.why}")
        return
    wrong = [finding for package in facts.packages if (finding := _package(package)) is not None]
    yield from wrong
    if not wrong:
        named = ("Python", "faust-streaming", "aiokafka", "kafka-python", "onnxruntime", "river")
        versions = [f"{each.name} {each.installed}" for each in facts.packages if each.name in named]
        rest = len(facts.packages) - len(versions)
        yield Finding("versions", _OK, f"{', '.join(versions)} and {rest} others as they have to be")


def _package(package: Package) -> Finding | None:
    """What is wrong with a package; None if nothing is."""
    name, installed, tested = package.name, package.installed, package.tested
    wanted = f"=={max(tested)}" if tested else package.wanted
    install = f'pip install "{name}{wanted}"'
    if installed is None:
        return Finding("versions", _FAILED, f"{name} is not installed", install)
    if tested and installed not in tested:
        text = f"{name} {installed}: workers only start with {', '.join(sorted(tested))}"
        return Finding("versions", _FAILED, text, install)
    if SpecifierSet(package.wanted).contains(installed, prereleases=True):
        return None
    remedy = install if name != "Python" else "install another Python, and streamrec anew"
    return Finding("versions", _WARNING, f"{name} {installed} is not {package.wanted}", remedy)


def check_recommenders(facts: Facts, settings: Settings) -> Iterator[Finding]:
    """Whether the recommenders that the settings name as sources of lists work on this machine."""
    if isinstance(facts.recommenders, Unknown):
        yield Finding("model", _WARNING, f"recommenders could not be looked at: {facts.recommenders.why}")
        return
    for name, model in facts.recommenders.items():
        if model.fault is None:
            text = f"{name} {model.version}: whole, {model.n_items:,} items (loaded in {model.load_s:.1f} s)"
            yield Finding("model", _OK, text)
        else:
            yield Finding(
                "model",
                _FAILED,
                f"{name} {model.version} is to be a source of lists, but {model.fault}",
                f"name a version in STREAMREC_SCORING__RECOMMENDERS that {settings.registry.path} has whole "
                "and signed; `streamrec train recommender` makes one",
            )


def check_model(facts: Facts, settings: Settings) -> Iterator[Finding]:
    """Whether there is a live version, and whether it works on this machine."""
    if isinstance(facts.kafka, Unknown):
        return
    model = facts.model
    if isinstance(model, Unknown):
        yield Finding("model", _WARNING, f"the live version could not be looked at: {model.why}")
    elif model is None and not settings.scoring.weights.get("gru4rec"):
        yield Finding("model", _OK, "nothing is released, and STREAMREC_SCORING__WEIGHTS asks for none")
    elif model is None:
        yield Finding(
            "model",
            _WARNING,
            "nothing is released: lists come from online factorisation and popularity alone",
            _release(facts),
        )
    elif model.fault is not None:
        yield Finding(
            "model",
            _FAILED,
            f"{model.version} is live, but {model.fault}",
            f"have a whole, signed copy of it in {settings.registry.path} and its key among "
            "STREAMREC_REGISTRY__TRUSTED_KEYS, or `streamrec models release` another",
        )
    elif model.n_items < _LISTS * settings.scoring.k:
        yield Finding(
            "model",
            _WARNING,
            f"{model.version} knows {model.n_items} items only, and lists have {settings.scoring.k}",
            "streamrec train gru4rec --from-topic --release",
        )
    else:
        yield Finding(
            "model",
            _OK,
            f"{model.version} is live: whole, {model.n_items:,} items, gives what it gave in training "
            f"(loaded in {model.load_s:.1f} s)",
        )


def _release(facts: Facts) -> str:
    if isinstance(facts.registry, RegistryFolder) and facts.registry.versions:
        return "streamrec models release"
    return "streamrec train gru4rec --from-topic --release"
