"""Does what the guides say, to the letter."""

from __future__ import annotations

from pathlib import Path

import pytest
from live import ROOT
from pages import Reader, parse

# Those of the server are followed by the tests in Go.
NAMES = ("python*.md", "move-from-*.md", "redis-*.md")
GUIDES = [ROOT / "python" / "README.md", *sorted(page for name in NAMES for page in (ROOT / "docs" / "guides").glob(name))]

pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_guide(page: Path, tmp_path: Path) -> None:
    with Reader(page, tmp_path) as reader:
        assert reader.follow() >= 3, "are the comments in order?"


def test_every_guide_is_found() -> None:
    assert {page.name for page in GUIDES} >= {"python.md", "python-resolvers.md", "move-from-strawberry-or-ariadne.md"}


def test_steps_are_told_from_text() -> None:
    document = "text\n<!-- file a.py -->\n```python\nx = 1\n```\n```sh\nnever run\n```\n\n```python\ny = 2\n```\n"
    document += "<!-- output -->\n```text\n2\n```\n"
    assert [(step.verb, step.name, step.line) for step in parse(document)] == [
        ("file", "a.py", 4),
        ("python", "", 11),
        ("output", "", 15),
    ]
    with pytest.raises(AssertionError, match="line 2: no fenced block"):
        parse("<!-- run -->\ntext\n```sh\nx\n```")
    with pytest.raises(AssertionError, match="line 1: the block does not end"):
        parse("```python\nx = 1\n")
