"""Shows our docstrings as Markdown: they name other objects by roles, and begin examples with two colons."""

import re
from typing import Any

from griffe import Extension, Object

ROLE = re.compile(r":\w+:`~?\.*([^`]+)`")
EXAMPLE = re.compile(r"::$", re.MULTILINE)


class Roles(Extension):
    """Replaces roles by code."""

    def on_instance(self, *, obj: Object, **options: Any) -> None:
        """Change the docstring of an object."""
        if obj.docstring is not None:
            text = ROLE.sub(r"`\1`", obj.docstring.value)
            obj.docstring.value = re.sub(r"^:$", "", EXAMPLE.sub(":", text), flags=re.MULTILINE)
