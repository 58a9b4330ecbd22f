"""The server that a command speaks to, and its addresses."""

import os
from typing import NamedTuple
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

from .addresses import Addresses
from .failures import CommandError, usage

DEFAULT = "http://localhost:8000"
PREFIX = "/live"


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
        from ipaddress import ip_address

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


def check_text(text: str) -> str:
    """Return a text of the command line.

    Raises:
        CommandError: It has bytes that are not UTF-8.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise usage(f"{text[:80]!r} is not text in UTF-8.") from None
    return text


def base_of(url: str) -> str:
    """Return the base of a server's paths.

    Raises:
        CommandError: The text is not the URL of a server.
    """
    parts = split(url if "://" in url else f"http://{url}")
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    if scheme not in ("http", "https") or "@" in parts.netloc or parts.query or parts.fragment:
        raise _no_server(url)
    return urlunsplit((scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


def split(url: str) -> SplitResult:
    """Return the parts of a URL.

    Raises:
        CommandError: It names no host, or a port that cannot exist.
    """
    check_text(url)
    try:
        parts = urlsplit(url)
        if parts.hostname and parts.port != 0:
            return parts
    except ValueError:
        pass
    raise _no_server(url)


def _no_server(url: str) -> CommandError:
    return usage(f"{url[:200]!r} is not the URL of a server.", f"Write one like {DEFAULT}.")


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


def at(path: str, url: str | None, token: str | None, context: str | None) -> tuple[Target, str]:
    """Return a server and the path on it. The path may be a full URL, which names the server itself.

    Args:
        path: The path or URL.
        url: Address of the options.
        token: Token of the options.
        context: Context of the options.

    Raises:
        CommandError: Both name a server.
    """
    target = target_of(url, token, context)
    check_text(path)
    if not path.startswith(("http://", "https://", "ws://", "wss://")):
        return target, "/" + path.lstrip("/")
    parts = split(path)
    base = base_of(f"{parts.scheme}://{parts.netloc}")
    rest = urlunsplit(("", "", parts.path or "/", parts.query, ""))
    if (base + rest).startswith(f"{target.url}/"):
        return target, (base + rest).removeprefix(target.url)
    if url or context:
        raise usage(f"{path[:200]!r} and the options both name a server.", "Leave one of them out.")
    return Target(base, check_token(token or os.environ.get("WIRESPEED_TOKEN", "")), source="the URL"), rest
