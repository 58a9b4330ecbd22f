"""The identity of clients, and what the app can do to clients."""

import time
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, HTTPException
from fastapi.testclient import TestClient
from starlette.requests import HTTPConnection
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from tests.live.speaking import Speaker, speaking
from wirespeed import (
    Authenticator,
    Client,
    Grant,
    Identity,
    InvalidToken,
    Live,
    Settings,
    TokenExpired,
    TokensUnavailable,
    current_identity,
    required_grant,
)


class Doorman(Authenticator):
    """Identifies clients by tokens of the form ``user`` or ``user:seconds``."""

    async def connect(self, token: str, connection: HTTPConnection) -> Identity | None:
        """Return the identity of a token; some tokens raise."""
        match token:
            case "":
                return None if connection.headers.get("x-anonymous") != "yes" else Identity()
            case "forged":
                raise InvalidToken("forged")
            case "old":
                raise TokenExpired
            case "busy":
                raise TokensUnavailable("busy")
            case "banned":
                raise HTTPException(403, "You know why.")
            case "broken":
                raise RuntimeError("a secret")
        user, _, left = token.partition(":")
        expires = time.time() + float(left) if left else None
        subscriptions = ("news", "/secret", "nowhere", "news") if user == "reader" else ()
        return Identity(
            user=user, expires_at=expires, info={"name": user}, subscriptions=subscriptions, data={"hi": user}, meta=7
        )

    async def grant(self, token: str, channel: str, identity: Identity) -> Grant:
        """Return the grant of a token for a channel: ``user@channel``, and its seconds."""
        grant, _, left = token.partition(":")
        if left and float(left) < 0:
            raise TokenExpired
        if grant != f"{identity.user}@{channel}":
            raise InvalidToken("for something else")
        return Grant(expires_at=time.time() + float(left) if left else None, info={"seat": 1})


def make() -> tuple[FastAPI, Live]:
    """Return an app with topics for all, for some and for clients with a token."""
    app = FastAPI()
    settings = Settings(refresh_timeout=0.1, ping_interval=25)
    live = Live(app, authenticate=Doorman(), settings=settings)

    def staff(who: Annotated[Identity, Depends(current_identity)]) -> None:
        if who.user != "staff" or who.meta != 7:
            raise HTTPException(403)

    topics: Any = {
        "news": live.topic("/news", str, keep=10, presence=True),
        "secret": live.topic("/secret", str, dependencies=[Depends(staff)]),
        "seat": live.topic("/seat", str, keep=10, presence=True, dependencies=[Depends(required_grant)]),
    }

    @app.get("/publish/{name}/{text}")
    async def publish(name: str, text: str) -> None:
        topics[name].publish(text)

    @app.get("/news/clients")
    async def watching() -> list[str]:
        return [client.user for client in topics["news"].clients()]

    return app, live


def do(speaker: Speaker, path: str) -> Any:
    """Ask the app to do something."""
    response = speaker.client.get(path)
    response.raise_for_status()
    return response.json()


@pytest.mark.parametrize(
    ("token", "code", "reason"),
    [("", 3501, "bad request"), ("forged", 3500, "invalid token")],
)
def test_who_has_to_go(token: str, code: int, reason: str) -> None:
    """A missing token where one is needed, or a forged one, closes the connection."""
    app, _ = make()
    with pytest.raises(WebSocketDisconnect) as raised, speaking(app, token=token):
        """Never gets here."""
    assert (raised.value.code, raised.value.reason) == (code, reason)


@pytest.mark.parametrize(
    ("token", "code", "temporary"),
    [("old", 109, False), ("ann:-1", 109, False), ("busy", 100, True), ("banned", 103, False), ("broken", 100, True)],
)
def test_who_may_come_again(token: str, code: int, temporary: bool) -> None:
    """A token that has expired, or that cannot be verified now, is answered; nothing else happens on the connection."""
    app, _ = make()
    with speaking(app) as speaker:
        seen = speaker.ask(connect={"token": token})["error"]
        assert (seen["code"], seen.get("temporary", False)) == (code, temporary)
        assert "secret" not in seen["message"]
        speaker.say(subscribe={"channel": "news"})
        with pytest.raises(WebSocketDisconnect) as raised:
            speaker.hear()
        assert raised.value.code == 3501


def test_anonymous_where_allowed() -> None:
    """The handshake is available when a client is identified."""
    app, _ = make()
    with speaking(app, handshake={"x-anonymous": "yes"}) as speaker:
        connected = speaker.ask(connect={})["connect"]
        assert "expires" not in connected
        assert speaker.refused("secret")[0] == 103


def test_an_identity_reaches_dependencies_and_others() -> None:
    """Guards see the identity; other clients see its info, and no client its meta."""
    app, _ = make()
    with speaking(app) as speaker:
        connected = speaker.ask(connect={"token": "staff:60"})["connect"]
        assert connected["data"] == {"hi": "staff"}
        assert connected["expires"]
        assert 58 <= connected["ttl"] <= 60
        speaker.subscribe("secret")
        speaker.subscribe("news")
        (info,) = speaker.ask(presence={"channel": "news"})["presence"]["presence"].values()
        assert info == {"user": "staff", "client": connected["client"], "conn_info": {"name": "staff"}}


def test_subscriptions_that_come_with_the_identity() -> None:
    """Admitted ones begin with the connection, and their publications arrive."""
    app, _ = make()
    with speaking(app) as speaker:
        connected = speaker.ask(connect={"token": "reader"})["connect"]
        assert list(connected["subs"]) == ["news"]
        assert speaker.refused("news") == (105, "already subscribed")
        do(speaker, "/publish/news/one")
        assert speaker.push()["pub"]["data"] == "one"
        epoch = connected["subs"]["news"]["epoch"]
        assert do(speaker, "/news/clients") == ["reader"]
        with speaker.another() as later:
            subs = {"news": {"recover": True, "epoch": epoch, "offset": 0}}
            again = later.ask(connect={"token": "reader", "subs": subs})["connect"]["subs"]["news"]
            assert again["recovered"]
            assert [pub["data"] for pub in again["publications"]] == ["one"]


def test_refresh_and_expiry_of_a_connection() -> None:
    """A new token of the same user extends it; one of another user ends it, and so does none."""
    app, _ = make()
    with speaking(app) as speaker:
        speaker.ask(connect={"token": "ann:80"})
        assert 80 < speaker.ask(refresh={"token": "ann:100"})["refresh"]["ttl"] <= 100
        assert speaker.ask(refresh={"token": "old"})["error"]["code"] == 109
        speaker.say(refresh={"token": "bob"})
        assert closed(speaker) == (3500, "invalid token")
    with speaking(app) as speaker:
        speaker.ask(connect={"token": "ann:0.2"})
        assert closed(speaker) == (3005, "connection expired")


def closed(speaker: Speaker) -> tuple[int, str]:
    """Return the close of the connection."""
    try:
        while True:
            speaker.hear()
    except WebSocketDisconnect as end:
        return end.code, end.reason


def test_tokens_for_subscriptions() -> None:
    """Such a token belongs to one user and channel, has public info, expires, and can be renewed."""
    app, _ = make()
    with speaking(app) as speaker:
        client = speaker.ask(connect={"token": "ann"})["connect"]["client"]
        assert speaker.refused("seat") == (103, "permission denied")
        assert speaker.refused("seat", token="bob@seat")[0] == 103
        assert speaker.refused("seat", token="ann@news")[0] == 103
        assert speaker.refused("seat", token="ann@seat:-1") == (109, "token expired")
        result = speaker.subscribe("seat", token="ann@seat:80")
        assert result["expires"]
        assert 1 < result["ttl"] <= 80
        info = speaker.ask(presence={"channel": "seat"})["presence"]["presence"][client]
        assert info["chan_info"] == {"seat": 1}
        for token, code in (("", 107), ("bob@seat", 103), ("ann@seat:-1", 109)):
            assert speaker.ask(sub_refresh={"channel": "seat", "token": token})["error"]["code"] == code
        assert speaker.ask(sub_refresh={"channel": "other", "token": "x"})["error"]["code"] == 103
        assert speaker.ask(sub_refresh={"channel": "seat", "token": "ann@seat:0.2"}) == {
            "sub_refresh": {"expires": True, "ttl": 1}
        }
        push = speaker.push()
        assert push == {"channel": "seat", "unsubscribe": {"code": 2501, "reason": "subscription expired"}}
        speaker.subscribe("news")


def test_what_the_app_does_to_clients() -> None:
    """The app sends messages, subscribes, extends and disconnects one user, from the loop and from threads."""
    app, live = make()

    def reach(does: Callable[[Client], None]) -> int:
        clients = live.clients(user="ann")
        for client in clients:
            does(client)
        return len(clients)

    with speaking(app) as speaker, speaker.another() as other:
        id_ = speaker.ask(connect={"token": "ann:60"})["connect"]["client"]
        other.ask(connect={"token": "bob"})
        assert {client.user for client in live.clients()} == {"ann", "bob"}
        assert reach(lambda client: client.send({"text": "hello"})) == 1
        assert speaker.push() == {"message": {"data": {"text": "hello"}}}
        reach(lambda client: client.subscribe("/news", {"why": 1}))
        push = speaker.push()
        assert push["channel"] == "/news"
        assert push["subscribe"]["data"] == {"why": 1}
        assert push["subscribe"]["recoverable"]
        do(speaker, "/publish/news/two")
        assert speaker.push()["pub"]["data"] == "two"
        assert [client.channels for client in live.clients("ann")] == [["/news"]]
        reach(lambda client: client.subscribe("secret"))
        reach(lambda client: client.unsubscribe("news"))
        assert speaker.push() == {"channel": "/news", "unsubscribe": {"code": 2000, "reason": "server unsubscribe"}}
        reach(lambda client: client.refresh(time.time() + 300))
        assert 298 <= speaker.push()["refresh"]["ttl"] <= 300
        reach(lambda client: client.refresh(None))
        assert speaker.push() == {"refresh": {}}
        (client,) = live.clients("ann")
        assert (client.id, repr(client)) == (id_, f"<Client {id_} of user 'ann'>")
        with pytest.raises(ValueError, match="3000 to 4999"):
            client.disconnect(1000)
        client.disconnect(4001, "enough")
        assert closed(speaker) == (4001, "enough")
        client.send("nothing happens")
        other.subscribe("news")
        assert live.clients("ann") == []


def test_the_same_identity_on_other_surfaces() -> None:
    """A guard decides alike on a raw WebSocket and over HTTP; without a valid token it is 401."""
    app, _ = make()

    @app.get("/me")
    async def me(who: Annotated[Identity, Depends(current_identity)]) -> str:
        return who.user

    with TestClient(app) as client:
        seen = {token: client.get("/me", headers=bearer(token)) for token in ("ann", "forged", "old", "busy", "")}
        assert {token: answer.status_code for token, answer in seen.items()} == {
            "ann": 200, "forged": 401, "old": 401, "busy": 503, "": 401
        }  # fmt: skip
        assert seen["ann"].json() == "ann"
        assert "expired" in seen["old"].headers["www-authenticate"]
        with client.websocket_connect("/secret", headers=bearer("staff")):
            assert client.get("/secret", headers=bearer("ann")).status_code == 403
        with pytest.raises(WebSocketDenialResponse) as raised, client.websocket_connect("/secret"):
            """Never gets here."""
        assert raised.value.status_code == 401


def bearer(token: str) -> dict[str, str]:
    """Return the header that carries a token."""
    return {"Authorization": f"Bearer {token}"} if token else {}
