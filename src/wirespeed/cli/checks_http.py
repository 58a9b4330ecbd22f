"""Checks over HTTP: the server, its document, its proxy, and whether streamed responses arrive at once."""

import http.client
import json
import time
from collections.abc import Iterator
from urllib.parse import urlencode, urlsplit

from .checks import Finding, Level, note, ok, slow, wrong
from .document import Document, fetch_if_any
from .failures import CommandError
from .fetching import PATIENCE, explained, get, within
from .target import Target

SERVERS = ("uvicorn", "hypercorn", "granian", "gunicorn", "daphne")
BUFFERS = "A proxy buffers responses: proxy_buffering off in nginx; see docs/how-to/deploy.md."
EVENTS = {"Accept": "text/event-stream", "Accept-Encoding": "gzip"}
BUFFERED = 3.0
"""Seconds within which the first event of a response has to arrive."""

MOST_EVENT_BYTES = 1 << 20


def check(target: Target) -> Iterator[Finding]:
    """Yield what requests find.

    Raises:
        CommandError: The server cannot be reached.
    """
    begun = time.perf_counter()
    reply = get(target, f"{target.prefix}/asyncapi.json")
    elapsed = time.perf_counter() - begun
    yield ok("server", f"answers HTTP in {1000 * elapsed:.0f} ms")
    if not target.is_local and target.url.startswith("http://"):
        level = Level.NOTE if target.is_private else Level.WRONG
        text = "without encryption, the network can read tokens and values"
        yield Finding(level, "encryption", text, "Use https:// and TLS, in the server or in a proxy before it.")
    yield from _proxy(reply.headers)
    yield from _document(target)
    yield from _streaming(target)


def _proxy(headers: dict[str, str]) -> Iterator[Finding]:
    server = headers.get("server", "")
    name = server.partition("/")[0].lower()
    via = headers.get("via") or ("Cloudflare" if "cf-ray" in headers else "")
    if name == "uvicorn":
        yield ok("ASGI server", "uvicorn, whose connections can have the fast lane")
    elif name in SERVERS or name.startswith(("hypercorn", "granian")):
        yield slow("ASGI server", f"{server}: values take the portable lane",
                   "Serve with uvicorn, where a delivery costs less, such as 'wirespeed serve'.")  # fmt: skip
    elif server or via:
        yield note("proxy", f"{server or via} answers before the app{f' (via {via})' if via and server else ''}",
                   "Its WebSockets, buffering and timeouts are checked below; see docs/how-to/deploy.md.")  # fmt: skip


def _document(target: Target) -> Iterator[Finding]:
    found = fetch_if_any(target)
    if isinstance(found, CommandError):
        yield note("document", str(found).rstrip("."), found.hint)
        return
    assert isinstance(found, Document)
    kinds = [each.kind for each in found.definitions]
    counts = ", ".join(f"{kinds.count(kind)} {kind}{'s' * (kinds.count(kind) != 1)}" for kind in dict.fromkeys(kinds))
    if kinds:
        yield ok("document", f"{found.title or 'the app'} has {counts}")
    else:
        yield note("document", "the app has no definitions", "Declare one, such as @live.feed('/price').")


def _streaming(target: Target) -> list[Finding]:
    try:
        return within(PATIENCE + 2 * BUFFERED, lambda: list(_first_event(target)))
    except TimeoutError:
        return [_held_back()]


def _held_back() -> Finding:
    return wrong("streaming", f"the first event was held back for more than {BUFFERED:g} seconds", BUFFERS)


def _first_event(target: Target) -> Iterator[Finding]:
    """Open the multiplexed connection as Server-Sent Events: its first event is the answer to its connect command."""
    parts = urlsplit(target.url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    command = json.dumps({"id": 1, "connect": {"token": target.token} if target.token else {}})
    path = f"{parts.path}{target.prefix}/sse?{urlencode({'cf_connect': command})}"
    connection = kind(parts.netloc, timeout=PATIENCE)
    try:
        begun = time.perf_counter()
        connection.request("GET", path, headers=target.headers | EVENTS)
        if connection.sock is not None:
            connection.sock.settimeout(BUFFERED)
        answer = connection.getresponse()
        if answer.status != 200:
            return
        if (coding := answer.getheader("Content-Encoding")) not in (None, "identity"):
            text = f"streamed responses are compressed ({coding}), which holds values back"
            yield slow("compression", text, "Exclude text/event-stream and application/jsonl from compression.")
        answer.readline(MOST_EVENT_BYTES)
        yield ok("streaming", f"a streamed response begins after {1000 * (time.perf_counter() - begun):.0f} ms")
    except TimeoutError:
        yield _held_back()
    except (OSError, http.client.HTTPException) as error:
        yield note("streaming", f"a streamed response cannot be read: {explained(error)}")
    finally:
        connection.close()
