"""Real servers with several workers: they are seen, and with one worker nothing is logged.

Several workers of granian are not started here: now and then, one of them misses the signal to stop.
"""

import pytest

from tests.clients import state
from tests.servers import ServerName, serve
from tests.waiting import wait_until

APP = "tests.apps.feeds:app"
UP: dict[ServerName, str] = {"uvicorn": "Application startup complete", "hypercorn": "Running on http"}
"""The line that each worker leaves when it is up."""


@pytest.mark.parametrize("server", UP)
def test_several_workers_are_warned_of(server: ServerName) -> None:
    """The log says how many workers there are, and that they share nothing."""
    with serve(APP, server=server, options=["--workers", "2"]) as running:
        wait_until(lambda: running.output().count(UP[server]) == 2, running.output)
        assert "runs 2 worker processes" in running.output()


def test_environment_names_the_workers() -> None:
    """uvicorn takes its number of workers from WEB_CONCURRENCY; one warning is enough for all of them."""
    with serve(APP, env={"WEB_CONCURRENCY": "2"}) as running:
        wait_until(lambda: running.output().count(UP["uvicorn"]) == 2, running.output)
        assert running.output().count("runs 2 worker processes") == 1


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn", "granian"])
def test_one_worker_is_not_warned_of(server: ServerName) -> None:
    """What the environment says of other servers does not count where the server's own settings can be seen."""
    environment = {"WEB_CONCURRENCY": "1" if server == "uvicorn" else "3"}
    with serve(APP, server=server, env=environment) as running:
        state(running)
        assert "worker processes" not in running.output()
