"""The released models answer as when `golden.json` was recorded.

To the last bit on the processor that it names; on others with the same text and numbers that differ by rounding.
"""

import json
import re
from typing import Any

import keras
import numpy as np
import pytest

from shared.machine import has_imagenet_weights
from tests.golden import MODELS, RECORD, processor

pytestmark = pytest.mark.any_backend

DIGEST = re.compile("[0-9a-f]{64}")
NUMBER = re.compile(r"-?0x[01]\.[0-9a-f]+p[+-]\d+")


def same(output: Any, recorded: Any) -> bool:
    """Whether outputs agree but for rounding; digests of arrays, which rounding changes, are not compared."""
    if isinstance(recorded, dict):
        return output.keys() == recorded.keys() and all(same(output[key], recorded[key]) for key in recorded)
    if isinstance(recorded, list):
        return len(output) == len(recorded) and all(map(same, output, recorded))
    if isinstance(recorded, str) and NUMBER.fullmatch(recorded):
        return bool(np.isclose(float.fromhex(output), float.fromhex(recorded), rtol=1e-3, atol=1e-3))
    return bool(isinstance(recorded, str) and DIGEST.fullmatch(recorded)) or output == recorded


@pytest.mark.campaign
@pytest.mark.parametrize("model", MODELS)
def test_outputs_are_those_recorded(model):
    if model == "captioner" and not has_imagenet_weights():
        pytest.skip("no ImageNet weights in KERAS_HOME")
    record = json.loads(RECORD.read_text(encoding="utf-8"))[model]
    outputs = json.loads(json.dumps(MODELS[model]()))
    assert same(outputs, record["outputs"])
    if processor() == record["processor"] and keras.backend.backend() == "tensorflow":
        assert outputs == record["outputs"]


def test_other_outputs_are_noticed():
    recorded = {"text": ["a dog"], "log_prob": (1.5).hex()}
    assert same({"text": ["a dog"], "log_prob": (1.5001).hex()}, recorded)
    assert not same({"text": ["a cat"], "log_prob": (1.5).hex()}, recorded)
    assert not same({"text": ["a dog"], "log_prob": (1.6).hex()}, recorded)
