"""The description of the API in OpenAPI, with the types of all bodies, which endpoints read by themselves."""

from collections.abc import Sequence
from typing import Any, Literal

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from tasks.serve.endpoint import Endpoint

REFS = "#/components/schemas/{model}"
REFUSALS = "400", "413", "422", "503"

Direction = Literal["validation", "serialization"]


class Description:
    """The schemas of the requests and the responses of endpoints."""

    def __init__(self, endpoints: Sequence[Endpoint]):
        kinds: list[tuple[type[BaseModel], Direction]] = []
        for endpoint in endpoints:
            kinds += [(endpoint.request, "validation"), (endpoint.response, "serialization")]
        self._references, definitions = models_json_schema(kinds, ref_template=REFS)
        self._schemas = definitions.get("$defs", {})

    def of(self, endpoint: Endpoint) -> dict[str, Any]:
        """The body and the answers of an endpoint."""
        request = {
            "schema": self._references[endpoint.request, "validation"],
            "example": endpoint.example.model_dump(mode="json", exclude_unset=True),
        }
        media_type = "text/event-stream" if endpoint.stream else "application/json"
        answer = {
            "description": "Server-sent events, of which each has this as its data"
            if endpoint.stream
            else "The answer",
            "content": {media_type: {"schema": self._references[endpoint.response, "serialization"]}},
        }
        refusal = {"description": 'Why not, in one sentence: {"error": "..."}'}
        return {
            "requestBody": {"required": True, "content": {"application/json": request}},
            "responses": {"200": answer, **dict.fromkeys(REFUSALS, refusal)},
        }

    def of_all(self, app: FastAPI) -> dict[str, Any]:
        """The description of an application."""
        if app.openapi_schema is None:
            found = get_openapi(title=app.title, version="1", routes=app.routes)
            found.setdefault("components", {}).setdefault("schemas", {}).update(self._schemas)
            app.openapi_schema = found
        return app.openapi_schema
