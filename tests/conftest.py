"""Fixtures of all tests."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import settings

from tests.brokers.valkey import Valkey
from tests.waiting import SteadyLoop
from wirespeed import Live
from wirespeed.isolation import Errors

# The same examples in each run, on machines of any speed.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile("steady")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Run async tests on asyncio, with a clock that does not depend on other load of the machine."""
    return "asyncio", {"loop_factory": SteadyLoop}


@pytest.fixture(autouse=True)
def steady_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the errors that were logged before a test, and let its log have one line of each kind.

    Otherwise, the log of a test that takes more than a second has further lines.
    """
    monkeypatch.setattr("wirespeed.isolation._errors", Errors(lambda: 0.0))


@pytest.fixture(autouse=True)
def no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep apps from joining a broker that the developer's environment names."""
    monkeypatch.delenv("WIRESPEED_BROKER", raising=False)


@pytest.fixture(autouse=True)
def no_console(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep apps from having a console because the developer's environment says so."""
    for name in ("WIRESPEED_CONSOLE", "FASTAPI_ENV"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """Return a real broker, which is the test's own."""
    server = Valkey(tmp_path_factory.mktemp("valkey"))
    yield server
    server.kill()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """Return a real broker, which the tests of a module share."""
    server = Valkey(tmp_path_factory.mktemp("valkey"))
    yield server
    server.kill()


@pytest.fixture
def url(server: Valkey) -> str:
    """Return the URL of the module's broker, which has no logs."""
    server.command("FLUSHALL")
    return f"redis://127.0.0.1:{server.port}"


@pytest.fixture
def app() -> FastAPI:
    """Return an app without routes."""
    return FastAPI()


@pytest.fixture
def live(app: FastAPI) -> Live:
    """Return the app's ``Live``."""
    return Live(app)
