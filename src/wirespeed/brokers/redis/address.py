"""The URL of a broker, and connections to the servers that it names."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote

from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection

MOST = 1024 * 1024
"""Bytes that a payload may have, unless the URL says otherwise."""

PATIENCE = 5.0
"""Seconds in which a connection has to open."""

FORMS = (
    "redis://user:password@host:6379/0, rediss:// for TLS, unix:///path/to/socket, "
    "redis+sentinel://host1,host2/name, or redis+cluster://host1,host2; valkey stands for redis"
)
_SCHEME = re.compile(r"(?:redis|valkey)(s?)(?:\+(sentinel|cluster))?")
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:@/\s]*))(?::([0-9]{1,5}))?")


class Endpoint(NamedTuple):
    """One server."""

    host: str
    """Name or IP address, or the path of its socket."""
    port: int
    """Port; 0 for a socket."""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}" if self.port else self.host


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ValueError
    return int(text)


def _choice(**choices: Any) -> Callable[[str], Any]:
    return lambda text: choices[text]


_OPTIONS: dict[str, Callable[[str], Any]] = {
    "db": _count,
    "max_value_bytes": _count,
    "sentinel_username": str,
    "sentinel_password": str,
    "ssl_ca_certs": str,
    "ssl_certfile": str,
    "ssl_keyfile": str,
    "ssl_password": str,
    "ssl_cert_reqs": _choice(required="required", none="none"),
    "ssl_check_hostname": _choice(true=True, false=False),
}


class Address:
    """The servers that a URL names, and everything else that it says.

    Args:
        url: The URL, of one of the ``FORMS``.

    Attributes:
        kind: ``"one"``, ``"sentinel"`` or ``"cluster"``.
        endpoints: The server; the Sentinels; or some servers of the Cluster.
        service: Name of the primary, as the Sentinels know it.
        database: Number of the database.
        most: Bytes that a payload may have.

    Raises:
        ValueError: The URL has another form. The text of the error contains no password.
    """

    def __init__(self, url: str) -> None:
        scheme, _, rest = url.partition("://")
        before, _, query = rest.partition("?")
        place, slash, path = before.partition("/")
        login, _, hosts = place.rpartition("@")
        self._options = _options(query)
        self.service = ""
        self.most: int = self._options.pop("max_value_bytes", MOST)
        if scheme == "unix":
            self._class: Any = UnixDomainSocketConnection
            self.kind, self.endpoints = "one", [Endpoint(unquote(slash + path), 0)]
            if hosts or not path:
                raise _wrong("a socket has no host, and an absolute path")
            path = ""
        else:
            match = _SCHEME.fullmatch(scheme)
            if match is None:
                raise _wrong(f"unknown scheme {scheme[:20]!r}" if "://" in url else "it has no scheme")
            self._class = SSLConnection if match[1] else Connection
            self.kind = match[2] or "one"
            port = 26379 if self.kind == "sentinel" else 6379
            self.endpoints = [_endpoint(host, port) for host in hosts.split(",")]
        if self.kind == "one" and len(self.endpoints) > 1:
            raise _wrong("several hosts need +sentinel or +cluster in the scheme")
        if self.kind == "sentinel":
            self.service, _, path = (unquote(each) for each in path.partition("/"))
            if not self.service:
                raise _wrong("name the primary after the Sentinels, as in redis+sentinel://host1,host2/main")
        self.database = self._database(path)
        self._login = _login(login)
        self._sentinel_login = {name: self._options.pop(f"sentinel_{name}", None) for name in ("username", "password")}
        if self._class is not SSLConnection and any(name.startswith("ssl_") for name in self._options):
            raise _wrong("options that begin with ssl_ need rediss:// or valkeys://")

    def _database(self, path: str) -> int:
        text = path.strip("/")
        if text and not (text.isascii() and text.isdigit()):
            raise _wrong("the path is the number of the database")
        database: int = self._options.pop("db", int(text or 0))
        if self.kind == "cluster" and database:
            raise _wrong("a Cluster has only database 0")
        return database

    def connection(self, endpoint: Endpoint, *, to_sentinel: bool = False) -> Any:
        """Return a new connection, which is not open."""
        host, port = endpoint
        place: dict[str, Any] = {"host": host, "port": port} if port else {"path": host}
        login = self._sentinel_login if to_sentinel else {**self._login, "db": self.database}
        # RESP2: two connections need no pushes, and it costs the reader less. A timeout for each write would cost a
        # task for each, and swallow a cancellation at times.
        timeouts = {"socket_connect_timeout": PATIENCE, "socket_timeout": None}
        return self._class(protocol=2, **timeouts, **place, **login, **self._options)


def _wrong(problem: str) -> ValueError:
    return ValueError(f"not a URL of Redis or Valkey: {problem}. Write {FORMS}.")


def _options(query: str) -> dict[str, Any]:
    options = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in _OPTIONS:
            raise _wrong(f"unknown option; there are {', '.join(_OPTIONS)}")  # its name can be a part of a password
        try:
            options[name] = _OPTIONS[name](text)
        except (KeyError, ValueError):
            raise _wrong(f"the option {name} has an invalid value") from None
    return options


def _endpoint(text: str, port: int) -> Endpoint:
    match = _HOST.fullmatch(text)
    if match is None or int(match[3] or port) not in range(1, 65536):
        # What looks like a host can be a part of a password.
        raise _wrong("the host or port is not valid; special characters of a password must be percent-encoded")
    return Endpoint(match[1] or unquote(match[2]) or "localhost", int(match[3] or port))


def _login(text: str) -> dict[str, str | None]:
    username, colon, password = text.partition(":")
    if username and not colon:
        raise _wrong("a user needs a password, as in redis://user:password@host")
    return {"username": unquote(username) or None, "password": unquote(password) or None}
