"""The OpenAPI 3.1 document, built from the route table and the models of schema.py; docs/openapi.json is its copy."""

import re
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from daemon import __version__, schema
from daemon.access import Access
from daemon.api.routes import ROUTES, Route

_ACCESS = {
    Access.ANY: "Any caller.",
    Access.OWNER: "The job's owner.",
    Access.OWNER_OR_ADMIN: "The job's owner or the administrator.",
    Access.ADMIN: "The administrator.",
}


def document() -> dict[str, Any]:
    """The whole document."""
    models = {model for route in ROUTES for model in (route.body, route.reply) if model} | {schema.Problem}
    ordered = sorted(models, key=lambda model: model.__name__)
    _, definitions = models_json_schema(
        [(model, "validation") for model in ordered], ref_template="#/components/schemas/{model}"
    )
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "bitsd",
            "version": __version__,
            "description": "Background downloads over a Unix socket. The caller is the peer credential of the socket.",
        },
        "servers": [{"url": "http://localhost"}],
        "paths": paths,
        "components": {"schemas": definitions["$defs"]},
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"{route.handler.__module__.rsplit('.', 1)[-1]}_{route.handler.__name__}",
        "summary": route.summary,
        "description": f"{route.handler.__doc__ or ''} Access: {_ACCESS[route.access]}",
        "responses": {
            **_answers(route),
            "default": _content("Refused; nothing was changed.", schema.Problem, "application/problem+json"),
        },
    }
    parameters = [_path_parameter(name) for name in re.findall(r"{(\w+)}", route.path)]
    if route.query is not None:
        parameters += _query_parameters(route.query)
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        operation["requestBody"] = _content("", route.body) | {"required": True}
    return operation


def _answers(route: Route) -> dict[str, Any]:
    if route.reply is not None:
        return {str(route.status): _content("Done.", route.reply)}
    if not route.is_content:
        return {str(route.status): {"description": "Done."}}
    content: dict[str, Any] = {"application/octet-stream": {}}
    return {
        "200": {"description": "The whole file.", "content": content},
        "206": {"description": "The part that Range asks for.", "content": content},
    }


def _content(description: str, model: type[BaseModel], media_type: str = "application/json") -> dict[str, Any]:
    reference = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"description": description, "content": {media_type: {"schema": reference}}}


def _path_parameter(name: str) -> dict[str, Any]:
    kind = {"type": "integer", "minimum": 0} if name == "index" else {"type": "string"}
    return {"name": name, "in": "path", "required": True, "schema": kind}


def _query_parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    described = model.model_json_schema()
    required = set(described.get("required", ()))
    return [
        {"name": name, "in": "query", "required": name in required, "schema": kind}
        for name, kind in described["properties"].items()
    ]
