"""Security in OpenAPI: how the app's ``authenticate`` gets its token, for the operations that identify their client."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from fastapi import Depends, FastAPI
from fastapi.dependencies.models import Dependant

from ..surfaces.authenticator import Authenticate, Authenticator
from .identity import current_identity
from .openapi import operations_of


class ShownSecurity(NamedTuple):
    """The schemes of an app's ``authenticate``, in the words of OpenAPI."""

    schemes: Mapping[str, Any]
    required: list[Any]


_BEARER = ShownSecurity({"HTTPBearer": {"type": "http", "scheme": "bearer"}}, [{"HTTPBearer": []}])


def show_security(app: FastAPI, authenticate: Authenticator | Authenticate | None) -> None:
    """Add the schemes of ``authenticate`` to each OpenAPI document of the app, and to its operations that need them."""
    if authenticate is None:
        return
    original = app.openapi
    app.state.wirespeed_security = security = _security_of(authenticate)

    def openapi() -> dict[str, Any]:
        document = original()
        for route, operation in operations_of(app, document):
            if not identifies(getattr(route, "dependant", None)):
                continue
            required = operation.setdefault("security", [])
            required.extend(each for each in security.required if each not in required)
            document.setdefault("components", {}).setdefault("securitySchemes", {}).update(security.schemes)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def shown_security(app: FastAPI) -> ShownSecurity:
    """Return the schemes of the app's ``authenticate``; none if it has none."""
    found: ShownSecurity = getattr(app.state, "wirespeed_security", ShownSecurity({}, []))
    return found


def _security_of(authenticate: Authenticator | Authenticate) -> ShownSecurity:
    """Return the schemes in the signature of ``authenticate``, as FastAPI reads them; bearer tokens if it has none."""
    function = authenticate.connect if isinstance(authenticate, Authenticator) else authenticate
    with suppress(Exception):  # a signature that FastAPI cannot read: it is never called as a dependency
        probe = FastAPI()
        probe.add_api_route("/", lambda: None, dependencies=[Depends(function)])
        document = probe.openapi()
        if required := document["paths"]["/"]["get"].get("security"):
            return ShownSecurity(document["components"]["securitySchemes"], required)
    return _BEARER


def identifies(dependant: Dependant | None) -> bool:
    """Return whether a route identifies its clients by the app's ``authenticate``."""
    if dependant is None:
        return False
    return dependant.call is current_identity or any(map(identifies, dependant.dependencies))
