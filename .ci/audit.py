"""Known vulnerabilities of the pinned packages: `python .ci/audit.py REQUIREMENTS...`.

Asks the OSV database through pip-audit. Exit code 1 if a package has a vulnerability that is not
accepted below, or if pip-audit itself fails; where the database cannot be reached it says so and
lets pass, so that work goes on without a network.
"""

import json
import re
import subprocess  # nosec B404 # runs pip-audit
import sys
from collections.abc import Mapping, Sequence
from typing import Final

ACCEPTED: Final[Mapping[str, str]] = {}
"""Ids of vulnerabilities we live with, and why."""

_UNREACHABLE: Final = re.compile(
    r"^\S*\b(ConnectionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError)\b", re.MULTILINE
)
_TIMEOUT_S: Final = 5


def verdict(out: str, err: str) -> tuple[int, str]:
    """Exit code and what to say, from what pip-audit printed."""
    try:
        packages = json.loads(out)["dependencies"]
    except (ValueError, KeyError):
        if _UNREACHABLE.search(err):
            return 0, "audit: SKIPPED, the vulnerability database cannot be reached"
        return 1, f"audit: pip-audit failed:\n{err}"
    found = [
        f"  {each['name']} {each['version']}: {fault['id']}, mended in "
        f"{', '.join(fault['fix_versions']) or 'no version yet'}"
        for each in packages
        for fault in each.get("vulns", ())
    ]
    if found:
        advice = "audit: known vulnerabilities; raise the pins, or accept them with a reason:"
        return 1, "\n".join([advice, *found])
    known = sum("vulns" in each for each in packages)
    if not known:
        return 0, "audit: SKIPPED, the vulnerability database knows none of the packages"
    return 0, f"audit: no known vulnerability in {known} of {len(packages)} packages"


def main(files: Sequence[str]) -> int:
    """Audit requirements files; returns the exit code."""
    done = subprocess.run(  # noqa: S603  # nosec B603 # our own command line
        [
            *(sys.executable, "-m", "pip_audit", "--disable-pip", "--vulnerability-service", "osv"),
            *("--format", "json", "--progress-spinner", "off", "--timeout", str(_TIMEOUT_S)),
            *(option for file in files for option in ("--requirement", file)),
            *(option for accepted in ACCEPTED for option in ("--ignore-vuln", accepted)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    code, message = verdict(done.stdout, done.stderr)
    print(message)  # noqa: T201
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
