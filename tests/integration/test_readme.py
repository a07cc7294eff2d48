"""What the README shows works as it stands there."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from app_processes import read, running

from streamrec.config import Settings

_README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
_SNIPPETS = re.findall(r"^```python\n(.*?)^```$", _README, flags=re.MULTILINE | re.DOTALL)


def test_there_is_one_snippet_for_each_direction_and_each_is_short() -> None:
    assert len(_SNIPPETS) == 2
    assert all(len(snippet.splitlines()) <= 12 for snippet in _SNIPPETS)


@pytest.mark.parametrize("settings", [{"kafka": {"prefix": "streamrec."}}], indirect=True)
def test_a_click_published_as_shown_gives_a_list_read_as_shown(settings: Settings, tmp_path: Path) -> None:
    publish, receive = _SNIPPETS
    environment = {
        **os.environ,
        "STREAMREC_KAFKA__BOOTSTRAP": settings.kafka.bootstrap,
        "PYTHONUNBUFFERED": "1",
    }
    with running("state", settings, tmp_path), running("scoring", settings, tmp_path):
        subprocess.run([sys.executable, "-c", publish], env=environment, check=True, timeout=30)
        read(settings, "recommendations", n=1)
        reader = subprocess.Popen(
            [sys.executable, "-c", receive], env=environment, stdout=subprocess.PIPE, text=True
        )
        try:
            assert reader.stdout is not None
            assert reader.stdout.readline().startswith("visitor-1 asked by ")
        finally:
            reader.kill()
            reader.communicate()


@pytest.mark.parametrize("name", ["publish_click.py", "read_recommendations.py"])
def test_the_examples_are_the_snippets_in_long(name: str) -> None:
    example = (Path(__file__).parents[2] / "examples" / name).read_text(encoding="utf-8")
    assert any(_statements(example) == _statements(snippet) for snippet in _SNIPPETS)


def _statements(code: str) -> list[str]:
    """The code without its layout; one import for each module."""
    tree = ast.parse(code)
    found = []
    for node in tree.body:
        if isinstance(node, ast.Import):
            found.extend(f"import {alias.name}" for alias in node.names)
        else:
            found.append(ast.unparse(node))
    return found
