"""One way to speak to all SDKs: a kit does what it is told to, and tells what happens, in order."""

import itertools
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

from tests.waiting import PATIENCE

Told = dict[str, Any]
T = TypeVar("T")

_numbers = itertools.count(1)


class Flavour(NamedTuple):
    """How clients connect.

    Args:
        transport: What the SDK calls it: ``websocket``, ``http_stream`` or ``sse``.
        format: ``json`` or ``protobuf``.
    """

    transport: str
    format: str

    def __str__(self) -> str:
        return f"{self.transport}-{self.format}"


JSON, PROTOBUF = Flavour("websocket", "json"), Flavour("websocket", "protobuf")
HTTP_STREAM, PROTOBUF_STREAM = Flavour("http_stream", "json"), Flavour("http_stream", "protobuf")
SSE = Flavour("sse", "json")


class Refusal(Exception):
    """The SDK has refused what it was asked for, or the server has.

    Args:
        code: The code of the protocol's error.
        message: What the server says.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


class Kit(ABC):
    """A process, a page or a thread that has clients of an SDK."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        """All that was told in this test, in order."""
        self._events: defaultdict[tuple[str, str], list[Told]] = defaultdict(list)
        self._answers: dict[int, Told] = {}
        self._numbers = itertools.count(1)

    @abstractmethod
    def _send(self, message: Told) -> None:
        """Hands over one command."""

    @abstractmethod
    def _receive(self, timeout: float) -> list[Told]:
        """What was told since the last time; waits for up to ``timeout`` seconds if that is nothing."""

    def until(self, find: Callable[[], T | None], what: str) -> T:
        """Waits until there is something to be found.

        Raises:
            AssertionError: It takes too long.
        """
        deadline = time.monotonic() + PATIENCE
        while (found := find()) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                last = "\n".join(map(str, self.told[-20:]))
                raise AssertionError(f"no {what} within {PATIENCE} s; what was told last:\n{last}")
            for told in self._receive(min(left, 1.0)):
                self._note(told)
        return found

    def _note(self, told: Told) -> None:
        self.told.append(told)
        if "number" in told:
            self._answers[told["number"]] = told
        else:
            self._events[told["of"], told["event"]].append(told)

    def events(self, of: str, event: str) -> list[Told]:
        """What was told of something so far, of one kind."""
        return self._events[of, event]

    def ask(self, does: str, **given: Any) -> Any:
        """Has something done, and gives what comes of it.

        Raises:
            Refusal: The SDK or the server refuses.
        """
        return self.result(self.begin(does, **given))

    def begin(self, does: str, **given: Any) -> int:
        """Has something done without waiting for it; gives its number."""
        number = next(self._numbers)
        self._send({"number": number, "does": does, **given})
        return number

    def result(self, number: int) -> Any:
        """Waits for what comes of something; raises as :meth:`ask`."""
        told = self.until(lambda: self._answers.get(number), f"answer to command {number}")
        if "error" in told:
            raise Refusal(told["error"]["code"], told["error"]["message"])
        return told["value"]

    def forget(self) -> None:
        """Lets go of what was told; for the next test."""
        self.told.clear()
        self._events.clear()
        self._answers.clear()


class Teller:
    """A client or subscription of an SDK, as a test sees it.

    Args:
        kit: What has it.
        id_: How the kit knows it.
    """

    def __init__(self, kit: Kit, id_: str) -> None:
        self.kit = kit
        self.id = id_
        self._taken: dict[str, int] = {}

    def events(self, name: str) -> list[Told]:
        """What was told of it so far, of one kind."""
        return self.kit.events(self.id, name)

    def next(self, name: str, **expected: Any) -> Told:
        """Waits for the next event of a name that was not taken yet; whatever else it says has to be as expected."""
        place = self._taken.get(name, 0)
        told = self.kit.until(lambda: self._at(name, place), f"{name!r} of {self.id}")
        self._taken[name] = place + 1
        assert {key: told[key] for key in expected} == expected, told
        return told

    def _at(self, name: str, place: int) -> Told | None:
        told = self.events(name)
        return told[place] if place < len(told) else None

    def values(self, count: int) -> list[Any]:
        """The data of the next publications."""
        return [self.next("publication")["data"] for _ in range(count)]

    def ask(self, does: str, **given: Any) -> Any:
        """Has something done with it."""
        return self.kit.ask(does, of=self.id, **given)


class Subscription(Teller):
    """A subscription of an SDK."""

    def subscribe(self) -> None:
        """Begins; what comes of it are events."""
        self.ask("subscribe")

    def unsubscribe(self) -> None:
        """Ends it."""
        self.ask("unsubscribe")

    def publish(self, data: Any) -> None:
        """Publishes; raises :class:`Refusal`."""
        self.ask("publish", data=data)


class Client(Teller):
    """A client of an SDK."""

    def subscription(self, channel: str, **options: Any) -> Subscription:
        """A new subscription that was not begun yet."""
        subscription = Subscription(self.kit, f"{channel} of {self.id}, {next(_numbers)}")
        self.kit.ask("subscription", of=subscription.id, client=self.id, channel=channel, **options)
        return subscription

    def subscribed(self, channel: str, **options: Any) -> Subscription:
        """A subscription that has begun."""
        subscription = self.subscription(channel, **options)
        subscription.subscribe()
        subscription.next("subscribed")
        return subscription

    def subscribed_to(self, channels: Iterable[str]) -> list[Subscription]:
        """Subscriptions that have begun at the same time."""
        subscriptions = [self.subscription(channel) for channel in channels]
        for number in [self.kit.begin("subscribe", of=each.id) for each in subscriptions]:
            self.kit.result(number)
        for each in subscriptions:
            each.next("subscribed")
        return subscriptions

    def drop(self, subscription: Subscription) -> None:
        """Forgets a subscription that is over, so that there may be another one to its channel."""
        self.kit.ask("remove", of=subscription.id, client=self.id)

    def connect(self) -> None:
        """Connects, without waiting for it."""
        self.ask("connect")

    def disconnect(self) -> None:
        """Disconnects."""
        self.ask("disconnect")

    def rpc(self, method: str, data: Any) -> Any:
        """Calls; raises :class:`Refusal`."""
        return self.ask("rpc", method=method, data=data)
