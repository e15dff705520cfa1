"""The source distribution: this folder, the Go sources of libfraiseql in go, their modules in go/vendor."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from build_backend import archive, gotree, native, project

# What is taken of this folder, besides pyproject.toml and the README.
_FOLDERS = ("build_backend", "csrc", "src", "tests")
_SUFFIXES = (".py", ".pyi", ".c", ".h", ".typed", ".txt", ".graphql", ".json")


def build(top: Path, out: Path) -> str:
    """Packs and returns the archive's file name."""
    read = project.read(top)
    files = _own(top)
    files["PKG-INFO"] = read.metadata(["LICENSE"]).encode()
    root = native.go_root(top)
    if root == top / "go":
        files.update({f"go/{path.relative_to(root).as_posix()}": path.read_bytes() for path in _all(root)})
    else:
        files.update(_go(root))
    name = f"{read.stem}.tar.gz"
    out.mkdir(parents=True, exist_ok=True)
    archive.write_tar(out / name, {f"{read.stem}/{path}": content for path, content in files.items()})
    return name


def _own(top: Path) -> dict[str, bytes]:
    paths = [top / name for name in ("pyproject.toml", "README.md")]
    for folder in _FOLDERS:
        paths += [path for path in _all(top / folder) if path.suffix in _SUFFIXES or path.name == "py.typed"]
    files = {path.relative_to(top).as_posix(): path.read_bytes() for path in paths}
    beside = top / "LICENSE"
    files["LICENSE"] = (beside if beside.is_file() else top.parent / "LICENSE").read_bytes()
    return files


def _go(root: Path) -> dict[str, bytes]:
    """The Go files of a checkout that libfraiseql needs, with its modules vendored in a copy."""
    go = native.go_command(root)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        found = gotree.sources(root, go).files
        for name in ("go.mod", "go.sum", "LICENSE"):
            found[name] = root / name
        for name, path in found.items():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy / name)
        gotree.vendor(copy, go)
        return {f"go/{path.relative_to(copy).as_posix()}": path.read_bytes() for path in _all(copy)}


def _all(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
