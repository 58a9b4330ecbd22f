"""Dependencies with ``yield``, for definitions that take messages."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI

from tests.live.speaking import speaking
from wirespeed import Live, Message


def test_dependencies_with_yield_stay_open_for_a_handler() -> None:
    """They end with the subscription if the topic has a handler, and at once otherwise."""
    app = FastAPI()
    live = Live(app)
    entered: list[str] = []

    async def session() -> AsyncIterator[str]:
        entered.append("open")
        yield "session"
        entered.append("closed")

    quiet = live.topic("/quiet", str, keep=10, dependencies=[Depends(session)])
    talk = live.topic("/talk", str, keep=10)

    @talk.on_message
    async def say(text: Annotated[str, Message()], using: Annotated[str, Depends(session)]) -> None:
        entered.append(f"{using} {text}")
        quiet.publish(text)

    with speaking(app, token="") as speaker:
        speaker.subscribe("quiet")
        assert entered == ["open", "closed"]
        entered.clear()
        speaker.subscribe("talk")
        assert speaker.ask(publish={"channel": "talk", "data": "hi"}) == {"publish": {}}
        assert speaker.push()["pub"]["data"] == "hi"
        assert entered == ["open", "session hi"]
        speaker.ask(unsubscribe={"channel": "talk"})
        assert speaker.ask(publish={"channel": "talk", "data": "again"}) == {"publish": {}}
    assert entered == ["open", "session hi", "closed", "open", "session again", "closed"]
