"""The wheel, the editable wheel and their metadata."""

from __future__ import annotations

import tempfile
from pathlib import Path

from build_backend import archive, gotree, native, project

_TAG = "cp310-abi3"


def build(top: Path, out: Path) -> str:
    """Compiles, packs, and returns the wheel's file name."""
    read = project.read(top)
    with tempfile.TemporaryDirectory() as folder:
        built = native.build(top, Path(folder))
        files = _package(top)
        files[f"fraiseql/{native.MODULE}"] = built.module.read_bytes()
        files[f"fraiseql/{native.LIBRARY}"] = built.library.read_bytes()
        files[f"fraiseql/{native.MEMORY_LIBRARY}"] = built.memory_library.read_bytes()
    return _pack(top, out, read, files, f"{_TAG}-{built.platform}")


def build_editable(top: Path, out: Path) -> str:
    """Compiles into the source tree and packs a path file that points there."""
    read = project.read(top)
    source = top / "src"
    with tempfile.TemporaryDirectory(dir=source / "fraiseql", prefix=".build-") as folder:
        built = native.build(top, Path(folder))
        for path in (built.module, built.library, built.memory_library):
            # A new file in its place: a process that has the old one open keeps it.
            path.replace(source / "fraiseql" / path.name)
    files = {"__editable__.fraiseql_subscriptions.pth": f"{source}\n".encode()}
    return _pack(top, out, read, files, f"{_TAG}-{built.platform}")


def write_metadata(top: Path, out: Path) -> str:
    """Writes the .dist-info folder without RECORD. What a wheel is for is known once it is compiled."""
    native.check_python()
    read = project.read(top)
    info = out / f"{read.stem}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    own = {"licenses/LICENSE": _license(top)}
    for name, content in {**own, "METADATA": read.metadata(["LICENSE"]).encode()}.items():
        path = info / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return info.name


def _pack(top: Path, out: Path, read: project.Project, files: dict[str, bytes], tag: str) -> str:
    info = f"{read.stem}.dist-info"
    root = native.go_root(top)
    licenses = {"LICENSE": _license(top)}
    licenses.update({f"third-party/{k}": v for k, v in gotree.licenses(root, native.go_command(root)).items()})
    files.update({f"{info}/licenses/{name}": content for name, content in licenses.items()})
    files[f"{info}/METADATA"] = read.metadata(sorted(licenses)).encode()
    files[f"{info}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: fraiseql-build-backend {read.version}\nRoot-Is-Purelib: false\nTag: {tag}\n"
    ).encode()
    name = f"{read.stem}-{tag}.whl"
    out.mkdir(parents=True, exist_ok=True)
    archive.write_zip(out / name, files, info)
    return name


def _package(top: Path) -> dict[str, bytes]:
    """The Python files, stubs and py.typed of the package; not what an editable build left."""
    source = top / "src"
    wanted = [path for path in source.rglob("*") if path.suffix in (".py", ".pyi") or path.name == "py.typed"]
    return {path.relative_to(source).as_posix(): path.read_bytes() for path in wanted if path.is_file()}


def _license(top: Path) -> bytes:
    beside = top / "LICENSE"
    return (beside if beside.is_file() else top.parent / "LICENSE").read_bytes()
