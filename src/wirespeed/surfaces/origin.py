"""Which pages may connect: the ``Origin`` of a handshake against the server's own name (RFC 6455, section 10.2)."""

from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


class Origins:
    """The origins that may connect: the server's own, and those named.

    Loopback names count as one host on any port; a client that sends no ``Origin`` is no browser and passes.

    Args:
        allowed: More origins, such as ``"https://app.example.com"``; ``"null"`` admits pages opened from a file and
            sandboxed frames, ``"*"`` everyone.

    Raises:
        ValueError: An entry is not an origin.
    """

    def __init__(self, allowed: Iterable[str]) -> None:
        if isinstance(allowed, str):
            raise ValueError(f"allowed_origins is a list of origins; write [{allowed!r}]")
        self._allowed = frozenset(_checked(origin) for origin in allowed)

    def admits(self, origin: str | None, host: str | None) -> bool:
        """Whether a handshake may go on.

        Args:
            origin: Its ``Origin`` header.
            host: Its ``Host`` header.
        """
        if origin is None or "*" in self._allowed or origin.lower() in self._allowed:
            return True
        return _is_same_host(origin.lower(), (host or "").lower())


def _checked(origin: str) -> str:
    if origin in ("*", "null"):
        return origin
    parts = urlsplit(origin)
    if not parts.scheme or not parts.netloc or parts.path or parts.query or parts.fragment:
        raise ValueError(
            f"allowed_origins: {origin!r} is not an origin; write a scheme and a host, with a port where it is not "
            'the default one, and nothing after it: "https://app.example.com", "http://localhost:5173"'
        )
    return origin.lower()


def _is_same_host(origin: str, host: str) -> bool:
    try:
        page = urlsplit(origin)
        server = urlsplit(f"{page.scheme}://{host}")
        ports = [part.port or _DEFAULT_PORTS.get(part.scheme) for part in (page, server)]
    except ValueError:
        return False
    if not page.hostname or not server.hostname:
        return False
    if _is_loopback(page.hostname) and _is_loopback(server.hostname):
        return True
    return page.hostname == server.hostname and ports[0] == ports[1]


def _is_loopback(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
