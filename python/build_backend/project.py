"""What pyproject.toml says, and the metadata made of it.

Python 3.10 has no reader of TOML, so the one here reads what this project's file uses: strings, lists of strings,
tables with plain names. tests/test_packaging.py compares it with tomllib.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

from build_backend.failure import BuildError

Table = dict[str, object]


@dataclass(frozen=True)
class Project:
    """The [project] table with the version filled in."""

    table: Table
    version: str
    readme: str

    @property
    def name(self) -> str:
        """The distribution's name."""
        return str(self.table["name"])

    @property
    def stem(self) -> str:
        """The name and version as archives and the .dist-info folder carry them."""
        return f"{re.sub(r'[-_.]+', '_', self.name).lower()}-{self.version}"

    def metadata(self, licenses: list[str]) -> str:
        """METADATA and PKG-INFO, with the README as the description. licenses: paths in the licenses folder."""
        table = self.table
        lines = ["Metadata-Version: 2.4", f"Name: {self.name}", f"Version: {self.version}"]
        lines.append(f"Summary: {table['description']}")
        lines.extend(f"Project-URL: {label}, {url}" for label, url in _table(table, "urls").items())
        lines.append(f"Keywords: {','.join(_strings(table, 'keywords'))}")
        lines.append(f"License-Expression: {table['license']}")
        lines.extend(f"License-File: {path}" for path in licenses)
        lines.extend(f"Classifier: {text}" for text in _strings(table, "classifiers"))
        lines.append(f"Requires-Python: {table['requires-python']}")
        lines.extend(f"Requires-Dist: {text}" for text in _strings(table, "dependencies"))
        extras = _table(table, "optional-dependencies")
        for extra in sorted(extras):
            lines.append(f"Provides-Extra: {extra}")
            lines.extend(f'Requires-Dist: {text}; extra == "{extra}"' for text in _strings(extras, extra))
        lines.append("Description-Content-Type: text/markdown")
        return "\n".join(lines) + "\n\n" + self.readme


def read(top: Path) -> Project:
    """Reads the project whose pyproject.toml is in top."""
    tables = read_toml((top / "pyproject.toml").read_text(encoding="utf-8"), "project")
    table = _table(tables, "project")
    version = _version(top / "src" / "fraiseql" / "_version.py")
    return Project(table, version, (top / str(table["readme"])).read_text(encoding="utf-8"))


def read_toml(text: str, wanted: str) -> Table:
    """The table called wanted, with the tables in it, as a dict of its name."""
    top: Table = {}
    current: Table | None = None
    pending = ""
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not pending and (not stripped or stripped.startswith("#")):
            continue
        if not pending and stripped.startswith("["):
            current = _open_table(top, stripped.strip("[]").strip(), wanted)
            continue
        if current is None:
            continue
        pending = f"{pending}\n{line}" if pending else line
        key, _, value = pending.partition("=")
        try:
            current[key.strip().strip('"')] = ast.literal_eval(value.strip())
        except SyntaxError:
            if not value.strip().startswith("["):
                raise BuildError(f"pyproject.toml:{number}: cannot read {stripped!r}") from None
            continue
        pending = ""
    if pending:
        raise BuildError("pyproject.toml: a list has no end")
    return top


def _open_table(top: Table, path: str, wanted: str) -> Table | None:
    names = path.split(".")
    if names[0] != wanted:
        return None
    for name in names:
        top = top.setdefault(name, {})  # type: ignore[assignment]
    return top


def _version(path: Path) -> str:
    match = re.search(r'^__version__(?:: [\w.\[\]]+)? = "([^"]+)"$', path.read_text(encoding="utf-8"), re.MULTILINE)
    if match is None:
        raise BuildError(f"{path} does not say __version__")
    return match.group(1)


def _table(table: Table, name: str) -> Table:
    value = table.get(name, {})
    if not isinstance(value, dict):
        raise BuildError(f"pyproject.toml: {name} is not a table")
    return value


def _strings(table: Table, name: str) -> list[str]:
    value = table.get(name, [])
    if not isinstance(value, list):
        raise BuildError(f"pyproject.toml: {name} is not a list")
    return value
