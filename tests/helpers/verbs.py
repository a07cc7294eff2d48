"""A verb of the command line, run in this process."""

from collections.abc import Callable

import pytest

from streamrec.cli import main
from streamrec.config import Settings

Run = Callable[..., tuple[int, str, str]]
"""The arguments -> exit code, output, errors."""


def runner(capsys: pytest.CaptureFixture[str]) -> Run:
    """What runs verbs and keeps what they print."""

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert isinstance(caught.value.code, int)
        out, err = capsys.readouterr()
        return caught.value.code, out, err

    return run


def under(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have verbs of this process run with settings."""
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
