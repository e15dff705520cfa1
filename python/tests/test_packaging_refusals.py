"""What the build backend says when something is missing or unfit, and how it reads its inputs."""

from __future__ import annotations

import os
import random
import shutil
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest
from children import ROOT, Ended, run

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TOP = ROOT / "python"
sys.path.insert(0, str(TOP))

from build_backend import elf, native, project  # noqa: E402
from build_backend.failure import BuildError  # noqa: E402

BUILD = "import build_backend; build_backend.build_wheel('.')"


def build(top: Path, **env: str | None) -> Ended:
    ended = run([sys.executable, "-c", BUILD], cwd=top, env={"GOPROXY": "off", **env}, patience=110)
    assert ended.code == 1
    assert "Traceback" not in ended.err
    assert ended.err.startswith("\nfraiseql-subscriptions cannot be built: ")
    return ended


def tools(folder: Path, *names: str) -> str:
    """A PATH with these commands alone."""
    folder.mkdir()
    for name in names:
        found = shutil.which(name)
        assert found
        os.symlink(found, folder / name)
    return str(folder)


def script(folder: Path, name: str, text: str) -> str:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_no_go(tmp_path: Path) -> None:
    path = tools(tmp_path / "bin", "cc")
    assert (
        "Go 1.26 or later is needed, and `go` is not on PATH. Install it from https://go.dev/dl/"
        in build(TOP, PATH=path, GO=None).err
    )
    assert "`/nowhere/go` is not where GO says" in build(TOP, PATH=path, GO="/nowhere/go").err


def test_old_go(tmp_path: Path) -> None:
    go = script(tmp_path / "bin", "go", "echo go1.20.14")
    assert f"Go 1.26 or later is needed, and {go} is go1.20.14" in build(TOP, GO=go).err


def test_go_that_cannot_fetch_a_newer_one(tmp_path: Path) -> None:
    go = script(tmp_path / "bin", "go", 'echo "go: download go1.26.0: toolchain not available" >&2; exit 1')
    assert "toolchain not available" in build(TOP, GO=go).err


def test_no_compiler(tmp_path: Path) -> None:
    path = tools(tmp_path / "bin", "go")
    assert "there is no C compiler: neither cc nor gcc nor clang is on PATH" in build(TOP, PATH=path, CC=None).err
    assert "the C compiler that CC names is not there: /nowhere/cc" in build(TOP, CC="/nowhere/cc -m64").err


def test_no_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(BuildError, match=r"Python\.h is not in .*apt install python3-dev"):
        native.build_module(TOP, ROOT, tmp_path / "module.so", ["cc"])


def test_musl(tmp_path: Path) -> None:
    """An interpreter whose loader is musl's is refused with the way out."""
    source, interpreter = tmp_path / "main.c", tmp_path / "python3"
    source.write_text("int main(void) { return 0; }")
    run(["cc", "-Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1", "-o", str(interpreter), str(source)]).ok()
    with pytest.raises(BuildError, match=r"musl .*golang/go#54805.*`fraiseql serve`"):
        native.check_libc(interpreter)
    native.check_libc(Path(sys.executable))
    native.check_libc(Path(script(tmp_path, "launcher", "exec python3")))


def test_library_for_musl(tmp_path: Path) -> None:
    """So is what a compiler for musl makes."""
    source, libc = tmp_path / "empty.c", tmp_path / "libc.musl-x86_64.so.1"
    source.write_text("int nothing;")
    run(["cc", "-shared", "-Wl,-soname,libc.musl-x86_64.so.1", "-o", str(libc), str(source)]).ok()
    made = tmp_path / "made.so"
    run(["cc", "-shared", "-Wl,--no-as-needed", "-o", str(made), str(source), str(libc)]).ok()
    with pytest.raises(BuildError, match="musl"):
        native.platform_tag(made, made)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda patch: patch.setattr(sys, "version_info", (3, 9, 18)), r"needs Python 3\.10 or later"),
        (lambda patch: patch.setattr(sys, "platform", "darwin"), "needs Linux, and this is darwin.*fraiseql serve"),
        (
            lambda patch: patch.setattr(sys, "implementation", type("pypy", (), {"name": "pypy"})),
            "needs CPython, and this is pypy",
        ),
        (lambda patch: patch.setattr(sysconfig, "get_config_var", lambda name: 1), "free-threaded Python has no stable ABI"),
    ],
)
def test_pythons_that_do_not_fit(
    change: Callable[[pytest.MonkeyPatch], None], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    native.check_python()
    change(monkeypatch)
    with pytest.raises(BuildError, match=text):
        native.check_python()


@pytest.mark.full
def test_modules_not_there_and_no_network(tmp_path: Path) -> None:
    ended = build(TOP, GOMODCACHE=str(tmp_path / "none"), GOFLAGS="-mod=mod")
    assert "are not in the module cache and cannot be downloaded. Run `go mod download`" in ended.err
    assert "source distribution, which brings them along" in ended.err


def test_part_of_a_checkout(tmp_path: Path) -> None:
    shutil.copytree(TOP, tmp_path / "python", ignore=shutil.ignore_patterns("tests", "*.so", ".*"))
    shutil.copy(ROOT / "LICENSE", tmp_path / "python")
    assert "build from a whole checkout of the repository, or from a source distribution" in build(tmp_path / "python").err


@pytest.mark.full
def test_errors_of_the_compilers_are_shown(unpacked: Path) -> None:
    broken = unpacked / "csrc" / "zz_broken.c"
    broken.write_text("int broken(void) { return missing_name; }\n")
    assert "missing_name" in build(unpacked).err
    broken.unlink()
    (unpacked / "go" / "cmd" / "libfraiseql" / "zz_broken.go").write_text("package main\n\nvar x = missingName\n")
    ended = build(unpacked)
    assert "go build failed" in ended.err
    assert "missingName" in ended.err


def test_machines_that_differ(tmp_path: Path) -> None:
    """A compiler for one machine and Go for another."""
    one, other = tmp_path / "one.so", tmp_path / "other.so"
    source = tmp_path / "empty.c"
    source.write_text("int nothing;")
    run(["cc", "-shared", "-o", str(one), str(source)]).ok()
    content = bytearray(one.read_bytes())
    content[18:20] = (0x28).to_bytes(2, "little")
    other.write_bytes(content)
    with pytest.raises(BuildError, match="and Go for armv7l: look at CC and GOARCH"):
        native.platform_tag(one, other)
    assert native.platform_tag(one, one) == f"linux_{os.uname().machine}"  # no symbol of glibc at all


def test_toml_reader() -> None:
    """It reads of this project's file what tomllib reads."""
    text = (TOP / "pyproject.toml").read_text()
    assert project.read_toml(text, "project")["project"] == tomllib.loads(text)["project"]
    assert project.read_toml("[project]\na = 'x' # not a list\nb = [\n  'y', # z\n]\n", "project") == {
        "project": {"a": "x", "b": ["y"]}
    }
    for broken in ("[project]\na = x y\n", "[project]\na = [\n'b',\n"):
        with pytest.raises(BuildError, match=r"pyproject\.toml"):
            project.read_toml(broken, "project")


def test_elf_reader_survives_anything(tmp_path: Path) -> None:
    """Cut short or with bytes changed, a file is read or refused, nothing else."""
    source, made = tmp_path / "main.c", tmp_path / "main"
    source.write_text('#include <stdio.h>\nint main(void) { return puts("") < 0; }')
    run(["cc", "-o", str(made), str(source)]).ok()
    needs = elf.read(made)
    assert needs.glibc is not None
    assert needs.libraries == ("libc.so.6",)
    assert not needs.musl
    content, chance = made.read_bytes(), random.Random(1)
    broken = tmp_path / "broken"
    cuts = [content[:size] for size in [0, 3, 4, 63, 64, 65, 200, 500, *range(1000, len(content), 997)]]
    for _ in range(400):
        changed = bytearray(content)
        for _ in range(chance.randrange(1, 4)):
            changed[chance.randrange(1200)] = chance.randrange(256)
        cuts.append(bytes(changed))
    refused = 0
    for cut in cuts:
        broken.write_bytes(cut)
        try:
            elf.read(broken)
        except elf.FormatError:
            refused += 1
    assert refused > 20
