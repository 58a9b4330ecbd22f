"""The changes of a table, as the server sends them."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, TypeAdapter

from ..definitions import RowChange
from ..readback import reader

T = TypeVar("T")


class WireChange(BaseModel, Generic[T]):
    """A change of a table as JSON: of a row, or of all."""

    key: Any = None
    value: T | None = None
    removed: bool = False
    reset: bool = False

    def change(self) -> RowChange[T]:
        """Return the change as loops inside the app see it."""
        return RowChange("reset" if self.reset else "removed" if self.removed else "value", self.key, self.value)


def rows_of(type_: Any) -> Callable[[bytes], Any]:
    """Return a function that decodes a row of a table's history."""
    decode = reader(TypeAdapter(changes_of(type_)))
    return lambda data: decode(data).value


def changes_of(type_: Any) -> Any:
    """Return the type of the changes of a table whose rows have a type."""
    return WireChange[type_]
