"""A chat with a language model: answers grow in all tabs of their user, and are stored.

Start it with `fastapi dev examples/assistant.py` and open http://localhost:8000. The model is a fake, `complete` below:
ask it to "count to 50". The guide `docs/how-to/chat-with-a-language-model.md` puts a real one in its place.
"""

import asyncio
import hmac
import logging
import os
import re
import secrets
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from html import escape
from typing import Annotated, Any, Literal

from fastapi import Cookie, Depends, FastAPI, HTTPException, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, StringConstraints
from starlette.requests import HTTPConnection

from wirespeed import Identity, Live, current_identity

logger = logging.getLogger(__name__)
DATABASE = os.environ.get("ASSISTANT_DATABASE", "assistant.db")
SECRET = os.environ.get("ASSISTANT_SECRET", "only for development").encode()


class Message(BaseModel):
    id: int = 0
    role: Literal["user", "assistant"]
    state: Literal["done", "writing", "interrupted", "failed"] = "done"
    text: str = ""


class Question(BaseModel):
    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]


class Login(BaseModel):
    name: Annotated[str, StringConstraints(pattern=r"^[a-z]{2,12}$")]


# The model


async def complete(messages: Sequence[Message]) -> AsyncIterator[str]:
    """Yield the answer to the last message in pieces, as the SDKs of language models do."""
    question = messages[-1].text
    if counting := re.search(r"count to (\d+)", question, re.IGNORECASE):
        words = [str(number) for number in range(1, min(int(counting[1]), 1_000) + 1)]
    else:
        turn = sum(message.role == "user" for message in messages)
        words = f'This is my answer number {turn}. You have asked: "{question}" I am a fake, so I know no more.'.split()
    for word in words:
        await asyncio.sleep(0.03)
        yield f"{word} "


# What is stored


def query(sql: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(DATABASE)) as database, database:
        return database.execute(sql, values).fetchall()


def messages_of(user: str) -> list[Message]:
    rows = query("SELECT id, role, state, text FROM messages WHERE user = ? ORDER BY id", user)
    return [Message.model_validate(dict(zip(Message.model_fields, row, strict=True))) for row in rows]


def insert(user: str, message: Message) -> Message:
    sql = "INSERT INTO messages (user, role, state, text) VALUES (?, ?, ?, ?) RETURNING id"
    ((number,),) = query(sql, user, message.role, message.state, message.text)
    return message.model_copy(update={"id": number})


def update(message: Message) -> None:
    query("UPDATE messages SET state = ?, text = ? WHERE id = ?", message.state, message.text, message.id)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    query("CREATE TABLE IF NOT EXISTS messages (id INTEGER PRIMARY KEY, user TEXT, role TEXT, state TEXT, text TEXT)")
    # These answers were being written when the last process was killed.
    query("UPDATE messages SET state = 'interrupted' WHERE state = 'writing'")
    yield
    await asyncio.sleep(0)  # as in `stop`
    for task in writing.values():
        task.cancel()
    await asyncio.gather(*writing.values(), return_exceptions=True)


# Who is there


def signed(session: str) -> str:
    return f"{session}.{hmac.new(SECRET, session.encode(), 'sha256').hexdigest()}"


def session_of(cookie: str | None) -> str | None:
    """Return the session of a cookie, `ada-5d41402a`, if it is valid and was not ended."""
    session = (cookie or "").rpartition(".")[0]
    is_valid = cookie is not None and hmac.compare_digest(cookie.encode(), signed(session).encode())
    return session if is_valid and session not in ended else None


async def authenticate(token: str, connection: HTTPConnection) -> Identity | None:
    session = session_of(connection.cookies.get("session"))
    return None if session is None else Identity(user=session.partition("-")[0], session=session)


app = FastAPI(lifespan=lifespan)
live = Live(app, authenticate=authenticate)
User = Annotated[Identity, Depends(current_identity)]
ended: set[str] = set()  # in your app, a table: a restart forgets it
writing: dict[str, asyncio.Task[None]] = {}


def only_own(user: str, who: User) -> None:
    if who.user != user:
        raise HTTPException(403, "This chat is not yours.")


# The chat


@live.topic("/chat/{user}", Message, by="id", grows="text", dependencies=[Depends(only_own)])
def chat(user: str) -> None:
    """The messages of one user; an answer grows while the model writes it."""


@chat.load
def stored(user: str) -> list[Message]:
    return messages_of(user)


@live.topic("/answered/{user}", int, keep=100, dependencies=[Depends(only_own)])
def answered(user: str) -> None:
    """The ids of answers that are finished, for a tab that is hidden."""


async def write(user: str, answer: Message) -> None:
    """Let the model write an answer. It goes on while no page is open."""
    answer = answer.model_copy(update={"state": "interrupted"})
    try:
        history = [each for each in await asyncio.to_thread(messages_of, user) if each.id < answer.id]
        async for piece in complete(history):
            answer.text += piece
            chat.append(answer.id, piece, user=user)
        answer.state = "done"
    except Exception:
        logger.exception("The model failed.")
        answer.state = "failed"
    finally:
        del writing[user]
        update(answer)
        chat.publish(answer, user=user)  # with its new state
    answered.publish(answer.id, user=user)


def begin(user: str, answer: Message) -> None:
    chat.publish(answer, user=user)
    writing[user] = asyncio.create_task(write(user, answer))


def check_idle(user: str) -> None:
    if user in writing:
        raise HTTPException(409, "Wait for the answer, or stop it.")


@live.call("/ask")
async def ask(question: Question, who: User) -> int:
    await chat.latest(user=who.user)  # loads what is stored: without a page, pieces from before that would be lost
    check_idle(who.user)
    chat.publish(insert(who.user, Message(role="user", text=question.text)), user=who.user)
    answer = insert(who.user, Message(role="assistant", state="writing"))
    begin(who.user, answer)
    return answer.id


@live.call("/retry/{number}")
async def retry(number: int, who: User) -> bool:
    await chat.latest(user=who.user)
    check_idle(who.user)
    if not any(each.id == number and each.role == "assistant" for each in messages_of(who.user)):
        raise HTTPException(404, "You have no such answer.")
    answer = Message(id=number, role="assistant", state="writing")
    update(answer)
    begin(who.user, answer)
    return True


@live.call("/stop")
async def stop(who: User) -> bool:
    await asyncio.sleep(0)  # the task has begun then: cancelled before that, it would never come to its `finally`
    if who.user in writing:
        writing[who.user].cancel()
    return True


@live.stream("/draft", resume=30)
async def draft(question: Question, who: User) -> AsyncIterator[str]:
    """Write a better wording for this page alone; nothing is stored. A lost connection does not end it."""
    async for piece in complete([Message(role="user", text=question.text)]):
        yield piece


@app.post("/login")
def login(login: Login, response: Response) -> None:
    session = f"{login.name}-{secrets.token_hex(8)}"
    response.set_cookie("session", signed(session), httponly=True, samesite="lax")


@app.post("/logout")
def logout(response: Response, session: Annotated[str | None, Cookie()] = None) -> None:
    response.delete_cookie("session")
    if (known := session_of(session)) is not None:
        ended.add(known)
        live.revoke(session=known)


@app.get("/", response_class=HTMLResponse)
def page(session: Annotated[str | None, Cookie()] = None) -> str:
    return PAGE.replace("USER", escape((session_of(session) or "").partition("-")[0]))


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<title>Assistant</title>
<style>
  :root { color-scheme: light dark; font: 16px/1.55 system-ui; background: light-dark(#f6f7f9, #0e1116);
          --card: light-dark(#fff, #171b22); --line: light-dark(#dde1e6, #30363d);
          --mine: light-dark(#dbeafe, #1e3a5f) }
  body { display: grid; grid-template-rows: auto 1fr auto; height: 100dvh; max-width: 46rem; margin: 0 auto }
  header, form { display: flex; gap: .75rem; align-items: center; padding: 1rem }
  h1 { margin: 0 auto 0 0; font-size: 1.2rem }
  #chat { overflow: auto; padding: 0 1rem; display: flex; flex-direction: column; gap: .75rem }
  article { max-width: 85%; padding: .6rem 1rem; border: 1px solid var(--line); border-radius: 1rem;
            background: var(--card); align-self: start; white-space: pre-wrap; overflow-wrap: anywhere }
  article.user { background: var(--mine); align-self: end }
  .writing p::after { content: "▍"; animation: blink 1s steps(2) infinite } @keyframes blink { to { opacity: 0 } }
  p { margin: 0 } small { display: flex; gap: .5rem; align-items: center; opacity: .8 }
  textarea { flex: 1; resize: none }
  textarea, input, button { font: inherit; padding: .5rem .75rem; border-radius: .6rem; border: 1px solid var(--line);
                            background: var(--card); color: inherit }
  output:empty { display: none } output { color: light-dark(#b91c1c, #f87171) }
  .stale #chat { opacity: .5 } [hidden] { display: none !important }
</style>
<body data-user="USER">
<header><h1>Assistant</h1><span id="state" role="status"></span><b id="who"></b>
  <button id="logout">Log out</button></header>
<form id="login"><label>Name <input name="name" autofocus></label><button>Log in</button><output></output></form>
<div id="chat" role="log"></div>
<form id="ask"><textarea name="text" rows="2" aria-label="Message" autofocus></textarea>
  <button type="button" id="improve">Improve</button><button id="send">Send</button>
  <button type="button" id="stop" hidden>Stop</button><output></output></form>
<script type="module">
  import { connect } from "/live/wirespeed.js";
  const place = (id) => document.getElementById(id);
  const { user } = document.body.dataset;
  place("login").hidden = user !== "";
  place("logout").hidden = place("ask").hidden = place("chat").hidden = user === "";
  place("who").textContent = user;
  const said = (form, error) =>
    form.querySelector("output").textContent = error?.detail?.[0]?.msg ?? error?.message ?? error ?? "";
  const post = (path, body) =>
    fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

  place("login").onsubmit = async (event) => {
    event.preventDefault();
    const answer = await post("/login", { name: event.target.name.value });
    if (answer.ok) location.reload();
    else said(event.target, "Two to twelve small letters, please.");
  };
  place("logout").onclick = () => post("/logout").then(() => location.reload());

  if (user) {
    const live = connect();
    live.status.subscribe(({ state, reason }) => {
      place("state").textContent = state === "connected" ? "Live" : (reason ?? state);
      document.documentElement.classList.toggle("stale", state !== "connected");
      if (state === "closed") location.reload(); // logged out in another tab
    });

    const chat = place("chat");
    const retry = (id) => live.call(`retry/${id}`).catch((error) => said(place("ask"), error));
    function paint(id, { role, state, text }) {
      let line = chat.querySelector(`[data-id="${id}"]`);
      if (!line) {
        line = document.createElement("article");
        line.innerHTML = "<p></p><small><span></span><button>Try again</button></small>";
        line.dataset.id = id;
        line.querySelector("button").onclick = () => retry(id);
        const after = [...chat.children].find((each) => Number(each.dataset.id) > id);
        chat.insertBefore(line, after ?? null);
      }
      line.className = `${role} ${state}`;
      line.querySelector("p").textContent = text;
      line.querySelector("span").textContent = state;
      line.querySelector("small").hidden = state === "done" || state === "writing";
    }
    live.table(`chat/${user}`).onChange((changed, rows) => {
      const follows = chat.scrollTop + chat.clientHeight > chat.scrollHeight - 40;
      for (const [id, row] of changed) {
        if (row) paint(Number(id), row);
        else chat.querySelector(`[data-id="${id}"]`)?.remove();
      }
      const isWriting = [...rows.values()].some(({ state }) => state === "writing");
      place("send").hidden = isWriting;
      place("stop").hidden = !isWriting;
      if (follows) chat.scrollTop = chat.scrollHeight;
    });

    // Answers that are finished count in the title while the tab is hidden, where nothing is painted.
    let unread = 0;
    live.feed(`answered/${user}`, { every: true, hidden: "deliver" }).onBatch((ids) => {
      unread = document.hidden ? unread + ids.length : 0;
      document.title = unread ? `(${unread}) Assistant` : "Assistant";
    });
    document.addEventListener("visibilitychange", () => { unread = 0; document.title = "Assistant" });

    const form = place("ask");
    form.onsubmit = async (event) => {
      event.preventDefault();
      said(form);
      try {
        await live.call("ask", { text: form.text.value });
        form.text.value = "";
      } catch (error) { said(form, error) }
    };
    form.text.onkeydown = (event) => {
      if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); form.requestSubmit() }
    };
    place("stop").onclick = () => live.call("stop");
    place("improve").onclick = async () => {
      const text = form.text.value;
      said(form);
      try {
        // A run of its own, which goes on after a lost connection.
        let draft = "";
        for await (const piece of live.stream("draft", { text })) form.text.value = draft += piece;
      } catch (error) { said(form, error); form.text.value = text }
    };
  }
</script>
</html>
"""
