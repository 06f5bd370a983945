"""Hostile requests to every endpoint: of fakes in short, of the released models as a campaign."""

import httpx
import pytest

from shared.machine import has_imagenet_weights
from tasks.serve.app import Server
from tasks.serve.limits import Limits
from tasks.serve.models import Models
from tests.robustness.requests import MOST_SECONDS, campaign, judge
from tests.robustness.requests import serving as released_models
from tests.serve.conftest import Serving, picture, run
from tests.serve.fakes import Batches, endpoints


def test_fakes_answer_or_refuse(serving: Serving):
    counts, faults = campaign(serving.http, 60, seed=1)
    assert faults == []
    statuses = {status for _, status in counts}
    assert statuses <= {200, 400, 413, 422}
    assert {200, 400, 422} <= statuses


def test_faults_are_found():
    """A server that fails at some texts, or remembers them."""
    batches, seen = Batches(), []
    answer = batches.answer

    def forgetful(key, items):
        seen.extend(item.request.text for item in items if item.request.text != "abc")
        if any(len(text) > 1000 for text in seen[-len(items) :]):
            raise ZeroDivisionError
        return answer(key + str(bool(seen)), items)

    batches.answer = forgetful
    server = Server(Models({}), endpoints(batches, picture())[:1], Limits(decoders=1))
    for address in run(server):
        with httpx.Client(base_url=address) as http:
            _, faults = campaign(http, 40, seed=1)
    reasons = " ".join(fault.reason for fault in faults)
    assert "status 500" in reasons
    assert "another answer" in reasons


@pytest.mark.parametrize(
    ("status", "content", "reason"),
    [
        (200, b"{}", ""),
        (200, b"", "an answer without content"),
        (422, b'{"error": "is bad"}', ""),
        (422, b'{"detail": [{"msg": "is bad"}]}', "status 422 without a sentence"),
        (400, b'{"error": "Traceback (most recent call last)"}', "no sentence"),
        (400, b"{", "status 400 without a sentence"),
        (503, b'{"error": "busy"}', "status 503"),
        (500, b'{"error": "failed"}', "status 500"),
    ],
)
def test_judgement_of_an_answer(status, content, reason):
    assert judge(httpx.Response(status, content=content)).startswith(reason)
    assert bool(judge(httpx.Response(status, content=content))) == bool(reason)


@pytest.mark.campaign
def test_released_models_answer_or_refuse():
    if not has_imagenet_weights():
        pytest.skip("no ImageNet weights of MobileNetV2 in KERAS_HOME")
    patient = "--timeout", str(MOST_SECONDS)  # a slow machine refuses nothing for its slowness
    with released_models(*patient) as (address, _), httpx.Client(base_url=address, timeout=120) as http:
        counts, faults = campaign(http, 400, seed=1)
    assert faults == []
    assert {status for _, status in counts} <= {200, 400, 413, 422}
