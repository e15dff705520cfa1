"""The reference page says what the docstrings say, and lists what is there."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from live import PATIENCE, ROOT

TOOL = ROOT / "python" / "tools" / "reference.py"
sys.path.insert(0, str(TOOL.parent))

import reference  # noqa: E402


def test_page_is_fresh() -> None:
    done = subprocess.run([sys.executable, str(TOOL), "--check"], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("module", reference.MODULES)
def test_page_lists_what_is_there(module: str) -> None:
    page = (ROOT / "docs" / "reference" / "python.md").read_text()
    for name in importlib.import_module(module).__all__:
        found = getattr(importlib.import_module(module), name)
        assert f"### {name}\n" in page, name
        if isinstance(found, type) and not issubclass(found, Exception):
            for member in (m for m in dir(found) if not m.startswith("_")):
                assert f"#### {name}.{member}\n" in page or f"- `{member}" in page, f"{name}.{member}"


def test_stale_page_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "fraiseql"
    (package / "integrations").mkdir(parents=True)
    (package / "subscriptions.py").write_text(
        '"""About."""\n__all__ = ["f"]\ndef f(a: int, /, b: str = "x", *, c: bool = False) -> None:\n'
        '    """Does it.\n\n    Args:\n        a: First,\n            on two lines.\n\n'
        '    Raises:\n        ValueError: Never.\n    """\n'
    )
    for name in ("fastapi", "starlette", "asgi", "adapter"):
        (package / "integrations" / f"{name}.py").write_text("__all__ = []\n")
    page = reference.page(tmp_path)
    assert "```python\nf(a: int, /, b: str = 'x', *, c: bool = False) -> None\n```" in page
    assert "Does it.\n\n**Arguments**\n\n- `a`: First,\n  on two lines.\n\n**Raises**\n\n- `ValueError`: Never." in page
    monkeypatch.setattr(reference, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(sys, "argv", ["reference.py", "--check"])
    with pytest.raises(SystemExit, match="stale"):
        reference.main()
    monkeypatch.setattr(sys, "argv", ["reference.py"])
    reference.main()
    monkeypatch.setattr(sys, "argv", ["reference.py", "--check"])
    reference.main()
