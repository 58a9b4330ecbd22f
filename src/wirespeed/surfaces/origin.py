"""Origins: the pages that may connect, by the ``Origin`` of their handshakes (RFC 6455, section 10.2)."""

import re
import socket
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

_SCHEMES = {"http": "http", "ws": "http", "https": "https", "wss": "https"}
_DEFAULT_PORTS = {"http": 80, "https": 443}

_FORBIDDEN = re.compile(r"[\x00-\x20\x7f#%*/<>?@\\^|]")
"""Characters that no host has in an origin, as browsers write it."""

_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)", re.ASCII)
_DOTS = re.compile("[.\u3002\uff0e\uff61]")


class _Origin(NamedTuple):
    """An origin in the one form that all of its spellings share."""

    scheme: str
    host: str
    port: int | None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        is_default = self.port is None or self.port == _DEFAULT_PORTS.get(self.scheme)
        return f"{self.scheme}://{host}" if is_default else f"{self.scheme}://{host}:{self.port}"


class Origins:
    """The origins that may connect: the server's own, and those in a list.

    Loopback names count as one host on any port. A client that sends no ``Origin`` is not a browser and passes.

    Args:
        allowed: Further origins, such as ``"https://app.example.com"``; ``"null"`` admits pages opened from a file and
            sandboxed frames, ``"*"`` admits every page.

    Raises:
        ValueError: An entry is not an origin.
    """

    def __init__(self, allowed: Iterable[str]) -> None:
        if isinstance(allowed, str):
            raise ValueError(f"allowed_origins is a list of origins; write [{allowed!r}]")
        self._allowed = frozenset(_checked(origin) for origin in allowed)

    def admits(self, origin: str | None, host: str | None, scheme: str) -> bool:
        """Return True if a handshake may continue."""
        if origin is None or "*" in self._allowed:
            return True
        try:
            page = origin if origin == "null" else _parsed(origin)
        except ValueError:
            return False
        return page in self._allowed or (isinstance(page, _Origin) and _is_own(page, host or "", scheme))


def server_origin(host: str | None, scheme: str) -> str:
    """Return the origin of the server's own pages, as far as requests show it."""
    scheme = _SCHEMES.get(scheme, scheme)
    try:
        return str(_parsed(f"{scheme}://{host or ''}"))
    except ValueError:
        return f"{scheme}://{host or ''}"


def _is_own(page: _Origin, host: str, scheme: str) -> bool:
    # A network can forge http pages of any host, so they may not use an https server. The other direction is safe, and
    # common: a proxy ends TLS, and the server does not learn of it.
    if page.scheme not in _DEFAULT_PORTS or (page.scheme == "http" and _SCHEMES.get(scheme) != "http"):
        return _is_loopback(page.host) and _is_loopback_host(host) and page.scheme in _DEFAULT_PORTS
    try:
        server = _parsed(f"{page.scheme}://{host}")
    except ValueError:
        return False
    return page == server or (_is_loopback(page.host) and _is_loopback(server.host))


def _is_loopback_host(host: str) -> bool:
    try:
        return _is_loopback(_parsed(f"http://{host}").host)
    except ValueError:
        return False


def _checked(origin: str) -> "str | _Origin":
    if origin in ("*", "null"):
        return origin
    try:
        parsed = _parsed(origin)
    except ValueError:
        parsed = None
    if parsed is None or parsed.scheme in ("ws", "wss"):
        raise ValueError(
            f"allowed_origins: {origin!r} is not an origin; write a scheme and a host as a page's address has them, "
            "with a port if it is not the scheme's default, and nothing after it: "
            '"https://app.example.com", "http://localhost:5173"'
        )
    return parsed


def _parsed(origin: str) -> _Origin:
    """Return an origin in its one form.

    Raises:
        ValueError: It is not an origin.
    """
    scheme, separator, authority = origin.partition("://")
    scheme = scheme.lower()
    if not separator or not re.fullmatch("[a-z][a-z0-9+.-]*", scheme) or _FORBIDDEN.search(authority):
        raise ValueError(origin)
    parts = urlsplit(f"//{authority}")
    if not parts.hostname:
        raise ValueError(origin)
    host = _host(parts.hostname, authority) if scheme in _SCHEMES else parts.hostname
    return _Origin(scheme, host, parts.port if parts.port is not None else _DEFAULT_PORTS.get(scheme))


def _host(name: str, authority: str) -> str:
    """Return a host as browsers write it (URL Standard, section 3.5): IDN names as Punycode, addresses in one form."""
    if authority.startswith("["):
        return str(IPv6Address(name))
    name = name if name.isascii() else _ascii(name)
    labels = name.removesuffix(".").split(".")
    if not all(labels):
        raise ValueError(name)
    if not _NUMBER.fullmatch(labels[-1]):
        return name
    try:
        return socket.inet_ntoa(socket.inet_aton(".".join(labels)))
    except OSError:
        raise ValueError(name) from None


def _ascii(name: str) -> str:
    import idna  # here, since it loads large tables for the few that need them

    # Not idna.encode(), which refuses names that browsers take, such as those with emoji.
    mapped = idna.uts46_remap(name, std3_rules=False, transitional=False)
    host = ".".join(
        label if label.isascii() else f"xn--{label.encode('punycode').decode()}" for label in _DOTS.split(mapped)
    )
    if not host or _FORBIDDEN.search(host):
        raise ValueError(name)
    return host


def _is_loopback(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
