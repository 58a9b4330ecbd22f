"""One interface for all SDKs: a kit executes commands and reports events, in order."""

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
    """A transport and a format for clients.

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
    """The SDK or the server has refused a command.

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
        """All events of this test, in order."""
        self._events: defaultdict[tuple[str, str], list[Told]] = defaultdict(list)
        self._answers: dict[int, Told] = {}
        self._numbers = itertools.count(1)

    @abstractmethod
    def _send(self, message: Told) -> None:
        """Send one command to the kit."""

    @abstractmethod
    def _receive(self, timeout: float) -> list[Told]:
        """Return the events since the last call; wait for up to ``timeout`` seconds if there are none."""

    def until(self, find: Callable[[], T | None], what: str) -> T:
        """Wait until there is a result.

        Raises:
            AssertionError: It takes too long.
        """
        deadline = time.monotonic() + PATIENCE
        while (found := find()) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                last = "\n".join(map(str, self.told[-20:]))
                raise AssertionError(f"no {what} within {PATIENCE} s; the last events:\n{last}")
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
        """Return the events of one kind of an object so far."""
        return self._events[of, event]

    def ask(self, does: str, **given: Any) -> Any:
        """Execute a command and return its result.

        Raises:
            Refusal: The SDK or the server refuses.
        """
        return self.result(self.begin(does, **given))

    def begin(self, does: str, **given: Any) -> int:
        """Start a command without waiting for it; return its number."""
        number = next(self._numbers)
        self._send({"number": number, "does": does, **given})
        return number

    def result(self, number: int) -> Any:
        """Wait for the result of a command; raises as :meth:`ask`."""
        told = self.until(lambda: self._answers.get(number), f"answer to command {number}")
        if "error" in told:
            raise Refusal(told["error"]["code"], told["error"]["message"])
        return told["value"]

    def forget(self) -> None:
        """Drop all events before the next test."""
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
        """Return its events of one kind so far."""
        return self.kit.events(self.id, name)

    def next(self, name: str, **expected: Any) -> Told:
        """Wait for the next event of a name that was not consumed yet; its fields must be as expected."""
        place = self._taken.get(name, 0)
        told = self.kit.until(lambda: self._at(name, place), f"{name!r} of {self.id}")
        self._taken[name] = place + 1
        assert {key: told[key] for key in expected} == expected, told
        return told

    def _at(self, name: str, place: int) -> Told | None:
        told = self.events(name)
        return told[place] if place < len(told) else None

    def values(self, count: int) -> list[Any]:
        """Return the data of the next publications."""
        return [self.next("publication")["data"] for _ in range(count)]

    def ask(self, does: str, **given: Any) -> Any:
        """Execute a command on it."""
        return self.kit.ask(does, of=self.id, **given)


class Subscription(Teller):
    """A subscription of an SDK."""

    def subscribe(self) -> None:
        """Subscribe; the results are events."""
        self.ask("subscribe")

    def unsubscribe(self) -> None:
        """Unsubscribe."""
        self.ask("unsubscribe")

    def publish(self, data: Any) -> None:
        """Publish; raises :class:`Refusal`."""
        self.ask("publish", data=data)


class Client(Teller):
    """A client of an SDK."""

    def subscription(self, channel: str, **options: Any) -> Subscription:
        """Return a new subscription that is not started yet."""
        subscription = Subscription(self.kit, f"{channel} of {self.id}, {next(_numbers)}")
        self.kit.ask("subscription", of=subscription.id, client=self.id, channel=channel, **options)
        return subscription

    def subscribed(self, channel: str, **options: Any) -> Subscription:
        """Return a started subscription."""
        subscription = self.subscription(channel, **options)
        subscription.subscribe()
        subscription.next("subscribed")
        return subscription

    def subscribed_to(self, channels: Iterable[str]) -> list[Subscription]:
        """Return subscriptions that were started at the same time."""
        subscriptions = [self.subscription(channel) for channel in channels]
        for number in [self.kit.begin("subscribe", of=each.id) for each in subscriptions]:
            self.kit.result(number)
        for each in subscriptions:
            each.next("subscribed")
        return subscriptions

    def drop(self, subscription: Subscription) -> None:
        """Forget a subscription that is over, so that another one to its channel is possible."""
        self.kit.ask("remove", of=subscription.id, client=self.id)

    def connect(self) -> None:
        """Connect, without waiting for it."""
        self.ask("connect")

    def disconnect(self) -> None:
        """Disconnect."""
        self.ask("disconnect")

    def rpc(self, method: str, data: Any) -> Any:
        """Call; raises :class:`Refusal`."""
        return self.ask("rpc", method=method, data=data)
