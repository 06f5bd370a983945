"""What eight bits cost the released language model."""

import os
from pathlib import Path

import numpy as np
import pytest

from shared.quantization import SCALE, dequantize, quantize
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
    weights, rng = run.load_weights(), np.random.default_rng(1)
    quantized = quantize(weights)
    assert sum(x.size for x in dequantize(quantized).values()) > 0.99 * sum(x.size for x in weights.values())
    # The released weights have eight bits already: these would be rounded to them.
    for name, values in quantized.items():
        if values.dtype == np.int8:
            weights[name] += rng.uniform(-0.5, 0.5, values.shape).astype(np.float32) * quantized[name + SCALE]

    def nats_of(weights: dict[str, np.ndarray]) -> float:
        assign_weights(model, weights)
        return float(stream_nats(model, stream, vocabulary.end_id).mean())

    assert 0 < abs(nats_of(weights | dequantize(quantize(weights))) - nats_of(weights)) < np.log(1.003)
