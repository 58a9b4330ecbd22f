"""Addresses of definitions, as clients write them."""

from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Query
from pydantic import AliasChoices, BaseModel, Field

from wirespeed import Live
from wirespeed.definitions import AddressForm, Key, KeyAddresses, watched_of


class Filters(BaseModel):
    """A model of query parameters."""

    low: int | None = Field(None, alias="from")
    tags: list[str] = []
    internal: str = Field("i", exclude=True)


def orders(
    user: str,
    kinds: Annotated[list[str], Query(alias="kind")],
    most: Annotated[int, Query(validation_alias=AliasChoices("limit", "lim"))] = 5,
) -> None:
    """Declare a key whose parameters have other names in URLs."""


def filtered(found: Annotated[Filters, Query()]) -> None:
    """Declare a key of a model."""


def key_of(path: str, function: Any) -> Key:
    """Return the key that a function declares."""
    return watched_of(Live(FastAPI()).topic(path, int)(function)).key


def test_preferred_names() -> None:
    """An address has one name for each parameter, the preferred one, and each item of a list."""
    addresses = KeyAddresses("/v1/orders/{user}", key_of("/orders/{user}", orders))
    values = {"user": "a/b", "kinds": ["x", "y z"], "most": 7}
    assert addresses.of_values(values) == "/v1/orders/a%2Fb?kind=x&kind=y%20z&limit=7"
    assert addresses.split("/v1/orders/a%2Fb?kind=x") == ({"user": "a/b"}, "kind=x")
    assert addresses.split("/orders/a") is None


def test_models_are_flattened() -> None:
    """The fields of a model are parameters of their own, by the names by which they are read."""
    addresses = KeyAddresses("/found", key_of("/found", filtered))
    found = Filters.model_validate({"from": 3, "tags": ["a", "b"], "internal": "x"})
    assert addresses.of_values({"found": found}) == "/found?from=3&tags=a&tags=b&internal=x"


def test_query_that_was_not_given() -> None:
    """Parameters of the query may be left out, and None is."""
    addresses = AddressForm("/orders/{user}", key_of("/orders/{user}", orders).parameters)
    assert addresses.of({"user": "a"}) == "/orders/a"
    assert addresses.of({"user": "a", "kinds": None, "most": 5}) == "/orders/a?limit=5"


@pytest.mark.parametrize("prefix", ["/{tenant}", "/{tenant:path}"])
def test_prefix_that_only_dependencies_read(prefix: str) -> None:
    """A parameter in a router's prefix that is not part of the key stays as it is, and any value is read there."""
    addresses = KeyAddresses(f"{prefix}/orders/{{user}}", key_of("/orders/{user}", orders))
    assert addresses.of_values({"user": "a", "kinds": [], "most": 5}) == "/{tenant}/orders/a?limit=5"
    assert addresses.split("/acme/orders/a") == ({"tenant": "acme", "user": "a"}, "")
