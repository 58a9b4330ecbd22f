"""``wirespeed call``, ``publish`` and ``stream``."""

from collections.abc import AsyncIterator, Sequence

from ..raw import RawJSON
from .document import ListedDefinition
from .durations import seconds_of
from .failures import CommandError, run, usage
from .listing import Server
from .messages import json_of, lines_of_stdin, message_of
from .session import ANSWER, connected, definition_at
from .target import Target, at
from .values import view_of
from .watching import Ends, show_all


def resolve(path: str, server: Server) -> tuple[Target, str]:
    """Return the server of a command, and the path on it.

    Raises:
        CommandError: They do not fit together.
    """
    return at(path, *server)


def call(path: str, words: Sequence[str], server: Server, *, as_json: bool, raw: bool, timeout: str | None) -> None:
    """Make a call, and write its value.

    Raises:
        CommandError: It failed.
    """
    target, path = resolve(path, server)
    definition = definition_at(target, path, "call")
    _check(definition, words)
    message = message_of(words, definition)
    seconds = ANSWER if timeout is None else seconds_of(timeout, "--timeout")

    async def work() -> bytes:
        async with connected(target, seconds) as connection:
            value: bytes = await connection.call(path, message, bytes)
            return value

    encoding = definition.encoding if definition else "json"
    view_of(encoding, as_json=as_json, raw=raw, times=False).show(run(work()))


def publish(path: str, words: Sequence[str], server: Server) -> None:
    """Send messages to the handler of a topic.

    Raises:
        CommandError: One was refused. Those before it were accepted.
    """
    target, path = resolve(path, server)
    if not words:
        raise usage("There is no message.", "Write JSON in quotes, field=value pairs, or - to read stdin.")
    definition = definition_at(target, path, "topic", "feed")
    if definition is not None and (definition.kind == "feed" or not definition.message):
        raise usage(
            f"{definition.path} takes no messages from clients.", "It is a topic with an on_message handler that does."
        )
    whole = None if list(words) == ["-"] else message_of(words, definition)

    async def work() -> None:
        async with connected(target) as connection:
            if whole is not None:
                await connection.publish(path, whole)
                return
            number = 0
            async for line in lines_of_stdin():
                number += 1
                try:
                    message = json_of(line, definition, "it")
                    await connection.publish(path, message)
                except Exception as error:
                    raise _at_line(number, error) from error

    run(work())


def _at_line(number: int, error: Exception) -> Exception:
    """Return the error of one line of stdin, with its number."""
    if isinstance(error, CommandError):
        return CommandError(f"line {number} of stdin: {error}", error.hint, error.code)
    if hasattr(error, "what"):
        error.what = f"line {number} of stdin: {error.what}"
    return error


def stream(
    path: str, words: Sequence[str], server: Server, *, as_json: bool, raw: bool, limit: int | None, time: str | None
) -> None:
    """Run a stream, and write its values.

    Raises:
        CommandError: It failed.
    """
    target, path = resolve(path, server)
    definition = definition_at(target, path, "stream")
    duplex = definition is not None and definition.takes == "all"
    from_stdin = duplex and list(words) == ["-"]
    _check(definition, words)
    message = None if from_stdin else message_of(words, definition)
    ends = Ends.of(limit, time)
    view = view_of(definition.encoding if definition else "json", as_json=as_json, raw=raw)

    async def work() -> None:
        async with connected(target) as connection:
            further = _messages(definition) if from_stdin else None
            await show_all(connection.publications(path, bytes, message=message, messages=further), view, ends)

    run(work())


async def _messages(definition: ListedDefinition | None) -> AsyncIterator[RawJSON]:
    async for line in lines_of_stdin():
        yield json_of(line, definition, "the line")


def _check(definition: ListedDefinition | None, words: Sequence[str]) -> None:
    """Refuse a message where none is taken, and none where one is needed, before the server does."""
    if definition is None:
        return
    if definition.takes == "nothing" and words:
        raise usage(f"{definition.path} takes no message.", "Leave it out; parameters belong to the path.")
    if definition.takes == "each" and not words:
        raise usage(
            f"{definition.path} needs a message: {definition.message}.", "Write JSON in quotes, or field=value pairs."
        )
