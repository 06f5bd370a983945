"""What the tab Inside shows: states, gates, guesses and gradients of language models of one layer, letter by letter."""

import base64
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field, StringConstraints

from shared.errors import UserError
from shared.runs import Run
from tasks.language_model.config import TASK, Config
from tasks.serve.endpoint import Endpoint, Item, ModelName, Request, Response
from tasks.serve.models import Models, NotLoaded

MAX_LETTERS = 200
MAX_STEPS = 256  # a letter that a model does not know is spelt in bytes, a step each
MAX_UNITS = 256  # of a layer; the gradients of a wider one take too long
THOUSANDTHS, HUNDREDTHS = 1000, 100
NOTHING = -(2**15)  # the logarithm of a gradient that is zero


class ModelsRequest(Request):
    """The models that can be looked into."""


class InsideModel(Response):
    name: str
    cell: str
    units: int
    parameters: int
    corpus: str
    bits: float | None
    """Mean loss per token of the development split, in bits."""


class InsideModels(Response):
    models: list[InsideModel]


class ReadRequest(Request):
    """A text, letter by letter: what the layer computes, what the model guesses, how far the gradients reach."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=MAX_LETTERS)]
    model: ModelName | None = None
    trained: bool = True
    """False: as it is before training, with random weights."""
    units: Annotated[int, Field(ge=1, le=MAX_UNITS)] = MAX_UNITS
    """Units whose values are returned, the first ones of the layer."""


class Matrix(Response):
    """Integers of 16 bits, little-endian, row by row: the values times `scale`, rounded; -32,768 is minus infinity."""

    b64: str
    shape: tuple[int, int]
    scale: int


class Guess(Response):
    token: str
    probability: float


class ReadResponse(Response):
    """A step reads one token and predicts the next; the first one reads the end of the line before."""

    model: str
    cell: str
    read: list[str]
    predicted: list[str]
    bits: list[float]
    """Loss of each step, -log2 p of the token that follows."""
    guesses: list[list[Guess]]
    """The most probable tokens after each step."""
    states: dict[str, Matrix]
    """h, and c of an LSTM, steps x units."""
    gates: dict[str, Matrix]
    """Of an LSTM i, f, g, o; of a GRU u, r, g."""
    from_inputs: dict[str, Matrix]
    """U x + b of each gate, and of h of a simple RNN."""
    from_states: dict[str, Matrix]
    """W h of the same, of the state before."""
    reach_states: Matrix
    """log10 of the norm of the gradient of a step's loss (row) for the states after each step (column)."""
    reach_inputs: Matrix
    """The same for the token that each step reads."""


def packed(values: np.ndarray, scale: int = THOUSANDTHS) -> Matrix:
    """A matrix in 16 bits; values beyond their range become the nearest that they can have."""
    whole = np.nan_to_num(np.round(values * scale), neginf=NOTHING)
    content = np.clip(whole, NOTHING, -NOTHING - 1).astype("<i2").tobytes()
    return Matrix(b64=base64.b64encode(content).decode(), shape=(len(values), values.shape[1]), scale=scale)


def suits(run: Run) -> bool:
    """Whether a run is one that can be looked into."""
    config = run.read_config(Config)
    return config.has_one_layer and config.widths[0] <= MAX_UNITS


def describe(run: Run, inside: Any) -> InsideModel:
    """A run and what its `Inside` knows."""
    perplexity = run.load_metrics().get("dev", {}).get("perplexity")
    return InsideModel(
        name=run.name,
        cell=inside.config.cell,
        units=inside.config.widths[0],
        parameters=inside.model.count_params(),
        corpus=inside.config.corpus,
        bits=float(np.log2(perplexity)) if perplexity else None,
    )


def respond(run: Run, seen: Any, units: int) -> ReadResponse:
    """What is seen of a text, with the values of the first units."""
    values = seen.values
    parts = (values.states, values.gates, values.from_inputs, values.from_states)
    states, gates, from_inputs, from_states = (
        {name: packed(matrix[:, :units]) for name, matrix in part.items()} for part in parts
    )
    return ReadResponse(
        model=run.name,
        cell=run.read_config(Config).cell,
        read=seen.read,
        predicted=seen.predicted,
        bits=(seen.nats / np.log(2)).tolist(),
        guesses=[[Guess(token=token, probability=p) for token, p in step] for step in seen.guesses],
        states=states,
        gates=gates,
        from_inputs=from_inputs,
        from_states=from_states,
        reach_states=packed(seen.reach.states, HUNDREDTHS),
        reach_inputs=packed(seen.reach.inputs, HUNDREDTHS),
    )


def endpoints(models: Models) -> list[Endpoint]:
    """The endpoints of the tab; none if no model that is served can be looked into."""
    if TASK not in models.refused and not models.runs(TASK, suits):
        return []

    def inside_of(run: Run, trained: bool = True) -> Any:
        from tasks.language_model.inside import Inside

        return models.load(Inside.load if trained else Inside.load_untrained, run)

    def describe_all(key: Any, items: Sequence[Item]) -> list[InsideModels]:
        del key
        models.find(TASK, None, suits)
        found, refused = [], None
        for run in models.runs(TASK, suits):
            try:
                found.append(describe(run, inside_of(run)))
            except NotLoaded as error:
                refused = error
        if refused and not found:
            raise refused
        return [InsideModels(models=found)] * len(items)

    def read(key: tuple[str, bool], items: Sequence[Item]) -> list[ReadResponse | UserError]:
        name, trained = key
        run = models.find(TASK, name, suits)
        inside = inside_of(run, trained)
        lengths = [inside.count_steps(item.request.text) for item in items]
        fitting = [item for item, length in zip(items, lengths, strict=True) if length <= MAX_STEPS]
        seen = iter(inside([item.request.text for item in fitting]))
        return [
            respond(run, next(seen), item.request.units)
            if length <= MAX_STEPS
            else UserError(
                f"text: {length} steps, since rare letters are spelt in bytes; at most {MAX_STEPS} were expected"
            )
            for item, length in zip(items, lengths, strict=True)
        ]

    return [
        Endpoint(
            path="/api/inside/models",
            task=TASK,
            request=ModelsRequest,
            response=InsideModels,
            example=ModelsRequest(),
            answer=describe_all,
        ),
        Endpoint(
            path="/api/inside/read",
            task=TASK,
            request=ReadRequest,
            response=ReadResponse,
            example=ReadRequest(text="The cat sat."),
            key=lambda request: (models.find(TASK, request.model, suits).name, request.trained),
            answer=read,
            max_batch=4,
        ),
    ]
