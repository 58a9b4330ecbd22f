"""Presence: who is there, and who is told of those who come and go."""

import weakref

from wirespeed.centrifuge.messages import ClientInfo
from wirespeed.hub.presence import Presence


class Member:
    """A subscription, and what it is told."""

    def __init__(self, name: str) -> None:
        self.info = ClientInfo(name, f"{name}-1")
        self.told: list[tuple[str, str]] = []

    def joined(self, info: ClientInfo) -> None:
        """Somebody has come."""
        self.told.append(("joined", info.user))

    def left(self, info: ClientInfo) -> None:
        """Somebody has gone."""
        self.told.append(("left", info.user))


def test_all_are_told_who_comes() -> None:
    """Those who are there, and the newcomer itself; not those of other keys."""
    presence = Presence()
    ann, bob, eve = Member("ann"), Member("bob"), Member("eve")
    presence.join("/a", ann)
    presence.join("/other", eve)
    presence.join("/a", bob)
    assert ann.told == [("joined", "ann"), ("joined", "bob")]
    assert bob.told == [("joined", "bob")]
    assert eve.told == [("joined", "eve")]


def test_others_are_told_who_goes() -> None:
    """Who goes is told nothing, as it is not there any more."""
    presence = Presence()
    ann, bob = Member("ann"), Member("bob")
    presence.join("/a", ann)
    presence.join("/a", bob)
    presence.leave("/a", ann)
    assert ann.told[-1] == ("joined", "bob")
    assert bob.told[-1] == ("left", "ann")


def test_members() -> None:
    """They are known by key, in the order in which they came, until they go."""
    presence = Presence()
    ann, bob = Member("ann"), Member("bob")
    assert presence.members("/a") == []
    presence.join("/a", ann)
    presence.join("/a", bob)
    assert presence.members("/a") == [ann.info, bob.info]
    assert presence.members("/b") == []
    presence.leave("/a", ann)
    presence.join("/a", ann)
    assert presence.members("/a") == [bob.info, ann.info]
    presence.leave("/a", ann)
    presence.leave("/a", bob)
    assert presence.members("/a") == []


def test_who_was_not_there_does_not_go() -> None:
    """Nobody is told of one that leaves twice, leaves another key, or never came."""
    presence = Presence()
    ann, bob = Member("ann"), Member("bob")
    presence.join("/a", ann)
    presence.join("/a", bob)
    presence.leave("/a", bob)
    told = list(ann.told)
    presence.leave("/a", bob)
    presence.leave("/b", ann)
    presence.leave("/a", Member("ann"))
    assert ann.told == told
    assert presence.members("/a") == [ann.info]


def test_keys_are_forgotten() -> None:
    """Where nobody is any more nothing is kept, not even the name."""

    class Name(str):
        __slots__ = ("__weakref__",)

    presence, member, name = Presence(), Member("ann"), Name("/a")
    known = weakref.ref(name)
    presence.join(name, member)
    presence.leave(name, member)
    del name
    assert known() is None


def test_two_connections_of_one_user() -> None:
    """They are two members, each of which comes and goes for itself."""
    presence = Presence()
    one, other = Member("ann"), Member("ann")
    presence.join("/a", one)
    presence.join("/a", other)
    presence.leave("/a", one)
    assert presence.members("/a") == [other.info]
    assert other.told == [("joined", "ann"), ("left", "ann")]


def test_one_that_goes_while_it_is_told() -> None:
    """A member may leave upon the news that another one has come or gone; all others are told all the same."""
    presence = Presence()
    first, last, newcomer = Member("first"), Member("last"), Member("new")

    class Leaving(Member):
        def joined(self, info: ClientInfo) -> None:
            super().joined(info)
            if info.user == "new":
                presence.leave("/a", self)

    for member in (first, Leaving("leaving"), last, newcomer):
        presence.join("/a", member)
    for each in (first, last):
        assert ("joined", "new") in each.told
        assert ("left", "leaving") in each.told
    assert [info.user for info in presence.members("/a")] == ["first", "last", "new"]
