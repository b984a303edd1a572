"""The API's description (OpenAPI 3.1), made of the table of its calls, so that it cannot fall behind."""

from __future__ import annotations

import inspect
from importlib.metadata import version
from typing import Any

import msgspec

from schoolwacht_console.api import ENDPOINTS, PREFIX, Endpoint
from schoolwacht_console.body import JSON
from schoolwacht_console.problem import PROBLEM_TYPE

PATH = f"{PREFIX}/openapi.json"
_FAULTS = {
    "400": "something in the request cannot be understood; `field` and `column` say where",
    "403": "a change that a page of somebody else asked for",
    "404": "there is nothing of that id",
    "409": "somebody else changed it first",
    "503": "the store does not answer",
}


def document() -> dict[str, Any]:
    """The whole description as JSON values."""
    shapes = {shape for endpoint in ENDPOINTS for shape in (endpoint.reply, endpoint.body) if shape is not None}
    ordered = sorted(shapes, key=lambda shape: shape.__name__)
    schemas, components = msgspec.json.schema_components(ordered, ref_template="#/components/schemas/{name}")
    references = dict(zip(ordered, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(f"{PREFIX}{endpoint.path}", {})[endpoint.method.lower()] = _operation(endpoint, references)
    paths[PATH] = {"get": {"operationId": "openapi", "summary": "This document.", "responses": _ok({"type": "object"})}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Schoolwacht",
            "version": version("schoolwacht"),
            "description": "Search what schools' agents saw, and triage alerts. Times are UTC.",
            "license": {"name": "EUPL-1.2", "identifier": "EUPL-1.2"},
        },
        "paths": paths,
        "components": {"schemas": components | {"Problem": _PROBLEM}},
    }


def _operation(endpoint: Endpoint, references: dict[type[msgspec.Struct], dict[str, Any]]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.answer.__name__,
        "summary": (inspect.getdoc(endpoint.answer) or "").split("\n", maxsplit=1)[0],
        "parameters": [
            {
                "name": parameter.name,
                "in": "query",
                "description": parameter.description,
                "schema": {"type": "string", **({"enum": list(parameter.values)} if parameter.values else {})},
            }
            for parameter in endpoint.parameters
        ],
        "responses": _ok(references[endpoint.reply]) | _faults(endpoint),
    }
    if "{id}" in endpoint.path:
        operation["parameters"].append({"name": "id", "in": "path", "required": True, "schema": {"type": "string"}})
    if endpoint.body is not None:
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": references[endpoint.body]}}}
    return operation


def _ok(schema: dict[str, Any]) -> dict[str, Any]:
    return {"200": {"description": "as asked", "content": {JSON: {"schema": schema}}}}


def _faults(endpoint: Endpoint) -> dict[str, Any]:
    codes = ["400", "503"]
    if "{id}" in endpoint.path:
        codes.append("404")
    if endpoint.method == "POST":
        codes += ["403", "409"]
    content = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {code: {"description": _FAULTS[code], "content": content} for code in sorted(codes)}


_PROBLEM = {
    "title": "Problem",
    "description": "A fault (RFC 9457).",
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "field": {"type": "string"},
        "column": {"type": "integer"},
        "line": {"type": "integer"},
    },
    "required": ["type", "title", "status", "detail"],
}
