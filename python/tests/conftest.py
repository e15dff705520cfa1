"""What the tests share: the wheel under test, how long to take, the event loops."""

from __future__ import annotations

import os
import shutil
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from children import ROOT, run
from fraiseql.subscriptions import SubscriptionExecutor
from orders import SCHEMA

# Tests that take long and say the same on every Python are left to one of them.
SHORT = bool(os.environ.get("FRAISEQL_TEST_SHORT"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out tests marked full when this is not the Python that takes the long way."""
    if SHORT:
        left = [item for item in items if item.get_closest_marker("full")]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


@pytest.fixture(scope="session")
def full() -> bool:
    """Whether repetitions are done in full."""
    return not SHORT


@pytest.fixture(scope="session")
def wheel() -> Path:
    """The wheel that `make wheel` built."""
    found = sorted((ROOT / "dist").glob("fraiseql_subscriptions-*.whl"))
    assert len(found) == 1, f"one wheel is expected in {ROOT / 'dist'}, there are {len(found)}: run `make wheel`"
    return found[0]


@pytest.fixture
def executor() -> Any:
    """An executor without a schema."""
    with SubscriptionExecutor() as made:
        yield made


@pytest.fixture
def orders() -> Any:
    """An executor with the schema of orders."""
    with SubscriptionExecutor(schema=SCHEMA) as made:
        yield made


@pytest.fixture(params=["asyncio", "uvloop"], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Coroutine tests run on both event loops."""
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source distribution of this checkout."""
    out = tmp_path_factory.mktemp("sdist")
    program = f"import build_backend; print(build_backend.build_sdist({str(out)!r}))"
    return out / run([sys.executable, "-c", program], cwd=ROOT / "python").ok().strip()


@pytest.fixture
def unpacked(sdist: Path, tmp_path: Path) -> Path:
    """The source distribution's folder, beside the archive itself."""
    folder = tmp_path / "unpacked"
    with tarfile.open(sdist) as archive:
        if sys.version_info >= (3, 12):
            archive.extractall(folder, filter="data")
        else:
            archive.extractall(folder)
    shutil.copy(sdist, folder)
    return folder / sdist.name.removesuffix(".tar.gz")
