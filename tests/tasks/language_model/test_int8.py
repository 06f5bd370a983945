"""What eight bits cost the released language model."""

import os
from pathlib import Path

import numpy as np
import pytest

from shared.quantization import dequantize, quantize
from shared.runs import Run
from shared.training import assign_weights
from tasks.language_model.adapt import stream_nats
from tasks.language_model.data import to_stream
from tasks.language_model.model import load_model

RUN = Path(__file__).parents[3] / "saved_models" / "language_model" / "wikitext2"
TEXT = Path(os.environ.get("QUATRAIN_DATA", "")) / "wikitext-2" / "wiki.valid.tokens"
TOKENS = 1_000


@pytest.mark.slow
@pytest.mark.skipif(not TEXT.is_file(), reason="wikitext-2 is not in QUATRAIN_DATA")
def test_the_perplexity_rises_by_less_than_3_in_a_thousand():
    run = Run(RUN)
    _, vocabulary, model = load_model(run)
    lines = filter(None, map(str.strip, TEXT.read_text().splitlines()))
    stream = to_stream(lines, vocabulary)[:TOKENS]
    before = stream_nats(model, stream, vocabulary.end_id).mean()
    weights = run.load_weights()
    rounded = dequantize(quantize(weights))
    assert sum(x.size for x in rounded.values()) > 0.99 * sum(x.size for x in weights.values())
    assign_weights(model, weights | rounded)
    after = stream_nats(model, stream, vocabulary.end_id).mean()
    assert 0 < abs(after - before) < np.log(1.003)
