"""The audit fails on what it finds, and says so where it could not look."""

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def report(*packages: dict[str, Any]) -> str:
    """What pip-audit prints with --format json."""
    return json.dumps({"dependencies": packages, "fixes": []})


SOUND = {"name": "sound", "version": "1.0", "vulns": []}
HOLED = {
    "name": "holed",
    "version": "2.0",
    "vulns": [{"id": "CVE-2026-1", "fix_versions": ["2.1"], "aliases": [], "description": "a hole"}],
}
UNKNOWN = {"name": "unknown", "skip_reason": "Dependency not found"}


@pytest.mark.parametrize(
    ("out", "err", "code", "said"),
    [
        (report(SOUND), "", 0, "no known vulnerability in 1 of 1 packages"),
        (report(SOUND, UNKNOWN), "", 0, "no known vulnerability in 1 of 2 packages"),
        (report(SOUND, HOLED), "", 1, "holed 2.0: CVE-2026-1, mended in 2.1"),
        (report(UNKNOWN), "", 0, "SKIPPED, the vulnerability database knows none"),
        ("", "Traceback\nrequests.exceptions.ConnectionError: no route", 0, "SKIPPED, .* cannot be reached"),
        ("", "requests.exceptions.ReadTimeout: 5 s", 0, "SKIPPED"),
        ("", "ERROR: requirement has no hash", 1, "pip-audit failed:\nERROR: requirement has no hash"),
        ("", "a ConnectionError in passing", 1, "pip-audit failed"),
    ],
)
def test_the_verdict(audit: ModuleType, out: str, err: str, code: int, said: str) -> None:
    found, message = audit.verdict(out, err)
    assert found == code
    assert re.search(said, message)


def test_what_pip_audit_cannot_read_is_no_success(
    audit: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "requirements.txt").write_text("no requirement at all\n")
    assert audit.main([str(tmp_path / "requirements.txt")]) == 1
    assert "pip-audit failed" in capsys.readouterr().out


def test_every_accepted_vulnerability_has_a_reason(audit: ModuleType) -> None:
    assert all(reason.strip() for reason in audit.ACCEPTED.values())
