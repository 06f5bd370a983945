"""Writes a trained language model as a SavedModel that takes and gives text.

    python -m tasks.language_model.export [RUN]

Endpoints, all for any batch size:

    score      text (batch,) string
               -> log_prob (batch,) float32        natural logarithm, `</s>` included
                  token_log_probs (batch, time)    0 where a text is shorter
                  tokens (batch, time) string      "" where a text is shorter
    generate   prompt (batch,) string, max_tokens int32, temperature float32, top_k int32, top_p float32, seed int32
               -> text (batch,) string             what comes after the prompt, to the end of the line at most;
                                                   top_k 0 and top_p 1 are off
    step       token_ids (batch,) int32, state_0, state_1, ... (batch, units) float32
               -> log_probs (batch, vocab), state_0, state_1, ...

`step` begins with zeros and the id of `</s>`, 2.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from shared.cli import command, parse
from tasks.language_model.config import find_run

TOLERANCE = 1e-3  # in log-probabilities; one graph may add up in another order than another
EXAMPLES = ("the cat sat on the mat .", "", "The   zyzzyva, and \u732b!", "of the")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    model: tyro.conf.Positional[str | None] = None
    """Run or folder; by default the released model, else the newest run that reads forwards."""


def export(model: str | None) -> Path:
    """Exports a run or folder; returns the SavedModel's folder.

    Raises:
        RunError: there is no such run, or its files do not fit together.
        ParityError: the SavedModel and the Python model differ.
    """
    run = find_run(model)
    import numpy as np
    import tensorflow as tf

    from shared.decoding import sample
    from shared.export import Endpoint, ParityError, write_saved_model
    from shared.text_in_graph import text_table
    from tasks.language_model.generate import Sampling, TextGenerator
    from tasks.language_model.model import load_model
    from tasks.language_model.score import TextScorer

    _, vocabulary, language_model = load_model(run)
    table, end_id = text_table(vocabulary), vocabulary.end_id
    names = [f"state_{i}" for i in range(len(language_model.initial_state(1)))]

    def score(text):
        tokens, ids = table.split(text)
        end = tf.fill([tf.shape(text)[0], 1], end_id)
        ids = tf.concat([ids, end], axis=1)
        targets = ids.to_tensor()
        inputs = tf.concat([end, targets[:, :-1]], axis=1)
        logits, _ = language_model(inputs, language_model.initial_state(tf.shape(text)[0]))
        costs = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, tf.cast(logits, tf.float32))
        log_probs = tf.where(tf.sequence_mask(ids.row_lengths(), tf.shape(targets)[1]), -costs, 0.0)
        tokens = tf.concat([tokens, tf.fill([tf.shape(text)[0], 1], vocabulary.table[end_id])], axis=1)
        return {
            "log_prob": tf.reduce_sum(log_probs, axis=-1),
            "token_log_probs": log_probs,
            "tokens": tokens.to_tensor(""),
        }

    def next_log_probs(token_ids, states):
        logits, states = language_model(token_ids[:, None], states)
        return tf.nn.log_softmax(tf.cast(logits[:, 0], tf.float32)), states

    def generate(prompt, max_tokens, temperature, top_k, top_p, seed):
        tf.debugging.assert_greater(temperature, 0.0, "temperature must be above 0")
        tf.debugging.assert_greater(max_tokens, 0, "max_tokens must be at least 1")
        batch = tf.shape(prompt)[0]
        _, ids = table.split(prompt)
        ids = tf.ragged.boolean_mask(
            ids, ids.with_values(tf.gather(prompt != "", ids.value_rowids()))
        )  # nothing is read
        ids = tf.concat([tf.fill([batch, 1], end_id), ids], axis=1)
        lengths = tf.cast(ids.row_lengths(), tf.int32)
        padded = ids.to_tensor()
        # All but the last token are read; it is the first that the search gives to the model.
        read = tf.sequence_mask(lengths - 1, tf.shape(padded)[1])
        _, _, states = language_model.outputs(padded, language_model.initial_state(batch), mask=read)
        last = tf.gather(padded, lengths - 1, batch_dims=1)

        def step(token_ids, state):
            states, begins = state
            token_ids = tf.where(begins, last[:, None], token_ids)
            log_probs, states = next_log_probs(token_ids[:, 0], [x[:, 0] for x in states])
            return log_probs[:, None], ([x[:, None] for x in states], tf.zeros_like(begins)), ()

        found = sample(
            step,
            (states, tf.ones([batch], tf.bool)),
            batch_size=batch,
            start_id=end_id,
            end_id=end_id,
            pad_id=vocabulary.pad_id,
            max_length=max_tokens,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=lambda shape: tf.random.stateless_uniform(shape, tf.stack([seed, 0])),
            forbidden_ids=(vocabulary.pad_id, vocabulary.start_id, vocabulary.unknown_id),
        )
        return {"text": table.decode(found.token_ids[:, 0], begun=lengths > 1)}

    def one_step(token_ids, *states):
        log_probs, after = next_log_probs(token_ids, list(states))
        return {"log_probs": log_probs} | dict(zip(names, after, strict=True))

    scores = TextScorer(language_model, vocabulary)(EXAMPLES)

    def check(loaded) -> None:
        found = {name: value.numpy() for name, value in loaded.score(tf.constant(EXAMPLES)).items()}
        for place, expected in enumerate(scores):
            count = len(expected.tokens)
            tokens = [token.decode() for token in found["tokens"][place, :count]]
            off = np.abs(found["token_log_probs"][place, :count] - expected.log_probs).max()
            if tokens != expected.tokens or off > TOLERANCE:
                raise ParityError(f"nothing was exported: {EXAMPLES[place]!r} is scored as {tokens}, off by {off:.2g}")
        for expected in scores:
            states = dict(zip(names, language_model.initial_state(1), strict=True))
            total, token = 0.0, end_id
            for following in [*vocabulary.encode(expected.text), end_id]:
                states = loaded.step(tf.constant([token]), *(states[name] for name in names))  # in no order
                total += float(states["log_probs"][0, following])
                token = following
            if abs(total - expected.log_prob) > TOLERANCE * len(expected.tokens):
                raise ParityError(f"nothing was exported: the steps of {expected.text!r} add up to {total:.4f}")
        count, cold = 8, Sampling(top_k=1)
        texts = loaded.generate(tf.constant(EXAMPLES), count, 1.0, cold.top_k, 1.0, 7)["text"].numpy()
        for text, prompt in zip(texts, EXAMPLES, strict=True):
            generator = TextGenerator(language_model, vocabulary)
            generator.read(prompt)
            drawn = [int(tokens[0]) for tokens, _ in generator.draw(count, 1, cold)]
            written = "".join(vocabulary.spell(drawn, generator.begun))
            if text.decode() != written.split("\n")[0]:
                raise ParityError(f"nothing was exported: after {prompt!r} it says {text.decode()!r}, not {written!r}")

    scalars = {"max_tokens": tf.int32, "temperature": tf.float32, "top_k": tf.int32, "top_p": tf.float32}
    scalars |= {"seed": tf.int32}
    states = dict(zip(names, language_model.initial_state(1), strict=True))
    endpoints = {
        "score": Endpoint(
            function=score, signature={"text": tf.TensorSpec([None], tf.string, "text")}, example={"text": EXAMPLES[:1]}
        ),
        "generate": Endpoint(
            function=generate,
            signature={"prompt": tf.TensorSpec([None], tf.string, "prompt")}
            | {name: tf.TensorSpec([], kind, name) for name, kind in scalars.items()},
            example={"prompt": EXAMPLES[:1], "max_tokens": 8, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "seed": 1},
        ),
        "step": Endpoint(
            function=one_step,
            signature={"token_ids": tf.TensorSpec([None], tf.int32, "token_ids")}
            | {name: tf.TensorSpec([None, state.shape[1]], tf.float32, name) for name, state in states.items()},
            example={"token_ids": [end_id]} | {name: state.numpy() for name, state in states.items()},
        ),
    }
    return write_saved_model(run, language_model, endpoints, check, table.resources)


@command
def main(arguments: list[str]) -> None:
    print(export(parse(Arguments, arguments, "tasks.language_model.export", __doc__).model))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
