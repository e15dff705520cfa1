"""The wheel: what is in it, what it claims, and that it comes out the same twice."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import re
import shutil
import sys
import zipfile
from pathlib import Path

import pytest
from children import ROOT, run
from packaging.metadata import Metadata
from packaging.utils import parse_wheel_filename

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TOP = ROOT / "python"
LIBRARIES = ("fraiseql/libfraiseql-memory.so", "fraiseql/libfraiseql.so")


@pytest.fixture
def archive(wheel: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(wheel)


def info(archive: zipfile.ZipFile, name: str) -> str:
    (found,) = (path for path in archive.namelist() if path.endswith(f".dist-info/{name}"))
    return archive.read(found).decode()


def test_contents(archive: zipfile.ZipFile) -> None:
    source = TOP / "src"
    wanted = {path.relative_to(source).as_posix() for pattern in ("*.py", "*.pyi") for path in source.rglob(pattern)}
    wanted |= {"fraiseql/py.typed", "fraiseql/_native.abi3.so", *LIBRARIES}
    names = archive.namelist()
    assert {name for name in names if ".dist-info/" not in name} == wanted
    assert len(names) == len(set(names))
    licenses = {name.split("/licenses/")[1] for name in names if "/licenses/" in name}
    assert {"LICENSE", "third-party/go/LICENSE", "third-party/github.com/vektah/gqlparser/v2/LICENSE"} <= licenses
    for entry in archive.infolist():
        assert entry.external_attr >> 16 == (0o100755 if entry.filename.endswith(".so") else 0o100644)


def test_record(archive: zipfile.ZipFile) -> None:
    rows = {name: (digest, size) for name, digest, size in csv.reader(io.StringIO(info(archive, "RECORD")))}
    assert set(rows) == set(archive.namelist())
    for name, (digest, size) in rows.items():
        if name.endswith("/RECORD"):
            assert (digest, size) == ("", "")
            continue
        content = archive.read(name)
        expected = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        assert (digest, size) == (f"sha256={expected}", str(len(content)))


def test_metadata(archive: zipfile.ZipFile) -> None:
    metadata = Metadata.from_email(info(archive, "METADATA"), validate=True)
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    assert (metadata.name, metadata.summary) == ("fraiseql-subscriptions", project["description"])
    assert metadata.license_expression == "Apache-2.0"
    assert str(metadata.requires_python) == ">=3.10"
    assert metadata.description == (TOP / "README.md").read_text()
    assert metadata.classifiers == project["classifiers"]
    assert metadata.project_urls == project["urls"]
    assert set(metadata.provides_extra or ()) == {"fastapi", "starlette", "uvloop"}
    # Without an extra nothing else is installed.
    assert all(r.marker and "extra" in str(r.marker) for r in metadata.requires_dist or ())
    listed = {f"fraiseql_subscriptions-{metadata.version}.dist-info/licenses/{path}" for path in metadata.license_files or ()}
    assert listed == {name for name in archive.namelist() if "/licenses/" in name}


def test_tag_is_what_the_libraries_need(wheel: Path, archive: zipfile.ZipFile, tmp_path: Path) -> None:
    symbols = ""
    for name in ("fraiseql/_native.abi3.so", *LIBRARIES):
        symbols += run(["readelf", "--version-info", "--wide", archive.extract(name, tmp_path)]).ok()
    newest = max((int(a), int(b)) for a, b in re.findall(r"Name: GLIBC_(\d+)\.(\d+)", symbols))
    _, version, _, tags = parse_wheel_filename(wheel.name)
    assert [str(tag) for tag in tags] == [f"cp310-abi3-manylinux_{newest[0]}_{newest[1]}_{os.uname().machine}"]
    assert f"\nTag: {next(iter(tags))}\n" in info(archive, "WHEEL")
    assert "\nRoot-Is-Purelib: false\n" in info(archive, "WHEEL")
    assert f'"{version}"' in (TOP / "src/fraiseql/_version.py").read_text()


def test_only_the_entry_points_are_exported(archive: zipfile.ZipFile, tmp_path: Path) -> None:
    def exported(name: str) -> set[str]:
        lines = run(["nm", "-D", "--defined-only", archive.extract(name, tmp_path)]).ok().splitlines()
        return {line.split()[-1] for line in lines} - {"_init", "_fini"}

    assert exported("fraiseql/_native.abi3.so") == {"PyInit__native"}
    declared = set(re.findall(r"^ \* int64 (fq_\w+)\(", (ROOT / "cmd/libfraiseql/fraiseql.h").read_text(), re.MULTILINE))
    serving = {name for name in declared if re.match(r"fq_(serve|session)", name)}
    assert len(serving) == 8
    for library in LIBRARIES:
        wanted = declared - serving if "memory" in library else declared
        assert {name for name in exported(library) if name.startswith("fq_")} - {"fq_fault"} == wanted


def test_module_links_no_python(archive: zipfile.ZipFile, tmp_path: Path) -> None:
    """One file for every Python: it must not ask for the libpython of the one that built it, nor for libfraiseql."""
    needed = run(["readelf", "--dynamic", archive.extract("fraiseql/_native.abi3.so", tmp_path)]).ok()
    libraries = re.findall(r"\(NEEDED\).*\[(.*)\]", needed)
    assert libraries
    assert all(name.startswith(("libc.", "libdl.", "libpthread.", "ld-linux")) for name in libraries)


@pytest.mark.full
def test_comes_out_the_same_elsewhere(unpacked: Path, tmp_path: Path) -> None:
    """Built in two folders, at two times, from files of two ages: the same bytes."""
    build = "import build_backend; build_backend.build_wheel({!r}); build_backend.build_sdist({!r})"
    other = tmp_path / "a folder of another name"
    shutil.copytree(unpacked, other, copy_function=shutil.copyfile)
    made = []
    for number, folder in enumerate((unpacked, other)):
        out = tmp_path / str(number)
        run([sys.executable, "-c", build.format(str(out), str(out))], cwd=folder, env={"SOURCE_DATE_EPOCH": None}).ok()
        made.append({path.name: path.read_bytes() for path in out.iterdir()})
    first, second = made
    assert len(first) == 2
    assert first == second
    # A source distribution of a source distribution is the same once more.
    (archive,) = unpacked.parent.glob("*.tar.gz")
    assert first[archive.name] == archive.read_bytes()


@pytest.mark.full
def test_source_date_epoch(unpacked: Path, tmp_path: Path) -> None:
    build = f"import build_backend; build_backend.build_wheel({str(tmp_path)!r})"
    run([sys.executable, "-c", build], cwd=unpacked, env={"SOURCE_DATE_EPOCH": "1700000000"}).ok()
    (built,) = tmp_path.glob("*.whl")
    assert {entry.date_time for entry in zipfile.ZipFile(built).infolist()} == {(2023, 11, 14, 22, 13, 20)}
