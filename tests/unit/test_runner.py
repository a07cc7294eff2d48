"""What a worker says when it ends."""

import subprocess
import sys

import pytest

PROGRAM = """
import logging
from aiokafka.errors import OutOfOrderSequenceNumber
from streamrec.engine.runner import fatal
from streamrec.errors import ConfigError
logging.basicConfig()
fatal({})
"""


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        ("OutOfOrderSequenceNumber()", 1, "error: Kafka failed: OutOfOrderSequenceNumber"),
        ("ConfigError('partitions=0: at least 1')", 2, "error: partitions=0: at least 1"),
    ],
)
def test_what_was_to_be_reckoned_with_is_one_line(error: str, code: int, says: str) -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM.format(error)], capture_output=True, text=True)
    assert ended.returncode == code
    assert ended.stderr.startswith(says)
    assert len(ended.stderr.splitlines()) == 1


def test_a_bug_is_shown_with_its_traceback() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM.format("KeyError('a bug')")], capture_output=True, text=True
    )
    assert ended.returncode == 70
    assert "KeyError: 'a bug'" in ended.stderr
