"""Topics: what is published is valid, under a valid key, and goes to every app that has the topic."""

from typing import Any

import pytest
from pydantic import BaseModel

from tests.definitions.test_watched import Shelf, parameter
from tests.hub.watching import topic
from wirespeed.definitions import Key, Tagged
from wirespeed.errors import InvalidKey, InvalidValue
from wirespeed.identity import Sender
from wirespeed.log.base import Marks, Removed


class Order(BaseModel):
    id: int


class Place:
    """Where a topic is declared: it takes note."""

    def __init__(self) -> None:
        self.taken: list[Any] = []

    def take_key(self, function: Any) -> None:
        """A function says what the key is."""
        self.taken.append(function)

    def take_handler(self, topic: Any, function: Any) -> None:
        """A function takes messages."""
        self.taken.append((topic, function))


def test_value_is_validated() -> None:
    """Watchers get what the type says: what fits is converted, what does not raises, and is not published."""
    watched, shelf = topic(Order, "/orders"), Shelf()
    watched.bind(shelf)
    watched.publish({"id": "7"})
    watched.publish(Order(id=8))
    with pytest.raises(InvalidValue, match=r"topic '/orders': the value does not fit at id: .* not 'x'"):
        watched.publish({"id": "x"})
    assert shelf.published == [("", Order(id=7)), ("", Order(id=8))]


def test_key_is_validated() -> None:
    """A value goes under the spelling of its key; without a valid one it is not published."""
    watched, shelf = topic(str, by=None), Shelf()
    watched.key = Key("x", [parameter("user_id", int)])
    watched.bind(shelf)
    watched.publish("a", user_id=5)
    watched.publish("b", "005")
    for kwargs in ({}, {"user": 5}, {"user_id": "x"}):
        with pytest.raises(InvalidKey):
            watched.publish("c", **kwargs)
    assert shelf.published == [("user_id=5", "a"), ("user_id=5", "b")]


def test_tags_go_beside_the_value() -> None:
    """The value inside is validated; the tags are a copy; a value with no tags is a plain one."""
    watched, shelf = topic(Order, "/orders"), Shelf()
    watched.bind(shelf)
    tags = {"side": "buy"}
    watched.publish(Tagged({"id": "7"}, tags))
    tags["side"] = "sell"
    watched.publish(Tagged(Order(id=8), {}))
    assert shelf.published == [("", Order(id=7)), ("", Order(id=8))]
    assert shelf.marks == [Marks({"side": "buy"}), None]
    with pytest.raises(InvalidValue, match=r"topic '/orders': the value does not fit at id: .* not 'x'"):
        watched.publish(Tagged({"id": "x"}, tags))
    assert len(shelf.published) == 2


@pytest.mark.parametrize(
    ("tags", "problem"),
    [
        ({"side": 5}, "at tags.side: .* string, not 5"),
        ({5: "buy"}, "at tags.5"),
        ("buy", "at tags: .* dictionary"),
        (None, "at tags:"),
    ],
)
def test_tags_are_validated(tags: Any, problem: str) -> None:
    """What are no tags raises, with their place, and nothing is published."""
    watched, shelf = topic(str, "/news"), Shelf()
    watched.bind(shelf)
    with pytest.raises(InvalidValue, match=f"topic '/news': the value does not fit {problem}"):
        watched.publish(Tagged("text", tags))
    assert shelf.published == []


def test_who_publishes() -> None:
    """Only what is published on behalf of a client tells it, with tags or without, and nothing that follows."""
    watched, shelf = topic(str), Shelf()
    watched.bind(shelf)
    ada = Sender(client="1", user="ada")
    watched.publish_as(ada, "a")
    watched.publish_as(ada, Tagged("b", {"side": "buy"}))
    watched.publish("c")
    watched.publish_as(Sender(user="ada"), "d")  # of a raw WebSocket
    assert [value for _, value in shelf.published] == ["a", "b", "c", "d"]
    assert shelf.marks == [Marks({}, ada), Marks({"side": "buy"}, ada), None, None]


def test_all_apps_are_told() -> None:
    """A topic of two apps publishes in both; the receipt is the first one's."""
    watched, first, second = topic(str), Shelf(), Shelf()
    second.publish(watched, "", "before", None)
    for shelf in (first, second):
        watched.bind(shelf)
    assert watched.publish("a").result(0).offset == 1
    assert first.published == [("", "a")]
    assert second.published == [("", "before"), ("", "a")]


def test_rows_are_removed_from_tables_only() -> None:
    """A row goes by its key; what is no table says how to become one."""
    table, shelf = topic(dict[str, int], by="n", keep="latest"), Shelf()
    table.bind(shelf)
    table.remove(7)
    assert shelf.published == [("", Removed(7))]
    log = topic(str, "/news")
    log.bind(shelf)
    with pytest.raises(TypeError, match="topic '/news' is no table: declare it with by="):
        log.remove(7)


def test_decorators_go_to_its_place() -> None:
    """As a decorator it stays the topic; a handler stays the function it was."""
    watched, place = topic(str), Place()
    watched.attach(place)

    def key(user_id: int) -> None:
        """A key."""

    assert watched(key) is watched
    assert watched.on_message(key) is key
    assert place.taken == [key, (watched, key)]
    assert watched.handler is None
