"""Channels: the names that clients choose, as URLs."""

import pytest
from hypothesis import given

from tests.centrifuge.samples import TEXT
from wirespeed.surfaces.multiplex.channels import ChannelName


@pytest.mark.parametrize(
    ("name", "path", "query"),
    [
        ("price/BTC", "/price/BTC", ""),
        ("/price/BTC", "/price/BTC", ""),
        ("//price", "//price", ""),
        ("price/BTC?currency=EUR&n=1", "/price/BTC", "currency=EUR&n=1"),
        ("price?a=1?b=2", "/price", "a=1?b=2"),
        ("price?", "/price", ""),
        ("run#1", "/run", ""),
        ("run?a=1#2", "/run", "a=1"),
        ("run#1?a=1", "/run", ""),
        ("#42", "/", ""),
        ("?a=1", "/", "a=1"),
        ("caf%C3%A9", "/café", ""),
        ("café", "/café", ""),
        ("a%2Fb%3Fc%23d", "/a/b?c#d", ""),
        ("a?x=%26%3D%23", "/a", "x=%26%3D%23"),
        ("100%", "/100%", ""),
        ("%zz", "/%zz", ""),
        ("a b", "/a b", ""),
    ],
)
def test_names(name: str, path: str, query: str) -> None:
    """A name is the end of a URL: a path and a query; the part after a # only tells runs apart."""
    assert ChannelName.parse(name) == (path, query)


@given(TEXT)
def test_any_name_is_a_path(name: str) -> None:
    """The path of every name begins with a slash, however many slashes the name has."""
    channel = ChannelName.parse(name)
    assert channel.path.startswith("/")
    if not name.startswith("/"):
        assert ChannelName.parse(f"/{name}") == channel or channel.path.startswith("//")
