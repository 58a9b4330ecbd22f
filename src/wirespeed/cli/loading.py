"""Apps that are named on the command line, such as ``main:app``."""

import importlib
import re
import sys
import traceback
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from .failures import CommandError, usage

APP = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def is_app(text: str) -> bool:
    """Return True if a text names an app: ``main:app`` or ``package.module:app``."""
    return APP.fullmatch(text) is not None


def load_app(text: str) -> Any:
    """Import an app, with the current folder on the path of modules, as servers do.

    Raises:
        CommandError: There is no such module or name in it, it is not a FastAPI app, or its import fails.
    """
    if not is_app(text):
        raise usage(f"{text[:200]!r} does not name an app.", "Write its module and its name, such as main:app.")
    module_name, _, names = text.partition(":")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        with redirect_stdout(sys.stderr):  # what the app prints is not what a command writes
            found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise _failed(module_name, error) from error
        folder = Path.cwd()
        raise usage(
            f"There is no module {module_name!r} in {folder}.", "Run the command in the app's folder."
        ) from None
    except Exception as error:
        raise _failed(module_name, error) from error
    for name in names.split("."):
        if not hasattr(found, name):
            raise usage(f"The module {module_name!r} has no {names!r}.", "Name the variable that holds the app.")
        found = getattr(found, name)
    return _checked(text, found)


def _failed(module_name: str, error: Exception) -> CommandError:
    frames = [each for each in traceback.extract_tb(error.__traceback__) if not each.filename.startswith("<frozen")]
    place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if len(frames) > 1 else ""
    return CommandError(
        f"The import of {module_name!r} failed: {type(error).__name__}: {str(error).rstrip('.')}{place}."
    )


def _checked(text: str, found: Any) -> Any:
    from fastapi import FastAPI

    if not isinstance(found, FastAPI):
        raise usage(f"{text} is not a FastAPI app, but of the type {type(found).__name__}.")
    return found
