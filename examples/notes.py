"""From a database to a page: notes in SQLite, read and written with SQLAlchemy, and live in every page.

Install `sqlalchemy[asyncio]` and `aiosqlite`, start it with `fastapi dev examples/notes.py`, and open
http://localhost:8000 in two windows.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, StringConstraints
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from wirespeed import Live

engine = create_async_engine(os.environ.get("NOTES_DATABASE", "sqlite+aiosqlite:///notes.db"))
sessions = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    pass


class Row(Base):
    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]
    done: Mapped[bool] = mapped_column(default=False)


@asynccontextmanager
async def database(app: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield
    await engine.dispose()


async def session() -> AsyncIterator[AsyncSession]:
    async with sessions() as opened:
        yield opened


app = FastAPI(lifespan=database)
live = Live(app)
Session = Annotated[AsyncSession, Depends(session)]


class Note(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    text: str
    done: bool


class NewNote(BaseModel):
    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class Change(BaseModel):
    done: bool


notes = live.topic("/notes", Note, by="id")


# Stored state first, then changes: this runs before the first page sees anything, and once for all of them.
@notes.load
async def stored() -> list[Note]:
    async with sessions() as opened:
        return [Note.model_validate(row) for row in await opened.scalars(select(Row).order_by(Row.id))]


# Commit first, then publish: a page never shows what the database does not have.
@live.call("/notes/add")
async def add(new: NewNote, db: Session) -> int:
    row = Row(text=new.text)
    db.add(row)
    await db.commit()
    note = Note.model_validate(row)
    notes.publish(note)
    return note.id


@live.call("/notes/{number}/change")
async def change(number: int, change: Change, db: Session) -> bool:
    row = await found(db, number)
    row.done = change.done
    await db.commit()
    notes.publish(Note.model_validate(row))
    return True


@live.call("/notes/{number}/remove")
async def remove(number: int, db: Session) -> bool:
    await db.delete(await found(db, number))
    await db.commit()
    notes.remove(number)
    return True


async def found(db: AsyncSession, number: int) -> Row:
    row: Row | None = await db.get(Row, number)
    if row is None:
        raise HTTPException(404, "This note is gone.")
    return row


@app.get("/", response_class=HTMLResponse)
def page() -> str:
    return PAGE


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<title>Notes</title>
<style>
  :root { color-scheme: light dark; font: 16px/1.5 system-ui; background: light-dark(#f6f7f9, #0e1116) }
  body { max-width: 36rem; margin: 2rem auto; padding: 0 1rem }
  header { display: flex; align-items: baseline } h1 { margin: 0 auto 0 0 }
  form { display: flex; gap: .5rem; margin: 1rem 0 } form input { flex: 1 }
  input, button { font: inherit; padding: .4rem .7rem; border-radius: .5rem; border: 1px solid #8888 }
  output { color: light-dark(#b91c1c, #f87171) } ul { list-style: none; padding: 0 }
  li { display: flex; gap: .75rem; align-items: center; padding: .5rem .9rem; margin: .4rem 0; border: 1px solid #8884;
       border-radius: .75rem; background: light-dark(#fff, #171b22) }
  label { flex: 1; display: flex; gap: .75rem } .done label { text-decoration: line-through; opacity: .6 }
  li button { border: 0; background: none; opacity: .5; cursor: pointer } .stale ul { opacity: .5 }
</style>
<header><h1>Notes</h1><span id="state" role="status"></span></header>
<form><input name="text" aria-label="New note" placeholder="New note" autofocus><button>Add</button></form>
<output></output>
<ul id="notes"></ul>
<script type="module">
  import { connect } from "/live/wirespeed.js";
  const place = (id) => document.getElementById(id);
  const said = document.querySelector("output");
  const live = connect();
  live.status.subscribe(({ state, reason }) => {
    place("state").textContent = state === "connected" ? "Live" : (reason ?? state);
    document.documentElement.classList.toggle("stale", state !== "connected");
  });

  async function call(path, message) {
    said.textContent = "";
    try {
      await live.call(path, message);
      return true;
    } catch ({ message, detail }) {
      said.textContent = detail?.[0]?.msg ?? detail ?? message;
      return false;
    }
  }

  live.table("notes").onChange((changed) => {
    for (const [id, note] of changed) {
      let item = place("notes").querySelector(`[data-id="${id}"]`);
      if (!note) { item?.remove(); continue }
      if (!item) {
        item = document.createElement("li");
        item.dataset.id = id;
        item.innerHTML = '<label><input type="checkbox"><span></span></label><button aria-label="Remove">✕</button>';
        const box = item.querySelector("input");
        box.onchange = async () => {
          if (!(await call(`notes/${id}/change`, { done: box.checked }))) box.checked = !box.checked;
        };
        item.querySelector("button").onclick = () => call(`notes/${id}/remove`);
        place("notes").append(item);
      }
      item.querySelector("span").textContent = note.text;
      item.querySelector("input").checked = note.done;
      item.classList.toggle("done", note.done);
    }
  });

  document.querySelector("form").onsubmit = async (event) => {
    event.preventDefault();
    if (await call("notes/add", { text: event.target.text.value })) event.target.reset();
  };
</script>
</html>
"""
