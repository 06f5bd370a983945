"""All endpoints of the server: to add some, write a module that ends in `endpoints(models)`, and list it here."""

from importlib import import_module

from tasks.serve.endpoint import Endpoint
from tasks.serve.models import Models

MODULES: tuple[str, ...] = (
    "captions",
    "finds",
    "translations",
    "recognitions",
    "texts",
    "inside",
    "speech",
)  # of tasks.serve, in the order of the description of the API


def all_endpoints(models: Models) -> list[Endpoint]:
    """The endpoints of the tasks that are to be served; those of a task without a run refuse."""
    found = [endpoint for name in MODULES for endpoint in import_module(f"tasks.serve.{name}").endpoints(models)]
    return [endpoint for endpoint in found if models.is_asked(endpoint.task)]
