"""Writes a trained translator as a SavedModel, text in and text out.

    python -m tasks.translator.export [RUN] [--beam 5]
    python -m tasks.translator.export --from en --to fr     # the released model of the direction
    python -m tasks.translator.export [RUN] --format onnx

With --format onnx, `translate.onnx` takes tokens of sentences and `score.onnx` those of pairs, as indices of the
vocabularies, int32 (batch, time), each sentence with its end token. Endpoints of the SavedModel, all for any batch
size:

    serving_default  text (batch,) string
                     -> text, log_prob and error, as of translate
    translate        text (batch,) string
                     -> text (batch, beam) string            translations, best first
                        log_prob (batch, beam) float32       log-probability in nats, end token included
                        score (batch, beam) float32          sort key
                        tokens (batch, beam, target) string  "" after the end
                        attention (batch, beam, target, source) float32, over the tokens of the sentence and its end
                        error (batch,) string                "", or why there is no translation
    score            source (batch,) string, target (batch,) string
                     -> log_prob (batch,) float32            log-probability in nats, `</s>` included
                        token_log_probs (batch, target)      0 after the end
                        tokens (batch, target) string        "" after the end
                        error (batch,) string

A text is translated as one sentence, as it is written, like with `--as-is` on the command line; Unicode is normalised.
If a sentence has fewer translations than the beam width, the others have text "", log_prob and score -1e9. As on the
command line, a sentence of more than twice the length of training is not translated. A text with invalid UTF-8 is
processed with U+FFFD in its stead, and its `error` says so.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared import commands
from shared.cli import command
from shared.onnx import ExportFormat
from tasks.translator.config import find_run
from tasks.translator.options import DirectedExportOptions

if TYPE_CHECKING:
    from shared.export import Endpoint
    from shared.text_in_graph import Composition, TextTable
    from tasks.translator.inference import PairScorer, Translator

TOLERANCE = 1e-3  # of log-probabilities; two graphs may add in different order
EXAMPLES = (
    "a small red circle .", "", "ein Hund\tläuft , und\u732b!", "of the", "\U0001f600", "le chat noir",
    "Two men are playing football .", "eine Frau mit einem Hut steht vor einem Haus",
    "ein scho\u0308ner Mu\u0308ller &amp; Co.", "le\u00a0chat est\u00adil noir\u202f?",
)  # fmt: skip


def export(model: str | None = None, beam: int | None = None, format: ExportFormat = "savedmodel") -> Path:
    """Exports a run or folder; returns the folder that was written.

    Raises RunError if the run is missing or damaged, ParityError if what is exported and the Python model differ.
    """
    run = find_run(model)
    from shared.export import write_saved_model
    from shared.text_in_graph import Composition, text_table
    from tasks.translator.inference import PairScorer, Translator

    translator = Translator.load(str(run.path), beam=beam, as_is=True)
    scorer = PairScorer(translator.loaded[0])
    if format == "onnx":
        from shared.onnx.files import write_onnx

        return write_onnx(run, {"translate": translator.search, "score": scorer.scoring})
    tables, composition = [text_table(vocabulary) for vocabulary in translator.vocabulary], Composition()
    resources = [resource for part in (*tables, composition) for resource in part.resources]
    functions, check = endpoints(translator, scorer, tables, composition), parity_check(translator, scorer)
    return write_saved_model(run, translator.search, functions, check, resources)


def endpoints(
    translator: "Translator", scorer: "PairScorer", tables: "list[TextTable]", composition: "Composition"
) -> "dict[str, Endpoint]":
    """The functions of the SavedModel, with their inputs; the tables are those of source and target."""
    import tensorflow as tf

    from shared.export import MISSING, Endpoint, first_error, message
    from shared.text import SPACE
    from shared.text_in_graph import as_utf8, keep_rows, without_entities
    from tasks.translator.text import INVISIBLE, SPACES

    source_table, target_table = tables
    vocabulary = translator.vocabulary.target
    names = tf.constant(["", *vocabulary.table[1:]])
    max_length = translator.config.max_length

    def clean(text):
        text = tf.strings.regex_replace(without_entities(text), SPACES, " ")
        text = composition(tf.strings.regex_replace(text, INVISIBLE, ""))
        return tf.strings.regex_replace(tf.strings.regex_replace(text, SPACE, " "), "^ | $", "")

    def with_end(table, tokens, ids):
        """Ragged tokens and ids with their end token, right-padded, `(batch, time)` each."""
        end = tf.fill([ids.nrows(), 1], table.vocabulary.end_id)
        end_tokens = tf.gather(table.vocabulary.table, end)
        return tf.concat([tokens, end_tokens], axis=1).to_tensor(""), tf.concat([ids, end], axis=1).to_tensor()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)  # once for two endpoints
    def translate(text):
        text, notice = as_utf8(text)
        text = clean(text)
        tokens, ids = source_table.split(text)
        count = ids.row_lengths()
        too_long = message("has ", count, f" tokens, more than twice the {max_length} of training; split it")
        is_accepted = count <= 2 * max_length
        tokens, ids = keep_rows(tokens, is_accepted), keep_rows(ids, is_accepted)
        source_tokens, source_ids = with_end(source_table, tokens, ids)
        result = translator.search({"source_ids": source_ids})
        copied, token_ids = result["copied"], result["token_ids"]
        copies = tf.where(copied >= 0, tf.gather(source_tokens, tf.maximum(copied, 0), batch_dims=1), "")
        tokens = tf.where(copies == "", tf.gather(names, token_ids), copies)
        tokens = tf.where(tokens == names[vocabulary.end_id], "", tokens)
        is_empty = tf.equal(text, "")[:, None]  # its one translation is ""
        of_empty = tf.where(tf.range(tf.shape(copied)[1]) == 0, 0.0, MISSING)
        return {
            "text": tf.where(is_empty, "", without_entities(target_table.decode(token_ids, instead=copies))),
            "log_prob": tf.where(is_empty, of_empty, result["log_probs"]),
            "score": tf.where(is_empty, of_empty, result["scores"]),
            "tokens": tf.where(tf.expand_dims(is_empty, -1), "", tokens),
            "attention": result["extras"],
            "error": tf.where(is_accepted, "", too_long),
            "notice": notice,
        }

    def slim(text):
        translations = translate(text)
        return {name: translations[name] for name in ("text", "log_prob", "error", "notice")}

    def score(source, target):
        (source, of_source), (target, of_target) = as_utf8(source), as_utf8(target)
        _, source_ids = with_end(source_table, *source_table.split(clean(source)))
        tokens, target_ids = with_end(target_table, *target_table.split(clean(target)))
        log_probs, _ = scorer.scoring({"source_ids": source_ids, "target_ids": target_ids})
        return {
            "log_prob": tf.reduce_sum(log_probs, axis=-1),
            "token_log_probs": log_probs,
            "tokens": tokens,
            "notice": first_error(
                (of_source != "", message("source ", of_source)), (of_target != "", message("target ", of_target))
            ),
        }

    def endpoint(function, *inputs):
        signature = {name: tf.TensorSpec([None], tf.string, name) for name in inputs}
        return Endpoint(function=function, signature=signature, example=dict.fromkeys(inputs, EXAMPLES[:1]))

    return {
        "serving_default": endpoint(slim, "text"),
        "translate": endpoint(translate, "text"),
        "score": endpoint(score, "source", "target"),
    }


def parity_check(translator: "Translator", scorer: "PairScorer") -> Callable[[Any], None]:
    """A function that raises ParityError unless a SavedModel gives the outputs of the Python model."""
    import tensorflow as tf

    from shared.export import ParityError

    examples = translator.accepted(EXAMPLES)
    expected = translator(examples)
    targets = [translations[0].text for translations in expected]
    scores = scorer(list(zip(examples, targets, strict=True)))

    def check(loaded) -> None:
        outputs = loaded.translate(tf.constant(examples))
        if errors := [error.decode() for error in outputs["error"].numpy() if error]:
            raise ParityError(f"nothing was exported: the SavedModel refuses an example: {errors[0]}")
        for i, translations in enumerate(expected):
            for j, best in enumerate(translations):
                text, log_prob = outputs["text"][i, j].numpy().decode(), outputs["log_prob"][i, j].numpy()
                if text != best.text or abs(log_prob - best.log_prob) > TOLERANCE:
                    exported, model = f"{text!r} ({log_prob:.4f})", f"{best.text!r} ({best.log_prob:.4f})"
                    given = f"{examples[i]!r} is {exported} for the SavedModel, {model} for the model"
                    raise ParityError(f"nothing was exported: {given}")
        outputs = loaded.score(tf.constant(examples), tf.constant(targets))
        for log_probs, tokens, score in zip(outputs["token_log_probs"], outputs["tokens"], scores, strict=True):
            count = len(score.tokens)
            off = abs(log_probs[:count].numpy() - score.log_probs).max()
            if [token.decode() for token in tokens[:count].numpy()] != score.tokens or off > TOLERANCE:
                raise ParityError(f"nothing was exported: the scores of {score.target!r} differ by {off:.2g}")

    return check


@command
def main(arguments: list[str]) -> None:
    def model(options: DirectedExportOptions) -> str:
        return str(options.find_run(options.model).path)

    commands.export(arguments, "tasks.translator.export", __doc__, export, DirectedExportOptions, model)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
