"""The least rights, and the commands that grant them."""

import shlex

import pytest

from streamrec.config import KafkaSettings
from streamrec.rights import ROLES, Right, acl_commands, rights

KAFKA = KafkaSettings(prefix="shop.")


@pytest.mark.parametrize("role", ROLES)
def test_every_role_has_rights_under_the_prefix_each_once(role: str) -> None:
    wanted = rights(KAFKA, role)
    assert wanted
    assert len(set(wanted)) == len(wanted)
    assert all(right.name.startswith("shop.") for right in wanted)
    assert not any(right.operation in ("ALL", "CLUSTER_ACTION") for right in wanted)


def test_the_apps_change_nothing_but_their_outputs() -> None:
    def changed(role: str) -> set[str]:
        return {right.name for right in rights(KAFKA, role) if right.operation not in ("READ", "DESCRIBE")}

    assert changed("state") == {"shop.visitor-states", "shop.dead-letters", "shop.visitor-states-"}
    assert changed("scoring") == {"shop.recommendations", "shop.shadow-recommendations"}
    assert changed("reader") == changed("archive") == set()
    assert changed("evaluation") == {"shop.models"}, "the guard takes versions back"


def test_a_reader_may_name_its_group() -> None:
    assert Right("READ", "GROUP", "my-app") in rights(KAFKA, "reader", group="my-app")


def _granted(command: str) -> set[Right]:
    """What kafka-acls.sh would grant, read from its arguments."""
    program, *words = shlex.split(command)
    assert program == "kafka-acls.sh"
    options: dict[str, list[str]] = {}
    for word in words:
        if word.startswith("--"):
            values = options.setdefault(word, [])
        else:
            values.append(word)
    assert options.pop("--bootstrap-server") == ["k:9092"]
    assert options.pop("--allow-principal") == ["User:o'neill"]
    assert options.pop("--add") == []
    prefixed = options.pop("--resource-pattern-type", ["literal"]) == ["prefixed"]
    operations = options.pop("--operation")
    [(option, [name])] = options.items()
    resource = {"--topic": "TOPIC", "--group": "GROUP", "--transactional-id": "TRANSACTIONAL_ID"}[option]
    spelled = {"AlterConfigs": "ALTER_CONFIGS"}
    return {Right(spelled.get(each, each.upper()), resource, name, prefixed) for each in operations}


@pytest.mark.parametrize("role", ROLES)
def test_the_commands_grant_what_the_table_says(role: str) -> None:
    commands = acl_commands(rights(KAFKA, role), "o'neill", "k:9092")
    assert set().union(*map(_granted, commands)) == set(rights(KAFKA, role))
