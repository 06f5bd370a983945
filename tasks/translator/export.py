"""Writes a trained translator as a SavedModel that takes and gives text.

    python -m tasks.translator.export [RUN] [--beam 5]

Endpoints, both for any batch size:

    translate  text (batch,) string
               -> text (batch, beam) string            translations, best first
                  log_prob (batch, beam) float32       natural logarithm, the end included
                  score (batch, beam) float32          what they are sorted by
                  tokens (batch, beam, target) string  "" where a translation is shorter
                  attention (batch, beam, target, source) float32, over the tokens of the sentence and its end
    score      source (batch,) string, target (batch,) string
               -> log_prob (batch,) float32            natural logarithm, `</s>` included
                  token_log_probs (batch, target)      0 where a translation is shorter
                  tokens (batch, target) string        "" where a translation is shorter

Where a sentence has fewer translations than the beam, text is "" and log_prob -inf. Sentences of any length are
translated; beyond those of training nothing good is to be expected.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from shared.cli import check_number, command, parse
from shared.runs import Run
from tasks.translator.config import RELEASED, TASK
from tasks.translator.translate import MAX_BEAM

TOLERANCE = 1e-3  # in log-probabilities; one graph may add up in another order than another
EXAMPLES = ("a small red circle .", "", "ein Hund\tläuft , und\u732b!", "of the", "\U0001f600")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    model: tyro.conf.Positional[str | None] = None
    """Run or folder; by default the released model, else the newest run."""
    beam: int | None = None
    """Translations per sentence; by default the run's own."""


def export(model: str | None, beam: int | None = None) -> Path:
    """Exports a run or folder; returns the SavedModel's folder.

    Raises:
        RunError: there is no such run, or its files do not fit together.
        ParityError: the SavedModel and the Python model differ.
    """
    run = Run.find(model, TASK, RELEASED)
    import numpy as np
    import tensorflow as tf

    from shared.export import Endpoint, ParityError, write_saved_model
    from shared.text_in_graph import text_table
    from tasks.translator.data import SPACE
    from tasks.translator.score import PairScorer
    from tasks.translator.translation import Translator

    translator = Translator.load(str(run.path), beam=beam)
    source_table, target_table = text_table(translator.source), text_table(translator.target)
    scorer = PairScorer(translator.models[0], translator.source, translator.target)
    names = tf.constant(["", *translator.target.table[1:]])

    def tidied(text):
        return tf.strings.regex_replace(tf.strings.regex_replace(text, SPACE, " "), "^ | $", "")

    def split(table, text):
        """Tokens and ids with their end, right-padded: (batch, time) each."""
        text = tidied(text)
        tokens, ids = table.split(text)
        end = tf.fill([tf.shape(text)[0], 1], table.vocabulary.end_id)
        ends = tf.gather(tf.constant(table.vocabulary.table), end)
        return tf.concat([tokens, ends], axis=1).to_tensor(""), tf.concat([ids, end], axis=1).to_tensor()

    def translate(text):
        words, ids = split(source_table, text)
        found = translator.searcher(ids)
        copied = found["copied"]
        instead = tf.where(copied >= 0, tf.gather(words, tf.maximum(copied, 0), batch_dims=1), "")
        tokens = tf.where(instead == "", tf.gather(names, found["token_ids"]), instead)
        empty = tf.equal(tidied(text), "")[:, None]  # nothing is said of nothing
        first = tf.range(tf.shape(copied)[1]) == 0
        log_prob, score = (
            tf.where(empty, tf.where(first, 0.0, -np.inf), found[name]) for name in ("log_probs", "scores")
        )
        return {
            "text": tf.where(empty, "", target_table.decode(found["token_ids"], instead=instead)),
            "log_prob": log_prob,
            "score": score,
            "tokens": tf.where(
                tf.expand_dims(empty, -1), "", tf.where(tokens == names[translator.target.end_id], "", tokens)
            ),
            "attention": found["extras"],
        }

    def score(source, target):
        _, source_ids = split(source_table, source)
        tokens, target_ids = split(target_table, target)
        log_probs, _ = scorer.reader({"source_ids": source_ids, "target_ids": target_ids})
        return {"log_prob": tf.reduce_sum(log_probs, axis=-1), "token_log_probs": log_probs, "tokens": tokens}

    expected = translator(EXAMPLES)
    pairs = [(sentence, found[0].text) for sentence, found in zip(EXAMPLES, expected, strict=True)]
    scores = scorer(pairs)

    def check(loaded) -> None:
        given = {name: value.numpy() for name, value in loaded.translate(tf.constant(EXAMPLES)).items()}
        for i, translations in enumerate(expected):
            for j, wanted in enumerate(translations):
                text, log_prob = given["text"][i, j].decode(), given["log_prob"][i, j]
                if text != wanted.text or abs(log_prob - wanted.log_prob) > TOLERANCE:
                    raise ParityError(
                        f"nothing was exported: {EXAMPLES[i]!r} is {text!r} ({log_prob:.4f}) for the SavedModel,"
                        f" {wanted.text!r} ({wanted.log_prob:.4f}) for the model"
                    )
        told = loaded.score(*(tf.constant(side) for side in zip(*pairs, strict=True)))
        log_probs, tokens = told["token_log_probs"].numpy(), told["tokens"].numpy()
        for row, wanted in enumerate(scores):
            count = len(wanted.tokens)
            off = np.abs(log_probs[row, :count] - wanted.log_probs).max()
            if [token.decode() for token in tokens[row, :count]] != wanted.tokens or off > TOLERANCE:
                raise ParityError(f"nothing was exported: {wanted.target!r} is scored otherwise, off by {off:.2g}")

    texts = {name: tf.TensorSpec([None], tf.string, name) for name in ("text", "source", "target")}
    endpoints = {
        "translate": Endpoint(function=translate, signature={"text": texts["text"]}, example={"text": EXAMPLES[:1]}),
        "score": Endpoint(
            function=score,
            signature={name: texts[name] for name in ("source", "target")},
            example={"source": EXAMPLES[:1], "target": EXAMPLES[:1]},
        ),
    }
    resources = [*source_table.resources, *target_table.resources]
    return write_saved_model(run, translator.searcher, endpoints, check, resources)


@command
def main(arguments: list[str]) -> None:
    options = parse(Arguments, arguments, "tasks.translator.export", __doc__)
    check_number("--beam", options.beam, 1, MAX_BEAM)
    print(export(options.model, options.beam))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
