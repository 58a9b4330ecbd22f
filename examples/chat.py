"""A chat: a topic to which its watchers' own messages are published.

Start it with `fastapi dev examples/chat.py` and open http://localhost:8000 in two windows.
"""

from typing import Annotated

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, StringConstraints

from wirespeed import Live

app = FastAPI()
live = Live(app)


class Said(BaseModel):
    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=24)]
    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]


# A new client gets the last 20 messages; a client that reconnects resumes where it left off.
chat = live.topic("/chat", Said, keep=100, replay=20)


@chat.on_message
def say(message: Said) -> None:
    chat.publish(message)


@app.get("/", response_class=HTMLResponse)
def page() -> str:
    return PAGE


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>Chat</title>
<h1>Chat</h1>
<ol id="said" role="log"></ol>
<form id="form">
  <label>Name <input name="name" maxlength="24" required></label>
  <label>Message <input name="text" maxlength="300" autocomplete="off" required></label>
  <button>Send</button>
</form>
<p id="state" role="status"></p>
<script type="module">
  const [said, form, state] = ["said", "form", "state"].map((id) => document.getElementById(id));
  let socket;
  let since = "";

  function watch() {
    socket = new WebSocket(`${location.origin.replace("http", "ws")}/chat?positions=1${since}`);
    socket.onopen = () => { state.textContent = "Connected" };
    socket.onmessage = (event) => {
      const { position, value, error } = JSON.parse(event.data);
      if (error) {
        state.textContent = `The server refused the message: ${error.detail?.[0]?.msg ?? error.message}`;
      } else if (value) {  // a frame without a value reports a loss, as after a restart of the server
        since = `&since=${position}`;
        said.append(Object.assign(document.createElement("li"), { textContent: `${value.name}: ${value.text}` }));
      }
    };
    socket.onclose = () => { state.textContent = "The connection was lost. Trying again."; setTimeout(watch, 1000) };
  }

  form.onsubmit = (event) => {
    event.preventDefault();
    const { name, text } = form.elements;
    if (socket.readyState === WebSocket.OPEN) {
      socket.send(JSON.stringify({ name: name.value, text: text.value }));
      text.value = "";
    }
  };
  watch();
</script>
</html>
"""
