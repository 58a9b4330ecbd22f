"""The server that a command speaks to, and HTTP requests to it."""

import json
import os
import socket
import ssl
from ipaddress import ip_address
from typing import Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from .addresses import Addresses
from .failures import CommandError, ExitCode, usage

DEFAULT = "http://localhost:8000"
PREFIX = "/live"
PATIENCE = 10.0
"""Seconds that a server may take to answer a request."""

MOST_BYTES = 64 << 20
"""Size of an answer that is read."""


class Target(NamedTuple):
    """A server, and the token for it."""

    url: str
    """Base of the app's paths, ``http://localhost:8000``, without a slash at its end."""
    token: str = ""
    prefix: str = PREFIX
    """Path of Wirespeed's own routes."""
    source: str = ""
    """Origin of the address, for messages."""

    @property
    def multiplexed(self) -> str:
        """Address of the multiplexed connection."""
        return f"{self.url}{self.prefix}/websocket"

    @property
    def headers(self) -> dict[str, str]:
        """Headers that carry the token. A token with a scheme of its own, such as ``Basic ...``, is sent as it is."""
        if not self.token:
            return {}
        return {"Authorization": self.token if " " in self.token else f"Bearer {self.token}"}

    @property
    def host(self) -> str:
        """Name of the host."""
        return urlsplit(self.url).hostname or ""

    @property
    def is_private(self) -> bool:
        """True for an address that the internet does not reach, and for a name without a domain."""
        try:
            return ip_address(self.host).is_private
        except ValueError:
            return "." not in self.host

    @property
    def is_local(self) -> bool:
        """True for an address of this machine only."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")

    def websocket(self, path: str) -> str:
        """Return the address of a WebSocket at a path."""
        return "ws" + self.url.removeprefix("http") + quote(path, safe="/?&=%:@!$'()*+,;~-._")


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
        return json.loads(self.body)


def base_of(url: str) -> str:
    """Return the base of a server's paths.

    Raises:
        CommandError: The text is not the URL of a server.
    """
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        valid = parts.hostname and parts.port != 0
    except ValueError:
        parts, valid = urlsplit(""), None
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    if not valid or scheme not in ("http", "https") or parts.username or parts.query or parts.fragment:
        raise usage(f"{url[:200]!r} is not the URL of a server.", f"Write one like {DEFAULT}.")
    return urlunsplit((scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


def check_token(token: str) -> str:
    """Return a token that a header can carry.

    Raises:
        CommandError: It has other characters.
    """
    if not token.isprintable() or not token.isascii():
        raise usage("The token has characters that a header cannot carry.", "Give it as one line of ASCII text.")
    return token


def target_of(url: str | None, token: str | None, context: str | None) -> Target:
    """Return the server that the options, the environment or the current context name, in this order.

    The token of a context is sent to its own server only.

    Raises:
        CommandError: The options contradict each other, or there is no such context.
    """
    if url and context:
        raise usage("--url and --context both name a server.", "Leave one of them out.")
    own = check_token(token or os.environ.get("WIRESPEED_TOKEN", ""))
    if url:
        return Target(base_of(url), own, source="--url")
    if context:
        saved = Addresses.load().get(context)
        return Target(saved.url, check_token(token or saved.token), saved.prefix, f"context {context}")
    if from_environment := os.environ.get("WIRESPEED_URL"):
        return Target(base_of(from_environment), own, source="WIRESPEED_URL")
    addresses = Addresses.load()
    if addresses.current:
        saved = addresses.get(addresses.current)
        return Target(saved.url, own or saved.token, saved.prefix, f"context {addresses.current}")
    return Target(DEFAULT, own, source="the default")


def at(target: Target, path: str, *, was_given: bool) -> tuple[Target, str]:
    """Return a server and the path on it. The path may be a full URL, which names the server itself.

    Args:
        target: The server of the options.
        path: The path or URL.
        was_given: True if the options name a server.

    Raises:
        CommandError: Both name a server.
    """
    if not path.startswith(("http://", "https://", "ws://", "wss://")):
        return target, "/" + path.lstrip("/")
    parts = urlsplit(path)
    base = base_of(f"{parts.scheme}://{parts.netloc}")
    rest = urlunsplit(("", "", parts.path or "/", parts.query, ""))
    if base == target.url or target.url.startswith(base + "/"):
        return target, rest
    if was_given:
        raise usage(f"{path[:200]!r} and the options both name a server.", "Leave one of them out.")
    return Target(base, check_token(os.environ.get("WIRESPEED_TOKEN", "")), source="the URL"), rest


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
        with _opener().open(request, timeout=PATIENCE) as answer:
            return Reply(answer.status, _lower(answer.headers), answer.read(MOST_BYTES))
    except HTTPError as error:
        with error:
            return Reply(error.code, _lower(error.headers), error.read(MOST_BYTES))
    except (OSError, ValueError) as error:
        raise unreachable(target, error) from None
    except Exception as error:  # http.client has exceptions of its own for what is not HTTP
        raise unreachable(target, f"it does not speak HTTP ({type(error).__name__})") from None


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
        return f"no answer within {PATIENCE:.0f} seconds"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not valid ({cause.verify_message})"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror[:1].lower() + cause.strerror[1:]
    return str(cause).rstrip(".") or type(cause).__name__
