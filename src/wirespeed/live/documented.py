"""An app and its definitions, as a document shows them: with the documentation of routers, and with their security."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from functools import partial
from typing import Annotated, Any, NamedTuple

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.encoders import jsonable_encoder
from fastapi.routing import RouteContext
from fastapi.security.base import SecurityBase
from pydantic_core import PydanticUndefined

from ..definitions import Description, Placed, describe, spellings
from ..documents import About, Documented, GuardParameter, Place, header, heading, takes_hyphens
from ..frameworks import Inclusion, inclusions, shown_in_openapi
from .inventory import definitions_of
from .openapi import noted
from .security import ShownSecurity, identifies, shown_security
from .serving import required_serving


class _Needed(NamedTuple):
    """A security scheme that a definition needs."""

    name: str
    scheme: Mapping[str, Any]
    """The scheme in the words of OpenAPI."""
    scopes: Sequence[str]


def documented_app(app: FastAPI) -> tuple[About, list[Documented]]:
    """Return an app, and those of its definitions that documents show.

    Raises:
        BindingError: The app has no ``Live``.
    """
    prefix, login = required_serving(app).prefix, shown_security(app)
    schemes, found, places = dict(login.schemes), [], inclusions(app)
    for placed, route in definitions_of(app):
        inclusion = places.get(id(shown_in_openapi(route)), Inclusion())
        needed = list(_security(route.dependant, login))
        shown = _documented(placed, route, inclusion, needed)
        if shown is not None:
            schemes |= {each.name: each.scheme for each in needed}
            found.append(shown)
    connecting = [name for each in login.required for name in each]
    return About(info=_info(app), prefix=prefix, schemes=schemes, connecting=connecting), found


def _documented(
    placed: Placed, route: RouteContext, inclusion: Inclusion, needed: Sequence[_Needed]
) -> Documented | None:
    """Return a definition; None if documents do not show it."""
    given = noted(route.endpoint)
    if not (given.get("include_in_schema", True) and inclusion.include_in_schema):
        return None
    (description,) = describe([placed])
    scopes: dict[str, list[str]] = {}
    for each in needed:
        scopes.setdefault(each.name, []).extend(each.scopes)
    text = given.get("description") or description.doc
    return Documented(
        description=description,
        address=route.path_format or placed.path,
        title=given.get("summary") or heading(route.name or ""),
        text=text.partition("\f")[0],
        tags=[_text(each) for each in (*inclusion.tags, *(given.get("tags") or ()))],
        deprecated=bool(inclusion.deprecated or given.get("deprecated")),
        responses={**inclusion.responses, **(given.get("responses") or {})},
        guards=list(_guards(description, route.dependant)),
        scopes={name: list(dict.fromkeys(each)) for name, each in scopes.items()},
    )


def _text(tag: str | Enum) -> str:
    return str(tag.value if isinstance(tag, Enum) else tag)


def _guards(description: Description, dependant: Dependant) -> Iterator[GuardParameter]:
    """Yield the parameters of the dependencies, and all headers and cookies."""
    own = {(each.place, each.name) for each in description.parameters}
    groups: dict[Place, Sequence[Any]] = {
        "path": dependant.path_params,
        "query": dependant.query_params,
        "header": dependant.header_params,
        "cookie": dependant.cookie_params,
    }
    for place, fields in groups.items():
        for each in fields:
            info = each.field_info
            name = spellings(info, each.name)[0]
            if place == "header" and name == each.name and takes_hyphens(info):
                name = header(name)
            default = None if info.default is PydanticUndefined else info.default
            if (place, name) not in own:
                type_: Any = Annotated[info.annotation, info]
                yield GuardParameter(name, place, type_, info.is_required(), default)
    for dependency in dependant.dependencies:
        yield from _guards(description, dependency)


def _security(dependant: Dependant, login: ShownSecurity) -> Iterator[_Needed]:
    """Yield the security schemes among the dependencies, and that of ``authenticate`` if one of them asks for it."""
    yield from _schemes(dependant)
    if identifies(dependant):
        for each in login.required:
            yield from (_Needed(name, login.schemes[name], scopes) for name, scopes in each.items())


def _schemes(dependant: Dependant) -> Iterator[_Needed]:
    """Yield the security schemes among the dependencies, with the scopes of all that depend on them."""
    for each in dependant.dependencies:
        call = each.call
        while isinstance(call, partial):
            call = call.func
        call = call and inspect.unwrap(call)
        if isinstance(call, SecurityBase):
            scopes = [*(each.parent_oauth_scopes or ()), *(each.own_oauth_scopes or ())]
            yield _Needed(call.scheme_name, jsonable_encoder(call.model, by_alias=True, exclude_none=True), scopes)
        yield from _schemes(each)


def _info(app: FastAPI) -> dict[str, Any]:
    """Return what an app says of itself, as far as AsyncAPI has words for it."""
    license_info, external = app.license_info or {}, app.openapi_external_docs or {}
    made: dict[str, Any] = {
        "title": app.title,
        "version": app.version,
        "description": app.description or app.summary,
        "termsOfService": app.terms_of_service,
        "contact": _only(app.contact or {}, "name", "url", "email"),
        "license": _only(license_info, "name", "url"),
        "tags": list({each["name"]: _tag(each) for each in app.openapi_tags or ()}.values()),
        "externalDocs": _only(external, "description", "url"),
    }
    return {name: each for name, each in made.items() if each}


def _tag(given: Mapping[str, Any]) -> dict[str, Any]:
    made = _only(given, "name", "description", "externalDocs")
    if "externalDocs" in made:
        made["externalDocs"] = _only(made["externalDocs"], "description", "url")
    return made


def _only(given: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: given[name] for name in names if given.get(name) is not None}
