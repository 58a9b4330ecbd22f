"""A trading dashboard with users: quotes for everyone, and orders that only their owner sees.

Start it with `fastapi dev examples/dashboard.py`, open http://localhost:8000 in two browsers, and log in as two users.
"""

import asyncio
import hmac
import os
import random
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import escape
from itertools import count
from typing import Annotated, Literal

from fastapi import Cookie, Depends, FastAPI, HTTPException, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field, StringConstraints
from starlette.requests import HTTPConnection

from wirespeed import Identity, Live, current_identity

SECRET = os.environ.get("DASHBOARD_SECRET", "only for development").encode()
PRICES = {"BTC": 64_000.0, "ETH": 3_100.0, "SOL": 150.0, "XMR": 170.0}


class Quote(BaseModel):
    symbol: str
    price: float
    change: float


class NewOrder(BaseModel):
    symbol: Literal["BTC", "ETH", "SOL", "XMR"]
    side: Literal["buy", "sell"]
    amount: float = Field(gt=0, le=100)
    limit: float = Field(gt=0)


class Order(NewOrder):
    id: int
    user: str
    state: Literal["open", "filled", "canceled"] = "open"


class Login(BaseModel):
    name: Annotated[str, StringConstraints(pattern=r"^[a-z]{2,12}$")]


def signed(session: str) -> str:
    return f"{session}.{hmac.new(SECRET, session.encode(), 'sha256').hexdigest()}"


def identity_of(cookie: str | None) -> Identity | None:
    """Return the identity of a session, such as `ada-5d41402a`, if it is valid and was not ended."""
    session = (cookie or "").rpartition(".")[0]
    is_valid = cookie is not None and hmac.compare_digest(cookie.encode(), signed(session).encode())
    return Identity(user=session.partition("-")[0], session=session) if is_valid and session not in ended else None


async def authenticate(token: str, connection: HTTPConnection) -> Identity | None:
    return identity_of(connection.cookies.get("session"))


async def trade() -> None:
    """Move the prices, and fill the orders that they reach."""
    while True:
        for symbol in PRICES:
            before = PRICES[symbol]
            PRICES[symbol] = price = round(before * random.gauss(1, 0.0006), 2)
            quotes.publish(Quote(symbol=symbol, price=price, change=price - before))
        for order in [each for each in book.values() if each.state == "open"]:
            price = PRICES[order.symbol]
            if price <= order.limit if order.side == "buy" else price >= order.limit:
                change(order, "filled")
                fills.publish(order, user=order.user)
        await asyncio.sleep(0.25)


@asynccontextmanager
async def trading(app: FastAPI) -> AsyncIterator[None]:
    task = asyncio.create_task(trade())
    yield
    task.cancel()


app = FastAPI(lifespan=trading)
live = Live(app, authenticate=authenticate)
User = Annotated[Identity, Depends(current_identity)]
book: dict[int, Order] = {}
ended: set[str] = set()
numbers = count(1)


def only_own(user: str, who: User) -> None:
    if who.user != user:
        raise HTTPException(403, "These orders are not yours.")


quotes = live.topic("/quotes", Quote, by="symbol")


@live.topic("/orders/{user}", Order, by="id", dependencies=[Depends(only_own)])
def orders(user: str) -> None: ...


@live.topic("/fills/{user}", Order, keep=100, dependencies=[Depends(only_own)])
def fills(user: str) -> None: ...


def change(order: Order, state: Literal["filled", "canceled"]) -> None:
    book[order.id] = changed = order.model_copy(update={"state": state})
    orders.publish(changed, user=order.user)


@live.call("/order")
async def place(new: NewOrder, who: User) -> int:
    if sum(each.user == who.user and each.state == "open" for each in book.values()) >= 5:
        raise HTTPException(409, "You have five open orders. Cancel one, or wait until one is filled.")
    order = Order(id=next(numbers), user=who.user, **new.model_dump())
    book[order.id] = order
    orders.publish(order, user=who.user)
    return order.id


@live.call("/cancel/{number}")
async def cancel(number: int, who: User) -> bool:
    order = book.get(number)
    if order is None or order.user != who.user:
        raise HTTPException(404, "You have no such order.")
    if order.state == "open":
        change(order, "canceled")
    return True


@app.post("/login")
def login(login: Login, response: Response) -> None:
    session = f"{login.name}-{secrets.token_hex(8)}"
    response.set_cookie("session", signed(session), httponly=True, samesite="lax")


@app.post("/logout")
def logout(response: Response, session: Annotated[str | None, Cookie()] = None) -> None:
    response.delete_cookie("session")
    if identity := identity_of(session):
        ended.add(identity.session)
        live.revoke(session=identity.session)  # ends what its tabs have open; other sessions of the user go on


@app.get("/", response_class=HTMLResponse)
def page(session: Annotated[str | None, Cookie()] = None) -> str:
    identity = identity_of(session)
    return PAGE.replace("USER", "" if identity is None else escape(identity.user))


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<title>Dashboard</title>
<style>
  :root { color-scheme: light dark; font: 16px/1.5 system-ui; background: light-dark(#f6f7f9, #0e1116);
          --line: light-dark(#ddd, #333); --good: light-dark(#087f3c, #4ade80); --bad: light-dark(#b91c1c, #f87171) }
  body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; font-variant-numeric: tabular-nums }
  header, form { display: flex; flex-wrap: wrap; gap: .75rem; align-items: end } header h1 { margin: 0 auto 0 0 }
  main { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 1rem; margin-top: 1.5rem }
  section { background: light-dark(#fff, #171b22); border: 1px solid var(--line); border-radius: .75rem; padding: 1rem }
  h2 { margin: 0 0 .5rem; font-size: 1rem } table { width: 100%; border-collapse: collapse }
  td { padding: .3rem 0; border-top: 1px solid var(--line) } td:not(:first-child) { text-align: right }
  label { display: grid; font-size: .85rem } input { width: 7rem }
  input, select, button { font: inherit; padding: .3rem .5rem }
  .up { color: var(--good) } .down, output { color: var(--bad) } [aria-invalid] { outline: 2px solid var(--bad) }
  section:last-child { grid-column: 1 / -1 } td button { padding: 0 .5rem; font-size: .85rem }
  .stale main { opacity: .5 } [hidden] { display: none !important }
</style>
<body data-user="USER">
<header><h1>Dashboard</h1><span id="state" role="status"></span><b id="who"></b>
  <button id="logout">Log out</button></header>
<form id="login"><label>Name <input name="name" autofocus></label><button>Log in</button><output></output></form>
<main>
  <section><h2>Quotes</h2><table id="quotes"></table></section>
  <section><h2>New order</h2><form id="order">
    <label>Symbol <select name="symbol"><option>BTC<option>ETH<option>SOL<option>XMR</select></label>
    <label>Side <select name="side"><option>buy<option>sell</select></label>
    <label>Amount <input name="amount" value="1"></label><label>Limit <input name="limit"></label>
    <button>Place</button><output></output></form></section>
  <section><h2>Your orders</h2><table id="orders"></table></section>
</main>
<script type="module">
  import { connect } from "/live/wirespeed.js";
  const place = (id) => document.getElementById(id);
  const { user } = document.body.dataset;
  place("login").hidden = user !== "";
  place("logout").hidden = document.querySelector("main").hidden = user === "";
  place("who").textContent = user;

  // A list of errors belongs to the fields of a form, any other detail is a sentence.
  function show(form, detail) {
    const errors = Array.isArray(detail) ? detail : [];
    for (const { name, ...field } of form.elements) {
      form.elements[name]?.toggleAttribute("aria-invalid", errors.some(({ loc }) => loc.at(-1) === name));
    }
    const sentences = errors.map(({ loc, msg }) => `${loc.at(-1)}: ${msg}`);
    form.querySelector("output").textContent = sentences.join(". ") || detail;
  }
  function submits(form, send) {
    form.onsubmit = async (event) => {
      event.preventDefault();
      show(form, (await send(Object.fromEntries(new FormData(form)))) ?? "");
    };
  }
  const post = (path, body) =>
    fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

  submits(place("login"), async (fields) => {
    const answer = await post("/login", fields);
    const said = await answer.json();
    return answer.ok ? location.reload() : said.detail;
  });
  place("logout").onclick = () => post("/logout").then((answer) => answer.json()).then(() => location.reload());

  if (user) {
    const live = connect();
    live.status.subscribe(({ state, reason }) => {
      place("state").textContent = state === "connected" ? "Live" : (reason ?? state);
      document.documentElement.classList.toggle("stale", state !== "connected");
      if (state === "closed") location.reload(); // logged out in another tab
    });

    function paint(table, cellsOf) {
      return (changed, rows) => {
        for (const [key, row] of changed) {
          let line = table.querySelector(`[data-key="${key}"]`);
          if (!row) { line?.remove(); continue }
          if (!line) { line = table.insertRow(0); line.dataset.key = key }
          line.replaceChildren(...cellsOf(row).map((text) => {
            const cell = document.createElement("td");
            cell.append(text);
            return cell;
          }));
          line.className = row.change > 0 ? "up" : row.change < 0 ? "down" : "";
        }
      };
    }
    live.table("quotes").onChange(paint(place("quotes"), ({ symbol, price }) => [symbol, price.toFixed(2)]));
    live.table(`orders/${user}`).onChange(paint(place("orders"), ({ id, side, amount, symbol, limit, state }) => {
      const cancel = Object.assign(document.createElement("button"), { textContent: "Cancel" });
      cancel.onclick = () => live.call(`cancel/${id}`);
      return [`${side} ${amount} ${symbol} at ${limit}`, state === "open" ? cancel : state];
    }));
    submits(place("order"), (fields) =>
      live.call("order", fields).then(() => "", ({ detail, message }) => detail ?? message));

    // Fills count in the title while the tab is hidden, where nothing is painted.
    let missed = 0;
    live.feed(`fills/${user}`, { every: true, hidden: "deliver" }).onBatch((orders) => {
      missed = document.hidden ? missed + orders.length : 0;
      document.title = missed ? `(${missed}) Dashboard` : "Dashboard";
    });
    document.onvisibilitychange = () => { missed = 0; document.title = "Dashboard" };
  }
</script>
</html>
"""
