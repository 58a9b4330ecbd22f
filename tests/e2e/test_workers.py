"""Real servers with several workers are detected; with one worker nothing is logged.

Several workers of granian are not started here: now and then, one of them misses the signal to stop.
"""

from tests.brokers.valkey import Valkey
from tests.clients import get, state
from tests.servers import serve
from tests.waiting import wait_until

APP = "tests.apps.feeds:app"


def test_several_workers_of_uvicorn() -> None:
    """uvicorn reads the number of workers from the environment; one warning is enough for all of them."""
    with serve(APP, env={"WEB_CONCURRENCY": "2"}) as running:
        wait_until(lambda: running.output().count("Application startup complete") == 2, running.output)
        assert running.output().count("runs 2 worker processes") == 1


def test_several_workers_of_hypercorn() -> None:
    """The server's settings count, wherever they come from."""
    with serve(APP, server="hypercorn", options=["--workers", "2"]) as running:
        wait_until(lambda: running.output().count("Running on http") == 2, running.output)
        assert running.output().count("runs 2 worker processes") == 1


def test_workers_of_a_mounted_app() -> None:
    """No lifespan runs in a mounted app: each worker logs the warning when the app is first used there."""
    with serve("tests.apps.mounted:app", env={"WEB_CONCURRENCY": "2"}) as running:
        assert "worker processes" not in running.output()
        for _ in range(2):
            get(running, "/inner/news")
        assert 1 <= running.output().count("runs 2 worker processes") <= 2


def test_one_worker_is_not_warned_of() -> None:
    """The environment of other servers is ignored if the server's own settings are visible."""
    with serve(APP, server="granian", env={"WEB_CONCURRENCY": "3"}) as running:
        state(running)
        assert "worker processes" not in running.output()


def test_workers_of_an_app_that_was_imported_before(valkey: Valkey) -> None:
    """Workers that gunicorn forks after the import have names of their own, by which the others reach them."""
    environment = {"WIRESPEED_BROKER": f"redis://127.0.0.1:{valkey.port}"}
    with serve(APP, server="gunicorn", options=["--preload"], workers=2, env=environment) as running:
        wait_until(lambda: valkey.command("ZCARD", "wirespeed:{processes}:alive") == b":2\r\n", running.output)
        assert "Traceback" not in running.output()
