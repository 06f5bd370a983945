"""What the server answers about the inside of a model is what Python computes, in thousandths."""

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from tasks.language_model.inside import Inside
from tasks.serve.inside import endpoints
from tasks.serve.models import Models
from tests.serve.letters import CELLS, TEXT, UNITS, Letters, letters_run, serving_letters


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[Letters]:
    with serving_letters(tmp_path_factory.mktemp("letters")) as letters:
        yield letters


def unpacked(matrix: dict[str, Any]) -> np.ndarray:
    values = np.frombuffer(base64.b64decode(matrix["b64"]), "<i2").reshape(matrix["shape"])
    return np.where(values == -(2**15), -np.inf, values / matrix["scale"])


@pytest.mark.parametrize("cell", CELLS)
def test_the_answer_is_what_is_seen_inside_in_thousandths(served, cell):
    answer = httpx.post(
        f"{served.address}/api/inside/read", json={"text": TEXT, "model": f"letters_{cell}", "units": 4}, timeout=20
    ).json()
    seen = Inside.load(served.runs[cell])([TEXT])[0]
    assert (answer["cell"], answer["read"], answer["predicted"]) == (cell, seen.read, seen.predicted)
    for part in ("states", "gates", "from_inputs", "from_states"):
        assert answer[part].keys() == getattr(seen.values, part).keys()
        for name, matrix in answer[part].items():
            np.testing.assert_allclose(unpacked(matrix), getattr(seen.values, part)[name][:, :4], atol=0.0006)
    for name in ("states", "inputs"):
        np.testing.assert_allclose(unpacked(answer[f"reach_{name}"]), getattr(seen.reach, name), atol=0.006)
    np.testing.assert_allclose(answer["bits"], seen.nats / np.log(2), rtol=1e-5)
    assert [[(one["token"], one["probability"]) for one in step] for step in answer["guesses"]] == seen.guesses


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({"text": ""}, 400, "text: string should have at least 1 character"),
        ({"text": "a" * 201}, 400, "text: string should have at most 200 characters"),
        ({"text": "a", "units": 257}, 400, "units: input should be less than or equal to 256"),
        ({"text": "a", "model": "other"}, 422, "model 'other' is not served here"),
        ({"text": "水" * 100}, 422, "text: 302 steps, since rare letters are spelt in bytes; at most 256"),
    ],
)
def test_wrong_requests_are_refused_in_a_sentence(served, body, status, sentence):
    response = httpx.post(f"{served.address}/api/inside/read", json=body)
    assert response.status_code == status
    assert response.json()["error"].startswith(sentence)


def test_the_models_are_those_of_one_layer(served):
    models = httpx.post(f"{served.address}/api/inside/models", json={}).json()["models"]
    assert [(model["cell"], model["units"], model["bits"]) for model in models] == [
        ("lstm", UNITS, 2.0), ("gru", UNITS, None), ("simple_rnn", UNITS, None),
    ]  # fmt: skip
    assert models[0]["parameters"] == sum(x.size for x in served.runs["lstm"].load_weights().values())


def test_models_of_several_layers_or_many_units_are_left_out(tmp_path):
    deep, wide = (
        letters_run(tmp_path / name, "gru", **changes)
        for name, changes in (("deep", {"num_layers": 2}), ("wide", {"units": 257}))
    )
    assert endpoints(Models({"language_model": [deep, wide]})) == []
