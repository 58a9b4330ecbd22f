"""HTTP requests to a server, and its failures in a few words."""

import json
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from .failures import CommandError, ExitCode
from .target import Target

T = TypeVar("T")

PATIENCE = 10.0
"""Seconds that a server may take to begin an answer."""

WHOLE = 30.0
"""Seconds that a whole answer may take."""

MOST_BYTES = 64 << 20
"""Size of an answer that is read."""


class Reply(NamedTuple):
    """An answer of a server over HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body's JSON.

        Raises:
            ValueError: It is not JSON.
        """
        return from_json(self.body)


class _NoRedirects(HTTPRedirectHandler):
    """Follows no redirect: the token is for this server only."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _opener() -> OpenerDirector:
    return build_opener(_NoRedirects())


def get(target: Target, path: str, **headers: str) -> Reply:
    """Make a GET request.

    Raises:
        CommandError: No server answers.
    """
    request = Request(target.url + path, headers={**target.headers, **headers})  # noqa: S310 - base_of checks the scheme
    try:
        return within(WHOLE, lambda: _answer(request))
    except (OSError, ValueError) as error:
        raise unreachable(target, error) from None
    except Exception as error:  # http.client has exceptions of its own for what is not HTTP
        raise unreachable(target, f"it does not speak HTTP ({type(error).__name__})") from None


def _answer(request: Request) -> Reply:
    try:
        with _opener().open(request, timeout=PATIENCE) as answer:
            return Reply(answer.status, _lower(answer.headers), answer.read(MOST_BYTES))
    except HTTPError as error:
        with error:
            return Reply(error.code, _lower(error.headers), error.read(MOST_BYTES))


def within(seconds: float, work: Callable[[], T]) -> T:
    """Do blocking work, and wait for it at most for a time: a server that sends a byte now and then is never silent.

    Raises:
        TimeoutError: It is not done. Its thread does not keep the process from ending.
    """
    done: list[T] = []
    failed: list[Exception] = []

    def attempt() -> None:
        try:
            done.append(work())
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not done:
        raise TimeoutError(f"no complete answer within {seconds:g} seconds")
    return done[0]


def from_json(data: str | bytes) -> Any:
    """Return the value of JSON that a server has sent.

    Raises:
        ValueError: It is not JSON, or nested too deeply.
    """
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def unreachable(target: Target, reason: object) -> CommandError:
    """Return the error for a server that does not answer."""
    origin = f" (from {target.source})" if target.source else ""
    message = f"The server {target.url}{origin} cannot be reached: {explained(reason)}."
    return CommandError(message, _advice(target, reason), ExitCode.UNREACHABLE)


def _advice(target: Target, reason: object) -> str:
    cause = reason.reason if isinstance(reason, URLError) else reason
    if isinstance(cause, ssl.SSLError):
        return "Check the certificate, or whether the server speaks TLS on this port."
    if target.source == "the default":
        return "Start it with 'wirespeed serve main:app', or name another server with --url or 'wirespeed context add'."
    return "Check the address, and that the server runs."


def explained(reason: object) -> str:
    """Return the cause of a failed connection in a few words."""
    cause = reason.reason if isinstance(reason, URLError) else reason
    if isinstance(cause, socket.gaierror):
        return "the host name is not known"
    if isinstance(cause, ConnectionRefusedError):
        return "the connection was refused"
    if isinstance(cause, TimeoutError):
        return str(cause) if str(cause).startswith("no ") else f"no answer within {PATIENCE:.0f} seconds"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not valid ({cause.verify_message})"
    if isinstance(cause, ssl.SSLError) and cause.reason:
        return f"TLS fails ({cause.reason.lower().replace('_', ' ')})"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror[:1].lower() + cause.strerror[1:]
    return str(cause).rstrip(".") or type(cause).__name__
