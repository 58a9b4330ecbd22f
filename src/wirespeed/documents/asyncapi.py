"""AsyncAPI 3: the document about all definitions of an app."""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

from pydantic_core import from_json, to_json

from .channels import SHARED, Channel
from .schemas import Schema, Schemas
from .section import Documented, Section

logger = logging.getLogger("wirespeed")

VERSION = "3.0.0"

_OAUTH_FLOWS = ("implicit", "password", "clientCredentials", "authorizationCode")


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """An app, as a document introduces it.

    Args:
        info: The title, the version and the like, in the words of AsyncAPI.
        prefix: The path of the multiplexed connection; None if there is none.
        schemes: Security schemes in the words of OpenAPI, by their names.
        connecting: Names of the security schemes of the multiplexed connection.
    """

    info: Mapping[str, Any]
    prefix: str | None
    schemes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    connecting: Sequence[str] = ()


def asyncapi(about: About, definitions: Iterable[Documented]) -> Schema:
    """Return the document about an app, without all that depends on its address, see :func:`located`."""
    schemas = Schemas()
    sections = [Section(id_, each, schemas) for id_, each in _named(definitions)]
    schemas.make()
    _warn(sections, schemas)
    channels = {each.id: Channel(each, _server_names(about)) for each in sections}
    messages = {name for each in channels.values() for name in each.shared}
    components = {
        "schemas": schemas.definitions,
        "messages": {name: each for name, each in SHARED.items() if name in messages},
        "securitySchemes": {},
    }
    made = {
        "asyncapi": VERSION,
        "info": about.info,
        "defaultContentType": "application/json",
        "servers": {},
        "channels": {id_: each.channel() for id_, each in channels.items()},
        "operations": {name: each for channel in channels.values() for name, each in channel.operations().items()},
        "components": components,
    }
    # The app's own additions to schemas may hold any object of Python.
    return dict(from_json(to_json(made, inf_nan_mode="null", fallback=str)))


def located(document: Mapping[str, Any], about: About, *, host: str, secure: bool, pathname: str) -> Schema:
    """Return the document with the servers, the links and the security schemes of an app at one address.

    Args:
        host: The host, with its port if that is not the usual one.
        secure: True if clients connect over TLS.
        pathname: The path below which the app is served; empty for the root.
    """
    base = f"{'https' if secure else 'http'}://{host}{pathname}/"
    schemes = {name: _scheme(each, base) for name, each in about.schemes.items()}
    components = document["components"] | {"securitySchemes": schemes}
    servers, info = _servers(about, host, secure, pathname), _with_addresses(document["info"], base)
    return {**document, "info": info, "servers": servers, "components": components}


def _with_addresses(info: Any, base: str) -> Any:
    """Return what an app says of itself with absolute addresses: those of OpenAPI may be relative."""
    if isinstance(info, list):
        return [_with_addresses(each, base) for each in info]
    if not isinstance(info, dict):
        return info
    return {
        name: urljoin(base, each) if name in ("url", "termsOfService") else _with_addresses(each, base)
        for name, each in info.items()
    }


def _servers(about: About, host: str, secure: bool, pathname: str) -> Schema:
    """Return the servers: one for each way to connect."""
    socket, http = ("wss", "https") if secure else ("ws", "http")
    made: Schema = {
        "websocket": {"host": host, "protocol": socket, "pathname": pathname},
        "http": {"host": host, "protocol": http, "pathname": pathname},
    }
    if about.prefix is not None:
        references = [{"$ref": f"#/components/securitySchemes/{name}"} for name in about.connecting]
        made["multiplexed"] = {
            "host": host,
            "protocol": socket,
            "pathname": f"{pathname}{about.prefix}/websocket",
            **({"security": references} if references else {}),
            "x-wirespeed": {"protocol": "centrifuge", "prefix": about.prefix},
        }
    return made


def _server_names(about: About) -> list[str]:
    return ["websocket", "http", *([] if about.prefix is None else ["multiplexed"])]


def _named(definitions: Iterable[Documented]) -> Iterator[tuple[str, Documented]]:
    """Yield the definitions with their ids, which are made of their paths and are different."""
    taken: set[str] = set()
    for each in definitions:
        name = base = re.sub(r"\W+", "_", each.address, flags=re.ASCII).strip("_") or "root"
        number = 1
        while name in taken:
            number += 1
            name = f"{base}_{number}"
        taken.add(name)
        yield name, each


def _warn(sections: Iterable[Section], schemas: Schemas) -> None:
    """Log each type without a schema, with the definition that has it."""
    titles = {each.id: each.documented.description.title for each in sections}
    for (id_, *part), reason in schemas.problems:
        logger.warning(
            "%s: AsyncAPI describes a part of its %s as any JSON, because Pydantic has no JSON schema for it (%s). "
            "Use a type with a schema, or add one with WithJsonSchema().",
            titles[str(id_)],
            " ".join(map(str, part)),
            reason,
        )


def _scheme(given: Mapping[str, Any], base: str) -> Schema:
    """Return a security scheme of OpenAPI in the words of AsyncAPI, in which all addresses are absolute."""
    made = dict(given)
    if made["type"] == "apiKey":
        made["type"] = "httpApiKey"
    elif made["type"] == "oauth2":
        made["flows"] = {name: _flow(each, base) for name, each in made["flows"].items() if name in _OAUTH_FLOWS}
    elif made["type"] == "openIdConnect":
        made["openIdConnectUrl"] = urljoin(base, made["openIdConnectUrl"])
    return made


def _flow(given: Mapping[str, Any], base: str) -> Schema:
    """Return a flow of OAuth 2, which names its scopes differently."""
    made = {name: urljoin(base, each) if name.endswith("Url") else each for name, each in given.items()}
    made["availableScopes"] = made.pop("scopes", {})
    return made
