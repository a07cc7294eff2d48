"""From settings to a report: what to ask, for how long, and which checks to read it with."""

from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import partial
from itertools import chain
from typing import Any, Final

from streamrec.access import addresses
from streamrec.config import Settings
from streamrec.doctor.asking import answer, answers, ask
from streamrec.doctor.checks import (
    check_brokers,
    check_clock,
    check_disks,
    check_model,
    check_packages,
    check_recommenders,
)
from streamrec.doctor.facts import Facts, KafkaFacts, Known, Model, Unknown
from streamrec.doctor.flow_checks import check_rights, check_rows, check_topics, check_workers
from streamrec.doctor.kafka_facts import ask_kafka, knock
from streamrec.doctor.local_facts import find_packages, load_model, load_recommenders, look_at_registry
from streamrec.doctor.report import Finding, Report

__all__ = ["examine", "gather"]

# Their sum, with _LOCAL_S three times, bounds how long the doctor takes: 20 s. Each alone is far above what a
# healthy system needs.
_NAME_S: Final = 1.0
_CONNECT_S: Final = 2.0
_KAFKA_S: Final = 8.0
_MODEL_S: Final = 6.0
_LOCAL_S: Final = 1.0

_CHECKS: Final[tuple[Callable[[Facts, Settings], Iterator[Finding]], ...]] = (
    check_brokers,
    check_clock,
    check_rights,
    check_topics,
    check_rows,
    check_workers,
    check_model,
    check_recommenders,
    check_disks,
    check_packages,
)


def gather(settings: Settings) -> Facts:
    """Ask Kafka and this machine; takes 20 s at most, whatever hangs. Raises nothing of theirs."""
    asked_packages = ask(find_packages)
    asked_recommenders = ask(partial(load_recommenders, settings))
    asked_registry = ask(partial(look_at_registry, settings))
    knocking = {address: ask(partial(knock, address, _CONNECT_S)) for address in addresses(settings.kafka)}
    reached = {
        address: fault.why if isinstance(fault, Unknown) else fault
        for address, fault in answers(knocking, _NAME_S + _CONNECT_S).items()
    }
    kafka = Unknown("no address answers") if all(reached.values()) else _kafka(settings)
    model = _model(settings, kafka)
    # Asked first, they have had the time of all the others.
    recommenders = answer(asked_recommenders, _LOCAL_S)
    registry, packages = answer(asked_registry, _LOCAL_S), answer(asked_packages, _LOCAL_S)
    return Facts(reached, kafka, model, registry, packages, recommenders)


def _kafka(settings: Settings) -> Known[KafkaFacts]:
    """What Kafka has said in time; Unknown if that is nothing."""
    found: dict[str, Any] = {}
    fault = answer(ask(partial(ask_kafka, settings, found)), _KAFKA_S)
    if fault is not None and not found:
        return fault
    missing = dict.fromkeys((field.name for field in fields(KafkaFacts)), fault)
    return KafkaFacts(**{**missing, "denied": frozenset(), **found})


def _model(settings: Settings, kafka: Known[KafkaFacts]) -> Known[Model | None]:
    if isinstance(kafka, Unknown):
        return kafka
    if isinstance(kafka.releases, Unknown):
        return kafka.releases
    live = kafka.releases.get("gru4rec/live")
    if live is None:
        return None
    return answer(ask(partial(load_model, settings, live)), _MODEL_S)


def examine(facts: Facts, settings: Settings) -> Report:
    """Judge what was found. Without Kafka only what is on this machine can be judged."""
    return Report(tuple(chain.from_iterable(check(facts, settings) for check in _CHECKS)))
