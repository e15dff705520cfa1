"""Compiles the two shared libraries, and says what is missing when it cannot."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from build_backend import elf
from build_backend.failure import BuildError

MODULE = "_native.abi3.so"
LIBRARY = "libfraiseql.so"
# The same without clients of buses outside of the process and without what serves clients: half as large, sooner loaded.
MEMORY_LIBRARY, MEMORY_TAGS = "libfraiseql-memory.so", "fqmemory"
# Oldest Python whose limited API the module uses: hexadecimal for the compiler, and for people.
LIMITED_API, OLDEST = "0x030A0000", (3, 10)

_GO_PACKAGE = "./cmd/libfraiseql"
_MUSL = (
    "this Python runs on musl (Alpine), where a Go library cannot be loaded into a running process "
    "(golang/go#54805). Use a glibc based system or image, such as python:3.12-slim, or run the server beside the "
    "application: `fraiseql serve` is one static binary that works on Alpine"
)


@dataclass(frozen=True)
class Built:
    """The libraries and the platform part of the wheel's tag."""

    module: Path
    library: Path
    memory_library: Path
    platform: str


def build(top: Path, out: Path) -> Built:
    """Compiles all into the folder out. top holds pyproject.toml."""
    check_python()
    root = go_root(top)
    compiler = c_compiler()
    go = go_command(root)
    module, library, memory_library = out / MODULE, out / LIBRARY, out / MEMORY_LIBRARY
    build_module(top, root, module, compiler)
    build_library(root, library, go, compiler)
    build_library(root, memory_library, go, compiler, MEMORY_TAGS)
    return Built(module, library, memory_library, platform_tag(module, library, memory_library))


def check_python() -> None:
    """Refuses what the module cannot be loaded into."""
    if sys.version_info < OLDEST:
        raise BuildError(f"it needs Python 3.10 or later, and this is {sys.version.split()[0]} ({sys.executable})")
    if sys.implementation.name != "cpython":
        raise BuildError(f"it needs CPython, and this is {sys.implementation.name}")
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise BuildError("free-threaded Python has no stable ABI: use the ordinary build of the same version")
    if sys.platform != "linux":
        raise BuildError(
            f"it needs Linux, and this is {sys.platform}. `fraiseql serve` runs here: use the server and publish to it"
        )
    check_libc(Path(sys.executable))


def check_libc(interpreter: Path) -> None:
    """Refuses an interpreter that runs on musl."""
    try:
        if elf.read(interpreter).musl:
            raise BuildError(_MUSL)
    except (OSError, elf.FormatError):
        return  # a launcher that is a script: the libraries that come out are looked at too


def go_root(top: Path) -> Path:
    """The folder of go.mod: go in a source distribution, the parent in a checkout."""
    for candidate in (top / "go", top.parent):
        if (candidate / "go.mod").is_file() and (candidate / "cmd" / "libfraiseql").is_dir():
            return candidate
    raise BuildError(
        f"the Go sources are neither in {top / 'go'} nor in {top.parent}: build from a whole checkout of the "
        "repository, or from a source distribution"
    )


def c_compiler() -> list[str]:
    """The command that CC says, else cc, gcc or clang, whichever is there."""
    if os.environ.get("CC"):
        command = shlex.split(os.environ["CC"])
        if shutil.which(command[0]) is None:
            raise BuildError(f"the C compiler that CC names is not there: {command[0]}")
        return command
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name) is not None:
            return [name]
    raise BuildError(
        "there is no C compiler: neither cc nor gcc nor clang is on PATH. Install one (Debian, Ubuntu: "
        "apt install gcc libc6-dev; Fedora: dnf install gcc), or set CC to it"
    )


def go_command(root: Path) -> str:
    """The Go command, once it is known to be new enough for go.mod."""
    wanted = _go_version((root / "go.mod").read_text(encoding="utf-8"), r"^go (\S+)$")
    text = ".".join(str(number) for number in wanted[:2])
    name = os.environ.get("GO") or "go"
    command = shutil.which(name)
    if command is None:
        where = "on PATH" if name == "go" else "where GO says"
        raise BuildError(f"Go {text} or later is needed, and `{name}` is not {where}. Install it from https://go.dev/dl/")
    result = _run([command, "env", "GOVERSION"], root, _go_environment(None))
    if result.returncode != 0:
        raise BuildError(f"Go {text} or later is needed, and {command} fails:\n{_indented(result.stderr)}")
    found = result.stdout.strip()
    if _go_version(found, r"go(\d[\d.]*)") < wanted:
        raise BuildError(
            f"Go {text} or later is needed, and {command} is {found}. Install it from https://go.dev/dl/, or set GO "
            "to the command of a newer one"
        )
    return command


def build_module(top: Path, root: Path, module: Path, compiler: list[str], warnings: tuple[str, ...] = ()) -> None:
    """Compiles fraiseql._native. warnings: more flags, for `make check`."""
    sources = sorted(str(path) for path in (top / "csrc").glob("*.c"))
    if not sources:
        raise BuildError(f"there is no C source in {top / 'csrc'}")
    includes = [Path(sysconfig.get_path(name)) for name in ("include", "platinclude")]
    if not any((folder / "Python.h").is_file() for folder in includes):
        raise BuildError(
            f"Python.h is not in {includes[0]}: the headers of this Python are missing (Debian, Ubuntu: "
            "apt install python3-dev; Fedora: dnf install python3-devel)"
        )
    flags = ["-std=gnu11", "-O2", "-g0", "-fPIC", "-shared", "-pthread", "-fvisibility=hidden", "-fno-strict-aliasing"]
    flags += ["-Wall", "-Wextra", *warnings, f"-DPy_LIMITED_API={LIMITED_API}", f"-ffile-prefix-map={top}=."]
    flags += [f"-I{top / 'csrc'}", f"-I{root / 'cmd' / 'libfraiseql'}"]
    flags += [f"-I{folder}" for folder in dict.fromkeys(includes)]
    flags += shlex.split(os.environ.get("CFLAGS", ""))
    # Code and constants in one segment: the loader maps less of a library that is small.
    link = [
        "-Wl,-O1,-z,relro,-z,now,-z,noseparate-code",
        "-Wl,--build-id=none",
        "-s",
        *shlex.split(os.environ.get("LDFLAGS", "")),
        "-ldl",
    ]
    result = _run([*compiler, *flags, "-o", str(module), *sources, *link], top, dict(os.environ))
    if result.returncode != 0:
        raise BuildError(f"{compiler[0]} failed:\n{_indented(result.stderr)}")
    sys.stderr.write(result.stderr)


def build_library(root: Path, library: Path, go: str, compiler: list[str], tags: str = "") -> None:
    """Links the shared library of Go. tags: build tags."""
    command = [go, "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid="]
    command += ["-mod=vendor" if (root / "vendor").is_dir() else "-mod=readonly"]
    command += [f"-tags={tags}"] if tags else []
    result = _run([*command, "-o", str(library), _GO_PACKAGE], root, _go_environment(compiler))
    library.with_suffix(".h").unlink(missing_ok=True)
    if result.returncode == 0:
        return
    if re.search(r"module lookup disabled|dial tcp|no such host|missing go\.sum|i/o timeout", result.stderr):
        raise BuildError(
            "the Go modules it needs are not in the module cache and cannot be downloaded. Run `go mod download` in "
            f"{root} once with a network, or build from the source distribution, which brings them along. Go says:\n"
            f"{_indented(result.stderr)}"
        )
    raise BuildError(f"go build failed:\n{_indented(result.stderr)}")


def platform_tag(module: Path, *libraries: Path) -> str:
    """manylinux_X_Y_ARCH from the newest GLIBC symbol of all files; linux_ARCH when they do not tell."""
    try:
        needs = [elf.read(path) for path in (module, *libraries)]
    except elf.FormatError:
        return re.sub(r"[-.]", "_", sysconfig.get_platform())
    if any(need.musl for need in needs):
        raise BuildError(_MUSL)
    machine = needs[0].machine
    if needs[1].machine != machine:
        raise BuildError(f"the C compiler made code for {machine} and Go for {needs[1].machine}: look at CC and GOARCH")
    glibc = max((need.glibc for need in needs if need.glibc is not None), default=None)
    return f"linux_{machine}" if glibc is None else f"manylinux_{glibc[0]}_{glibc[1]}_{machine}"


def _go_version(text: str, pattern: str) -> tuple[int, ...]:
    """The numbers of a version; a development version of Go, which has none, is newer than all."""
    match = re.search(pattern, text, re.MULTILINE)
    if match is None:
        return (1_000_000,)
    return tuple(int(number) for number in re.findall(r"\d+", match.group(1)))


def _go_environment(compiler: list[str] | None) -> dict[str, str]:
    environment = {**os.environ, "CGO_ENABLED": "1", "GOWORK": "off"}
    if compiler is not None:
        environment["CC"] = shlex.join(compiler)
    return environment


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    except OSError as error:
        raise BuildError(f"{command[0]} cannot be run: {error.strerror}") from None


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.strip().splitlines()[-40:])
