"""Which Go files libfraiseql is made of: for the source distribution, and for the licences in a wheel."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from build_backend.failure import BuildError

_PACKAGE = "./cmd/libfraiseql"
# What `go list -deps` differs by: a source distribution has to build on each.
_MACHINES = ("amd64", "arm64")
_SUFFIXES = (".go", ".c", ".h", ".s")


@dataclass
class Sources:
    """Our own files by their path from the root, and the folders of the modules linked in."""

    files: dict[str, Path] = field(default_factory=dict)
    modules: dict[str, Path] = field(default_factory=dict)


def sources(root: Path, go: str) -> Sources:
    """Asks Go what libfraiseql is linked from, on every machine that is supported."""
    found = Sources()
    for machine in _MACHINES:
        for package in _list(root, go, machine):
            module = package.get("Module")
            if package.get("Standard") or not isinstance(module, dict):
                continue
            folder = Path(str(package["Dir"]))
            if module.get("Main"):
                _add(found.files, root, folder, package)
            else:
                name = str(module["Path"])
                vendored = root / "vendor" / name
                found.modules[name] = vendored if vendored.is_dir() else Path(str(module["Dir"]))
    return found


def licenses(root: Path, go: str) -> dict[str, bytes]:
    """Licence texts of Go and of the modules that are linked in, by a path that names the module."""
    texts = {}
    folders = {"go": Path(_output([go, "env", "GOROOT"], root, dict(os.environ)).strip()), **sources(root, go).modules}
    for name, folder in folders.items():
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            if path.is_file() and path.name.upper().startswith(("LICENSE", "LICENCE", "COPYING", "NOTICE")):
                texts[f"{name}/{path.name}"] = path.read_bytes()
    return texts


def _add(files: dict[str, Path], root: Path, folder: Path, package: dict[str, object]) -> None:
    names = [path.name for path in folder.iterdir() if path.suffix in _SUFFIXES and not path.stem.endswith("_test")]
    embedded = package.get("EmbedFiles") or []
    assert isinstance(embedded, list)
    for name in [*names, *embedded]:
        path = folder / name
        files[path.relative_to(root).as_posix()] = path


def _list(root: Path, go: str, machine: str) -> list[dict[str, object]]:
    environment = {**os.environ, "GOOS": "linux", "GOARCH": machine, "CGO_ENABLED": "1", "GOWORK": "off"}
    mode = "-mod=vendor" if (root / "vendor").is_dir() else "-mod=readonly"
    command = [go, "list", "-deps", mode, "-json=Dir,Standard,Module,EmbedFiles", _PACKAGE]
    text = _output(command, root, environment)
    decoder, packages, at = json.JSONDecoder(), [], 0
    while at < len(text.rstrip()):
        package, at = decoder.raw_decode(text, at)
        at += 1
        packages.append(package)
    return packages


def vendor(root: Path, go: str) -> None:
    """Puts the modules that the files in root need into root/vendor."""
    _output([go, "mod", "vendor"], root, {**os.environ, "GOWORK": "off", "GOFLAGS": "-mod=mod"})


def _output(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise BuildError(f"{' '.join(command)} failed:\n{result.stderr.strip()}")
    return result.stdout
