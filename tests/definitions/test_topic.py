"""Topics: a published value is valid, has a valid key, and reaches every app that has the topic."""

from typing import Any

import pytest
from pydantic import BaseModel

from tests.definitions.test_watched import Shelf, parameter
from tests.hub.watching import handle, topic
from wirespeed.definitions import Key, Tagged, Topic
from wirespeed.errors import InvalidKey, InvalidValue
from wirespeed.identity import Sender
from wirespeed.log.base import Marks, Removed
from wirespeed.raw import NotJSON


class Order(BaseModel):
    id: int


def test_value_is_validated() -> None:
    """A value is converted to the type of its topic; a value that does not fit raises and is not published."""
    watched, shelf = topic(Order, "/orders"), Shelf()
    watched.bind(shelf)
    handle(watched).publish({"id": "7"})
    handle(watched).publish(Order(id=8))
    with pytest.raises(InvalidValue, match=r"topic '/orders': the value does not fit at id: .* not 'x'"):
        handle(watched).publish({"id": "x"})
    assert shelf.published == [("", Order(id=7)), ("", Order(id=8))]


def test_key_is_validated() -> None:
    """A value is published under the spelling of its key; without a valid key, it is not published."""
    watched, shelf = topic(str, by=None), Shelf()
    watched.key = Key("x", [parameter("user_id", int)])
    watched.bind(shelf)
    handle(watched).publish("a", user_id=5)
    handle(watched).publish("b", "005")
    for kwargs in ({}, {"user": 5}, {"user_id": "x"}):
        with pytest.raises(InvalidKey):
            handle(watched).publish("c", **kwargs)
    assert shelf.published == [("user_id=5", "a"), ("user_id=5", "b")]


def test_tags_go_beside_the_value() -> None:
    """The value inside is validated, the tags are copied, and a value with empty tags is a plain one."""
    watched, shelf = topic(Order, "/orders"), Shelf()
    watched.bind(shelf)
    tags = {"side": "buy"}
    handle(watched).publish(Tagged({"id": "7"}, tags))
    tags["side"] = "sell"
    handle(watched).publish(Tagged(Order(id=8), {}))
    assert shelf.published == [("", Order(id=7)), ("", Order(id=8))]
    assert shelf.marks == [Marks({"side": "buy"}), None]
    with pytest.raises(InvalidValue, match=r"topic '/orders': the value does not fit at id: .* not 'x'"):
        handle(watched).publish(Tagged({"id": "x"}, tags))
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
    """Wrong tags raise with their place, and nothing is published."""
    watched, shelf = topic(str, "/news"), Shelf()
    watched.bind(shelf)
    with pytest.raises(InvalidValue, match=f"topic '/news': the value does not fit {problem}"):
        handle(watched).publish(Tagged("text", tags))
    assert shelf.published == []


def test_who_publishes() -> None:
    """Only ``publish_as`` adds a sender, with tags or without, and only to its own value."""
    watched, shelf = topic(str), Shelf()
    watched.bind(shelf)
    ada = Sender(client="1", user="ada")
    handle(watched).publish_as(ada, "a")
    handle(watched).publish_as(ada, Tagged("b", {"side": "buy"}))
    handle(watched).publish("c")
    handle(watched).publish_as(Sender(user="ada"), "d")  # of a raw WebSocket
    assert [value for _, value in shelf.published] == ["a", "b", "c", "d"]
    assert shelf.marks == [Marks({}, ada), Marks({"side": "buy"}, ada), None, None]


@pytest.mark.parametrize("info", [b'1}}}\n{"push":{"channel":"forged"}}', b"ada", b"\xff", b"NaN"])
def test_senders_have_json(info: bytes) -> None:
    """A sender whose information is not JSON is refused: watchers get it as it is."""
    watched, shelf = topic(str), Shelf()
    watched.bind(shelf)
    for sender in (Sender(client="1", info=info), Sender(client="1", channel_info=info)):
        with pytest.raises(NotJSON):
            handle(watched).publish_as(sender, "a")
    handle(watched).publish_as(Sender(client="1", info=b'{"name":"ada"}'), "b")
    assert [value for _, value in shelf.published] == ["b"]


def test_all_apps_are_told() -> None:
    """A topic of two apps publishes in both and returns the receipt of the first."""
    watched, first, second = topic(str), Shelf(), Shelf()
    second.publish(watched, "", "before", None)
    for shelf in (first, second):
        watched.bind(shelf)
    assert handle(watched).publish("a").result(0).offset == 1
    assert first.published == [("", "a")]
    assert second.published == [("", "before"), ("", "a")]


def test_rows_are_removed_from_tables_only() -> None:
    """A row is removed by its key; a topic that is not a table says how to become one."""
    table, shelf = topic(dict[str, int], by="n", keep="latest"), Shelf()
    table.bind(shelf)
    handle(table).remove(7)
    assert shelf.published == [("", Removed(7))]
    log = topic(str, "/news")
    log.bind(shelf)
    with pytest.raises(TypeError, match="topic '/news' is not a table; declare it with by="):
        handle(log).remove(7)


def test_decorators_give_functions_to_the_app() -> None:
    """As a decorator a topic stays the topic, and handlers and loaders stay the functions that they were."""
    keys: list[Any] = []
    handlers: list[Any] = []
    loaders: list[Any] = []
    news: Topic[..., Any] = Topic(topic(str), keys.append, handlers.append, loaders.append)

    def key(user_id: int) -> None:
        """A key."""

    assert news(key) is news

    async def stored() -> list[str]:
        return []

    assert news.on_message(key) is key
    assert news.load(stored) is stored
    assert (keys, handlers, loaders) == ([key], [key], [stored])
