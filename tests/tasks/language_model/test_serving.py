"""What the server answers about texts, with the small model of these tests."""

import numpy as np
import pytest

from shared.errors import UserError
from tasks.serve.endpoint import Encoded, Item
from tasks.serve.models import Models
from tasks.serve.texts import ScoreRequest, TextAnswers


@pytest.fixture(scope="module")
def answers(trained) -> TextAnswers:
    return TextAnswers(Models({"language_model": [trained.run]}))


def scored(answers: TextAnswers, *requests: ScoreRequest) -> list:
    return answers.score(answers.causal(requests[0]), [Item(request, None) for request in requests])


def test_a_request_is_answered_as_if_it_were_alone(answers):
    plain = ScoreRequest(text="the cat sees the dog .")
    (kept,) = scored(answers, ScoreRequest(text="the cat", keep=True))
    requests = [
        plain,
        ScoreRequest(text="the cat", next=2),
        ScoreRequest(text="sees the dog .", state=Encoded(b64=kept.state.b64.encode())),
        ScoreRequest(text="the hen hugs the fox and the cow ."),
        ScoreRequest(text="the cat", state=Encoded(b64=b"AAAA")),
        ScoreRequest(text=""),
    ]
    together = scored(answers, *requests)
    alone = [scored(answers, request)[0] for request in requests]
    assert isinstance(together.pop(4), UserError)
    assert isinstance(alone.pop(4), UserError)
    for one, other in zip(together, alone, strict=True):
        assert [word.text for word in one.words] == [word.text for word in other.words]
        np.testing.assert_allclose(one.log_prob, other.log_prob, atol=2e-4)
        assert one.next == other.next
    first, continued = together[0], together[2]
    assert [word.bits for word in first.words][2:] == pytest.approx([word.bits for word in continued.words], abs=2e-3)
    assert [len(answer.next) for answer in together] == [0, 2, 0, 0, 0]
