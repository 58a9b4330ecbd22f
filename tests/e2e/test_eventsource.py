"""A browser's own EventSource on feeds and topics."""

import socket
import threading
from contextlib import suppress
from typing import Self

from playwright.sync_api import Page

from tests.clients import get, state
from tests.servers import Server, serve

APP = "tests.apps.feeds:app"


class Cutter:
    """Forwards between a browser and a server, and cuts all of their connections on request."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self.cut()
        for thread in self._threads:
            thread.join()
        self._listening.close()
        for each in self._sockets:
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(("127.0.0.1", self._server.port))
                self._sockets += [near, far]
                for pair in ((near, far), (far, near)):
                    thread = threading.Thread(target=self._forward, args=pair)
                    self._threads.append(thread)
                    thread.start()

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        self._end(source)
        self._end(target)

    @staticmethod
    def _end(each: socket.socket) -> None:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Cut all current connections."""
        for each in list(self._sockets):
            self._end(each)


def publish(server: Server, *notes: str) -> None:
    """Publish notes."""
    for note in notes:
        get(server, f"/note/{note}")


def test_values_arrive(page: Page, complaints: list[str]) -> None:
    """An EventSource receives the replay and then each value, in order, and its console stays empty."""
    with serve(APP) as server:
        publish(server, "a", "b")
        page.goto(f"{server.url}/page?path=/notes")
        page.wait_for_function("received.length === 2")
        publish(server, "c", "d")
        page.wait_for_function("received.length === 4")
        assert page.evaluate("[received, lost, opened]") == [["a", "b", "c", "d"], [], 1]
        assert complaints == []
        page.close()


def test_goes_on_without_loss(page: Page) -> None:
    """The browser reconnects after a cut, and receives everything published meanwhile."""
    with serve(APP) as server, Cutter(server) as cutter:
        page.goto(f"{cutter.url}/page?path=/notes")
        page.wait_for_function("opened === 1")
        publish(server, "a", "b")
        page.wait_for_function("received.length === 2")
        cutter.cut()
        publish(server, "c", "d")
        page.wait_for_function("received.length === 4")
        publish(server, "e")
        page.wait_for_function("received.length === 5")
        assert page.evaluate("[received, lost, opened]") == [["a", "b", "c", "d", "e"], [], 2]
        page.close()


def test_restart_of_the_server_is_told(page: Page) -> None:
    """After a restart, with another log, the page learns of the loss and receives new values."""
    with serve(APP) as server:
        page.goto(f"{server.url}/page?path=/notes")
        page.wait_for_function("opened === 1")
        publish(server, "a")
        page.wait_for_function("received.length === 1")
    with serve(APP, port=server.port) as server:
        publish(server, "b")
        page.wait_for_function("received.length === 2")
        assert page.evaluate("[received, lost, opened]") == [["a", "b"], ["null"], 2]
        page.close()


def test_complete_stops_reconnecting(page: Page, complaints: list[str]) -> None:
    """When a feed is complete, the page learns so and the browser does not reconnect: there is no second run."""
    with serve(APP) as server:
        page.goto(f"{server.url}/page?path=/short")
        page.wait_for_function("complete === 1")
        page.wait_for_function("source.readyState === EventSource.CLOSED")
        assert page.evaluate("[received, opened]") == [["0", "1", "2"], 1]
        assert state(server)["watched"]["/short"]["published"] == 3
        assert complaints == []
        page.close()
