"""The console: a page about everything that an app declares and does, with feeds of its own for what it shows."""

from .console import add_console as add_console
from .options import Console as Console
