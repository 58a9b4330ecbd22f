"""Origins: the pages that may connect."""

import pytest

from wirespeed.surfaces.origin import Origins

SAME_HOST = [
    pytest.param(None, "example.com", id="no origin: not a browser"),
    pytest.param("https://example.com", "example.com", id="same host"),
    pytest.param("http://example.com:8000", "example.com:8000", id="same port"),
    pytest.param("http://example.com:80", "example.com", id="default port of http in the origin"),
    pytest.param("http://example.com", "example.com:80", id="default port of http in the host"),
    pytest.param("https://example.com", "example.com:443", id="default port of https"),
    pytest.param("HTTPS://Example.COM", "eXample.com", id="case does not count"),
    pytest.param("http://192.168.1.2:8000", "192.168.1.2:8000", id="IPv4"),
    pytest.param("http://[2001:db8::1]:8000", "[2001:db8::1]:8000", id="IPv6"),
    pytest.param("http://[2001:DB8::1]", "[2001:db8::1]:80", id="IPv6, case and default port"),
]

LOOPBACK = ["localhost", "localhost:8000", "127.0.0.1:8000", "127.1.2.3", "[::1]:5173", "app.localhost:3000"]

FOREIGN = [
    pytest.param("https://evil.example", "example.com", id="another host"),
    pytest.param("https://example.com.evil.example", "example.com", id="host as a prefix"),
    pytest.param("https://evil-example.com", "example.com", id="host as a suffix"),
    pytest.param("https://sub.example.com", "example.com", id="subdomain"),
    pytest.param("https://example.com:8443", "example.com", id="another port"),
    pytest.param("http://example.com", "example.com:443", id="default port of the other scheme"),
    pytest.param("https://example.com@evil.example", "example.com", id="host as a user name"),
    pytest.param("http://localhost:8000", "example.com", id="loopback page, public server"),
    pytest.param("https://example.com", "localhost:8000", id="public page, loopback server"),
    pytest.param("http://localhost.evil.example", "localhost", id="loopback as a prefix"),
    pytest.param("http://127.0.0.1.evil.example", "127.0.0.1", id="loopback address as a prefix"),
    pytest.param("http://notlocalhost", "localhost", id="loopback as a suffix"),
    pytest.param("http://128.0.0.1", "127.0.0.1", id="not loopback"),
    pytest.param("http://[2001:db8::2]", "[2001:db8::1]", id="another IPv6 address"),
    pytest.param("null", "example.com", id="page from a file"),
    pytest.param("null", "localhost", id="page from a file, loopback server"),
    pytest.param("file://", "localhost", id="page from a file, spelled out"),
    pytest.param("https://example.com", None, id="no host"),
    pytest.param("https://example.com", "", id="empty host"),
    pytest.param("", "example.com", id="empty origin"),
    pytest.param("https://", "", id="both without a name"),
]

GARBAGE = ["http://[", "http://[::1", "http://a:b", "http://a:99999", "\x00", "://", "ä" * 1000, "http://\u2100.com"]


@pytest.mark.parametrize(("origin", "host"), SAME_HOST)
def test_own_pages_are_admitted(origin: str | None, host: str) -> None:
    """A page of the origin that it connects to passes, in any spelling of host and port."""
    scheme = "ws" if (origin or "").startswith("http:") else "wss"
    assert Origins([]).admits(origin, host, scheme)


@pytest.mark.parametrize("host", LOOPBACK)
@pytest.mark.parametrize("page", LOOPBACK)
def test_loopback_names_are_one_host(page: str, host: str) -> None:
    """``localhost``, ``127.x`` and ``[::1]`` are the same host, on any port."""
    assert Origins([]).admits(f"http://{page}", host, "ws")


@pytest.mark.parametrize(("origin", "host"), FOREIGN)
@pytest.mark.parametrize("scheme", ["ws", "wss", "http", "https"])
def test_foreign_pages_are_refused(origin: str, host: str | None, scheme: str) -> None:
    """A page of another host or port is refused, and so is one without a host of its own."""
    assert not Origins([]).admits(origin, host, scheme)


@pytest.mark.parametrize("scheme", ["wss", "https"])
def test_page_without_tls_is_foreign_to_a_server_with_it(scheme: str) -> None:
    """The scheme counts: a network can forge any http page, even one on the port of https."""
    assert not Origins([]).admits("http://app.example", "app.example", scheme)
    assert not Origins([]).admits("http://app.example:443", "app.example", scheme)
    assert not Origins(["https://app.example"]).admits("http://app.example", "api.example", scheme)


@pytest.mark.parametrize("scheme", ["ws", "http"])
def test_page_with_tls_is_at_home_where_a_proxy_ends_it(scheme: str) -> None:
    """A server that does not know that its proxy speaks TLS admits its own pages."""
    assert Origins([]).admits("https://app.example", "app.example", scheme)
    assert not Origins([]).admits("https://app.example", "app.example:80", scheme)


@pytest.mark.parametrize("origin", ["chrome-extension://app.example", "ftp://app.example", "ws://app.example"])
def test_scheme_that_is_not_of_pages_is_foreign(origin: str) -> None:
    """An origin of another kind is not the server's own, even if it has the server's name."""
    for scheme in ("ws", "wss"):
        assert not Origins([]).admits(origin, "app.example", scheme)


@pytest.mark.parametrize("host", ["example.com", *GARBAGE])
@pytest.mark.parametrize("origin", GARBAGE)
def test_garbage_is_refused(origin: str, host: str) -> None:
    """A malformed origin is refused, without an exception."""
    assert not Origins([]).admits(origin, host, "https")


@pytest.mark.parametrize("host", GARBAGE)
def test_garbage_host_is_refused(host: str) -> None:
    """A malformed host has no pages."""
    assert not Origins([]).admits("https://example.com", host, "https")


@pytest.mark.parametrize("origin", ["https://app.example.com", "HTTPS://App.Example.Com", "http://localhost:5173"])
def test_named_origins_are_admitted(origin: str) -> None:
    """An allowed origin passes whatever the host is, in any case."""
    assert Origins(["https://APP.example.com", "http://localhost:5173"]).admits(origin, "api.example.com", "https")


@pytest.mark.parametrize("origin", ["http://app.example.com", "https://app.example.com:8443", "https://example.com"])
def test_named_origins_are_exact(origin: str) -> None:
    """Scheme and port of an allowed origin count, and so does its whole name."""
    assert not Origins(["https://app.example.com"]).admits(origin, "api.example.com", "https")


@pytest.mark.parametrize(
    ("entry", "sent"),
    [
        ("https://x.example:443", "https://x.example"),
        ("http://x.example:80", "http://x.example"),
        ("https://x.example:", "https://x.example"),
        ("https://x.example:08443", "https://x.example:8443"),
        ("https://X.Example", "https://x.example"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("https://BÜCHER.example:443", "https://xn--bcher-kva.example"),
        ("https://straße.example", "https://xn--strae-oqa.example"),
        ("https://例え。テスト", "https://xn--r8jz45g.xn--zckzah"),
        ("https://💩.example", "https://xn--ls8h.example"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("https://x.example.", "https://x.example."),
        ("https://[2001:DB8:0:0::1]", "https://[2001:db8::1]"),
        ("https://[2001:db8::0001]:443", "https://[2001:db8::1]"),
        ("https://[::ffff:1.2.3.4]", "https://[::ffff:102:304]"),
        ("http://127.1:5173", "http://127.0.0.1:5173"),
        ("http://0x7f000001:5173", "http://127.0.0.1:5173"),
        ("http://192.168.1.2.", "http://192.168.1.2"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ("capacitor://localhost", "capacitor://localhost"),
    ],
)
def test_entry_matches_what_browsers_send(entry: str, sent: str) -> None:
    """An entry means the origin that a browser makes of the same address (URL Standard, section 3.5)."""
    assert Origins([entry]).admits(sent, "api.example.com", "wss")


@pytest.mark.parametrize(
    ("entry", "sent"),
    [
        ("https://x.example.", "https://x.example"),
        ("https://x.example", "https://x.example."),
        ("https://bücher.example", "https://bucher.example"),
        ("https://[2001:db8::1]", "https://[2001:db8::2]"),
        ("chrome-extension://abcdef", "https://abcdef"),
    ],
)
def test_entry_matches_nothing_else(entry: str, sent: str) -> None:
    """Names that only look alike are of different origins."""
    assert not Origins([entry]).admits(sent, "api.example.com", "wss")


@pytest.mark.parametrize("host", ["BÜCHER.example", "bücher.example:443", "xn--bcher-kva.example"])
def test_own_host_may_be_an_idn(host: str) -> None:
    """A host that is not ASCII is the server's own in each of its forms."""
    assert Origins([]).admits("https://xn--bcher-kva.example", host, "wss")


def test_own_pages_stay_admitted() -> None:
    """Allowed origins are added to the server's own host."""
    assert Origins(["https://app.example.com"]).admits("https://example.com", "example.com", "https")


def test_null_admits_pages_from_files_alone() -> None:
    """``"null"`` admits pages without an origin of their own, and no other."""
    origins = Origins(["null"])
    assert origins.admits("null", "localhost:8000", "https")
    assert not origins.admits("https://evil.example", "localhost:8000", "https")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", *GARBAGE])
def test_star_admits_everyone(origin: str) -> None:
    """``"*"`` means that there is no check at all."""
    assert Origins(["*"]).admits(origin, "example.com", "https")


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "app.example.com",
        "localhost:5173",
        "https://",
        "https://app.example.com/",
        "https://app.example.com/page",
        "https://app.example.com?x",
        "https://app.example.com#x",
        "https://user@app.example.com",
        "https://*.example.com",
        "https://app.example.com:99999",
        "https://app example.com",
        " https://app.example.com",
        "https://app.example.com\n",
        "https://app..example.com",
        "https://1.2.3.256",
        "https://[fe80::1%eth0]",
        "https://[::1",
        "wss://app.example.com",
        "https://a\u0000.example",
    ],
)
def test_entry_that_is_no_origin_is_refused(entry: str) -> None:
    """An entry that could never match is refused where it is written, and the text shows a right one."""
    with pytest.raises(ValueError, match=r"is not an origin; .*https://app\.example\.com"):
        Origins([entry])


def test_one_string_is_not_a_list() -> None:
    """A bare string is not taken apart into its letters."""
    with pytest.raises(ValueError, match=r"write \['https://app\.example\.com'\]"):
        Origins("https://app.example.com")
