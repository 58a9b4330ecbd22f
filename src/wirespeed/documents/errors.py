"""The body of FastAPI's answer to a client's mistakes, with the names that it has in OpenAPI."""

from typing import Any

from pydantic import BaseModel


class ValidationError(BaseModel):
    """One mistake."""

    loc: list[str | int]
    msg: str
    type: str
    input: Any = None
    ctx: dict[str, Any] = {}


class HTTPValidationError(BaseModel):
    """All mistakes of one message or request."""

    detail: list[ValidationError]
