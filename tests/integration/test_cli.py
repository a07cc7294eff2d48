"""The verbs that need a broker, as a user runs them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from streamrec.cli import main
from streamrec.config import KafkaSettings, Settings
from streamrec.engine.broker import Broker
from streamrec.topics import connect, topic_specs


@pytest.fixture
def fresh(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The environment of a user whose topics are still to be made."""
    kafka = settings.kafka.model_copy(update={"prefix": f"{settings.kafka.prefix}cli."})
    for name in ("bootstrap", "prefix", "partitions"):
        monkeypatch.setenv(f"STREAMREC_KAFKA__{name.upper()}", str(getattr(kafka, name)))
    return settings.model_copy(update={"kafka": kafka})


def _run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert isinstance(caught.value.code, int)
    return caught.value.code, capsys.readouterr().out


def _run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    code, out = _run(capsys, *arguments, "--json")
    return code, json.loads(out)


def test_topics_are_made_checked_mended_and_described(
    fresh: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [spec.name for spec in topic_specs(fresh)]
    code, problems = _run_json(capsys, "topics", "check")
    assert code == 1
    assert [problem["topic"] for problem in problems] == names

    assert _run_json(capsys, "topics", "create") == (0, {"created": names})
    assert _run_json(capsys, "topics", "check") == (0, [])
    code, out = _run(capsys, "topics", "create")
    assert code == 0
    assert f"{len(names)} topics were there already" in out

    code, described = _run_json(capsys, "topics", "describe")
    assert code == 0
    assert [(topic["name"], topic["partitions"]) for topic in described] == [
        (spec.name, spec.partitions) for spec in topic_specs(fresh)
    ]
    code, out = _run(capsys, "topics", "describe")
    assert code == 0
    assert "min.compaction.lag.ms=3600000" in out.replace("\n", "").replace(" ", "")

    assert _run(capsys, "topics", "mend") == (0, "nothing to mend\n")


def test_what_differs_is_a_table_and_exit_code_1(
    fresh: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _run(capsys, "topics", "create")
    monkeypatch.setenv("STREAMREC_KAFKA__COMPACTION_LAG_S", "60")
    code, out = _run(capsys, "topics", "check")
    assert code == 1
    assert "how to mend it" in out
    code, out = _run(capsys, "topics", "mend")
    assert code == 0
    assert "min.compaction.lag.ms was 3600000, is now 60000" in out
    assert _run(capsys, "topics", "check")[0] == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_broker_verb_runs_until_it_is_told_to_stop(
    broker: object, number: signal.Signals, tmp_path: Path
) -> None:
    if not isinstance(broker, Broker):
        pytest.skip("a broker of somebody else's is used")
    command = [sys.executable, "-m", "streamrec.cli", "broker", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        place = json.loads(process.stdout.readline())
        with connect(KafkaSettings(bootstrap=place["bootstrap"])) as admin:
            assert admin.list_topics() == []
        process.send_signal(number)
        assert process.wait(30) == 0
        assert process.stderr.read() == "stopped\n"
    with pytest.raises(ProcessLookupError):
        os.kill(place["pid"], 0)
    assert not Path(place["data_dir"]).exists()
