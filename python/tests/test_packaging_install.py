"""Installing: the wheel, the source distribution, editable; without a network and from nothing."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from children import ROOT, run

# The code of the project's contract, to the letter.
SNIPPET = """\
from fraiseql import _fraiseql_rs          # compatibility alias of the Go engine
executor = _fraiseql_rs.subscriptions.PySubscriptionExecutor()
executor.register_subscription(connection_id="conn1", subscription_id="sub1",
    query="subscription { users { id } }", variables={}, user_id="user1", tenant_id="tenant1")
executor.publish_event("userCreated", "users", {"id": "123"})
response = executor.next_event("sub1")     # b'{"id":"sub1","type":"next","payload":{"data":{"users":{"id":"123"}}}}'
"""
MESSAGE = b'{"id":"sub1","type":"next","payload":{"data":{"users":{"id":"123"}}}}'

# Nothing may be fetched: not by pip, not by Go, and the module cache is empty.
OFFLINE: dict[str, str | None] = {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "GOPROXY": "off", "GOFLAGS": None}


class Environment:
    """A virtual environment with nothing in it. The pip of the one that runs this test installs there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = str(folder / "bin" / "python")
        run([sys.executable, "-m", "venv", "--without-pip", str(folder)]).ok()

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "pip", "--python", self.python, *arguments]

    def pip(self, *arguments: str, **env: str) -> str:
        return run(self.command(*arguments), env={**OFFLINE, **env}, patience=300).ok()

    def run(self, program: str, *options: str) -> str:
        return run([self.python, "-I", "-W", "error", *options, "-c", program], cwd=self.folder).ok()

    def works(self) -> None:
        """The snippet runs verbatim, and the package comes from where it should."""
        assert self.run(f"{SNIPPET}\nprint(response)").strip() == repr(MESSAGE)


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(tmp_path / "venv")


def test_wheel_in_a_clean_environment(wheel: Path, environment: Environment) -> None:
    environment.pip("install", str(wheel))
    environment.works()
    assert environment.pip("check").startswith("No broken requirements")
    version = environment.run("import importlib.metadata as m; print(m.version('fraiseql-subscriptions'))")
    assert environment.run("import fraiseql; print(fraiseql.__version__)") == version
    files = environment.run("import fraiseql, os; print(os.path.dirname(fraiseql.__file__))").strip()
    environment.pip("uninstall", "--yes", "fraiseql-subscriptions")
    assert not Path(files).exists()


def test_import_is_light(wheel: Path, environment: Environment) -> None:
    """Importing starts no thread and loads neither Go nor asyncio."""
    environment.pip("install", str(wheel))
    program = """
import os, sys
import fraiseql.subscriptions
maps = open("/proc/self/maps").read()
print(len(os.listdir("/proc/self/task")), "libfraiseql" in maps, "asyncio" in sys.modules)
"""
    assert environment.run(program).split() == ["1", "False", "False"]


@pytest.mark.full
@pytest.mark.parametrize("isolation", [(), ("--no-build-isolation",)], ids=["isolated", "not-isolated"])
def test_sdist_offline(sdist: Path, environment: Environment, tmp_path: Path, isolation: tuple[str, ...]) -> None:
    environment.pip("install", "--no-cache-dir", *isolation, str(sdist), GOMODCACHE=str(tmp_path / "none"), GOFLAGS="-mod=vendor")
    assert not (tmp_path / "none").exists()
    environment.works()


@pytest.mark.full
def test_sdist_needs_no_setting(sdist: Path, environment: Environment, tmp_path: Path) -> None:
    """GOFLAGS that ask for the opposite do not lead to the network."""
    environment.pip("install", "--no-cache-dir", str(sdist), GOMODCACHE=str(tmp_path / "none"), GOFLAGS="-mod=mod")
    environment.works()


@pytest.mark.full
def test_checkout_offline(environment: Environment) -> None:
    """From a checkout, with the module cache that building the server has filled."""
    before = {path: path.stat().st_mtime_ns for path in (ROOT / "python").rglob("*") if "__pycache__" not in path.parts}
    environment.pip("install", str(ROOT / "python"))
    environment.works()
    after = {path: path.stat().st_mtime_ns for path in (ROOT / "python").rglob("*") if "__pycache__" not in path.parts}
    changed = {path for path in before | after if path.is_file() and before.get(path) != after.get(path)}
    assert not {path for path in changed if path.suffix in (".so", ".whl", ".h")}


@pytest.mark.full
def test_editable(unpacked: Path, environment: Environment) -> None:
    environment.pip("install", "--editable", str(unpacked))
    environment.works()
    module = unpacked / "src" / "fraiseql"
    assert environment.run("import fraiseql; print(fraiseql.__file__)").strip() == str(module / "__init__.py")
    (module / "added.py").write_text("HERE = 1\n")
    assert environment.run("from fraiseql.added import HERE; print(HERE)") == "1\n"
    # A second build while the first is loaded, and nothing is left over.
    environment.pip("install", "--editable", str(unpacked))
    environment.works()
    assert sorted(path.name for path in module.iterdir() if path.suffix in (".so", ".h") or path.name.startswith(".")) == [
        "_native.abi3.so",
        "libfraiseql-memory.so",
        "libfraiseql.so",
    ]
    environment.pip("uninstall", "--yes", "fraiseql-subscriptions")
    assert run([environment.python, "-I", "-c", "import fraiseql"], cwd=environment.folder).code == 1


@pytest.mark.full
def test_pip_shows_the_reason(unpacked: Path, environment: Environment, tmp_path: Path) -> None:
    """What is missing reaches the terminal as text, not as a traceback."""
    empty = tmp_path / "bin"
    empty.mkdir()
    os.symlink("/usr/bin/cc", empty / "cc")
    command = environment.command("install", str(unpacked))
    ended = run(command, env={**OFFLINE, "PATH": str(empty), "GO": None})
    assert ended.code != 0
    assert "cannot be built: Go 1.26 or later is needed, and `go` is not on PATH" in ended.out + ended.err
    assert "Traceback" not in ended.out + ended.err
