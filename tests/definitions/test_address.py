"""Addresses of keys, as clients write them."""

from typing import Annotated

import pytest
from fastapi import FastAPI, Query
from pydantic import AliasChoices

from wirespeed import Live
from wirespeed.definitions import KeyAddresses, watched_of


@pytest.fixture
def addresses() -> KeyAddresses:
    """The addresses of a topic whose parameters have other names in URLs."""

    def orders(
        user: str,
        kinds: Annotated[list[str], Query(alias="kind")],
        most: Annotated[int, Query(validation_alias=AliasChoices("limit", "lim"))] = 5,
    ) -> None: ...

    topic = Live(FastAPI()).topic("/orders/{user}", int)(orders)
    return KeyAddresses("/v1/orders/{user}", watched_of(topic).key)


def test_preferred_names(addresses: KeyAddresses) -> None:
    """An address has one name for each parameter, and is read by any of them."""
    values = {"user": "a/b", "kinds": ["x", "y"], "most": 7}
    assert addresses.of(values) == "/v1/orders/a%2Fb?kind=x&kind=y&limit=7"
    for name in ("limit", "lim"):
        assert addresses.values(f"/v1/orders/a%2Fb?kind=x&kind=y&{name}=7") == values
    assert addresses.values("/orders/a") is None
