"""Exports a trained causal model, or a classifier (`classifier_export.py`), as a SavedModel for text.

    python -m tasks.language_model.export [RUN]
    python -m tasks.language_model.export [RUN] --format onnx

With --format onnx, `score.onnx`, `read.onnx` and `sample.onnx` of a causal model take tokens as indices of the
vocabulary, and states; `fill.onnx` is that of one which reads both ways, `classify.onnx` that of a classifier, which
reads long texts in parts. Endpoints of a causal model in a SavedModel, all for any batch size:

    serving_default  text (batch,) string
                     -> log_prob and error, as of score
    score            text (batch,) string
                     -> log_prob (batch,) float32        natural log-probability, `</s>` included
                        token_log_probs (batch, time)    0 after the end of a text
                        tokens (batch, time) string      "" after the end of a text
                        error (batch,) string            "", or what is wrong with the text
    generate         prompt (batch,) string, max_tokens int32, temperature float32, top_k int32, top_p float32,
                     seed int32
                     -> text (batch,) string             the continuation, up to the end of the line;
                                                         top_k 0 and top_p 1 have no effect
                        error (batch,) string            "", or which value is out of its range, as on the command line
    step             token_ids (batch,) int32, state_0, state_1, ... (batch, units) float32
                     -> log_probs (batch, vocab), state_0, state_1, ...
                        error (batch,) string            "", or that the id or a state cannot be read

Text goes in and comes out as the tokens of the model's corpus, separated by spaces: `on the mat .` for WikiText. This
is what `--form tokens` of `score` and `generate` means; `tokenisation.py` turns ordinary text into it and back. A model
of one's own text, and one with subwords or characters, takes any text as it is.

The first inputs of `step` are zero states and the id of `</s>`, 2. A text with invalid UTF-8 is processed with U+FFFD
in its stead, and its `error` says so.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared import commands
from shared.bounds import Bounds, bounds_of
from shared.cli import command
from shared.errors import UserError
from shared.onnx import ExportFormat
from shared.runs import Run
from tasks.language_model.config import Config, Reads, find_run

if TYPE_CHECKING:
    from shared.export import Endpoint
    from shared.loaded import Loaded
    from shared.text_in_graph import TextTable

TOLERANCE = 1e-3  # of log-probabilities; two graphs may add in different order
EXAMPLES = (
    "the cat sat on the mat .", "", "The   zyzzyva, and \u732b!", "of the", " <unk> @-@ 1,234 %", "ein Hund läuft .",
    "The meaning of a word is its use in the language .", "x " * 40,
)  # fmt: skip
PART = 1024  # tokens whose logits are in memory at a time: 140 MB with 33,000 words
MAX_TOKENS = Bounds(0, 100_000)  # of a row
SEED = Bounds(0, 2**31 - 1)  # of int32


def export(model: str | None = None, beam: int | None = None, format: ExportFormat = "savedmodel") -> Path:
    """Exports a run or folder; returns the folder that was written.

    Raises:
        UserError: a beam is given.
        RunError: there is no such run, or its files do not fit together.
        ParityError: what is exported and the Python model differ.
    """
    if beam is not None:
        raise UserError(f"--beam {beam}: no beam was expected, because a language model samples and does not search")
    run = find_run(model, reads=None) if model is not None else find_run()
    reads = run.read_config(Config).reads
    if format == "onnx":
        return _export_onnx(run, reads)
    if reads == "for a label":
        from tasks.language_model.classifier_export import export_classifier

        return export_classifier(run)
    run = find_run(model)
    from shared.export import write_saved_model
    from shared.text_in_graph import text_table
    from tasks.language_model.model import load_model

    loaded = load_model(run)
    table = text_table(loaded.vocabulary)
    return write_saved_model(run, loaded.model, endpoints(loaded, table), parity_check(loaded), table.resources)


def _export_onnx(run: Run, reads: Reads) -> Path:
    """Writes what reads and continues texts, what fills blanks, or what finds labels."""
    from shared.onnx.files import write_onnx

    if reads == "for a label":
        from tasks.language_model.classification import TextClassifier

        return write_onnx(run, {"classify": TextClassifier.load(str(run.path)).reader})
    from tasks.language_model.model import BlankPredictor, PromptReader, TextReader, TokenSampler, load_model

    _, vocabulary, model = load_model(run)
    if reads == "both ways":
        return write_onnx(run, {"fill": BlankPredictor(model)})
    never = [vocabulary.pad_id, vocabulary.start_id, vocabulary.unknown_id]
    sampler = TokenSampler(model, never)
    return write_onnx(run, {"score": TextReader(model), "read": PromptReader(model), "sample": sampler})


def endpoints(loaded: "Loaded", table: "TextTable") -> "dict[str, Endpoint]":
    """The functions of the SavedModel, with their inputs."""
    import tensorflow as tf

    from shared.decoding import SearchSpace, sample
    from shared.export import Endpoint, first_error, message
    from shared.text_in_graph import as_line, keep_rows
    from tasks.language_model.inference import Sampling

    _, vocabulary, model = loaded
    end_id, names = vocabulary.end_id, state_names(model)
    ranges = {"max_tokens": MAX_TOKENS, "seed": SEED} | bounds_of(Sampling)

    def target_log_probs(inputs, targets):
        """log p of each target `(batch, time)`, computed in parts of bounded size."""
        batch, time = tf.unstack(tf.shape(targets))
        steps = tf.maximum(PART // batch, 1)
        results = tf.TensorArray(tf.float32, 0, dynamic_size=True, infer_shape=False, element_shape=[None, None])

        def read(first, states, results):
            part = slice(first, first + steps)
            logits, states = model(inputs[:, part], states)
            nats = tf.nn.sparse_softmax_cross_entropy_with_logits(targets[:, part], tf.cast(logits, tf.float32))
            return first + steps, states, results.write(results.size(), -tf.transpose(nats))

        state = 0, model.initial_state(batch), results
        *_, results = tf.while_loop(lambda first, *_: first < time, read, state)
        return tf.transpose(results.concat())

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)  # once for two endpoints
    def scores(text):
        text, notice = as_line(text)
        tokens, ids = table.split(text)
        end = tf.fill([tf.shape(text)[0], 1], end_id)
        ids = tf.concat([ids, end], axis=1)
        targets = ids.to_tensor()
        inputs = tf.concat([end, targets[:, :-1]], axis=1)
        log_probs = target_log_probs(inputs, targets)
        log_probs = tf.where(tf.sequence_mask(ids.row_lengths(), tf.shape(targets)[1]), log_probs, 0.0)
        tokens = tf.concat([tokens, tf.fill([tf.shape(text)[0], 1], vocabulary.table[end_id])], axis=1)
        return {
            "log_prob": tf.reduce_sum(log_probs, axis=-1),
            "token_log_probs": log_probs,
            "tokens": tokens.to_tensor(""),
            "notice": notice,
        }

    def score(text):
        return scores(text)

    def slim(text):
        outputs = scores(text)
        return {name: outputs[name] for name in ("log_prob", "notice")}

    def next_log_probs(token_ids, states):
        logits, states = model(token_ids[:, None], states)
        return tf.nn.log_softmax(tf.cast(logits[:, 0], tf.float32)), states

    def refusal(name, value):
        """Whether the value of an option is out of its range, and the error."""
        limits = ranges[name]
        # TensorFlow would turn "not at most" into "above", which is false for NaN.
        is_outside = (value <= limits.minimum if limits.above else value < limits.minimum) | (value > limits.maximum)
        if value.dtype.is_floating:
            is_outside |= tf.math.is_nan(value)
        return is_outside, message(f"{name} ", value, f": {limits} was expected")

    def generate(prompt, max_tokens, temperature, top_k, top_p, seed):
        options = {"max_tokens": max_tokens, "temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
        error = first_error(*(refusal(name, value) for name, value in options.items()))
        is_fine = error == ""
        count = tf.where(is_fine, max_tokens, 0)
        temperature = tf.where(is_fine, temperature, 1.0)
        batch = tf.shape(prompt)[0]
        prompt, notice = as_line(prompt)
        _, ids = table.split(prompt)
        ids = keep_rows(ids, prompt != "")  # subword vocabularies encode an empty prompt as a space
        ids = tf.concat([tf.fill([batch, 1], end_id), ids], axis=1)
        lengths = tf.cast(ids.row_lengths(), tf.int32)
        padded = ids.to_tensor()
        # The state is computed from all but the last token, which is the first input of the search.
        mask = tf.sequence_mask(lengths - 1, tf.shape(padded)[1])
        _, _, states = model.outputs(padded, model.initial_state(batch), mask=mask)
        last = tf.gather(padded, lengths - 1, batch_dims=1)

        def step(token_ids, state):
            states, is_first = state
            token_ids = tf.where(is_first, last[:, None], token_ids)
            log_probs, states = next_log_probs(token_ids[:, 0], [x[:, 0] for x in states])
            return log_probs[:, None], ([x[:, None] for x in states], tf.zeros_like(is_first)), ()

        state, forbidden = (states, tf.ones([batch], tf.bool)), (vocabulary.start_id, vocabulary.unknown_id)
        special_ids = end_id, end_id, vocabulary.pad_id
        result = sample(
            SearchSpace(step, state, batch, *special_ids, tf.maximum(count, 1), (vocabulary.pad_id, *forbidden)),
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=lambda shape: tf.random.stateless_uniform(shape, tf.stack([seed, 0])),
        )
        token_ids = result.token_ids[:, 0, :count]
        return {"text": table.decode(token_ids, begun=lengths > 1), "error": error, "notice": notice}

    def step(token_ids, *states):
        size = len(vocabulary)
        is_finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(state), axis=1) for state in states], axis=0)
        error = first_error(
            ((token_ids < 0) | (token_ids >= size), message("token id ", token_ids, f": 0 to {size - 1} was expected")),
            (~is_finite, "a state is not finite; the states of a step were expected"),
        )
        is_fine = error == ""
        states = [tf.where(is_fine[:, None], state, 0.0) for state in states]
        log_probs, states = next_log_probs(tf.where(is_fine, token_ids, end_id), states)
        return {"log_probs": log_probs, "error": error} | dict(zip(names, states, strict=True))

    def endpoint(function, /, **example):
        """Its inputs have the types of the example, and any batch size."""
        tensors = {name: tf.constant(value) for name, value in example.items()}
        signature = {
            name: tf.TensorSpec([None, *x.shape[1:]][: x.shape.rank], x.dtype, name) for name, x in tensors.items()
        }
        return Endpoint(function=function, signature=signature, example=example)

    zeros = {name: state.numpy() for name, state in zip(names, model.initial_state(1), strict=True)}
    options = {"max_tokens": 8, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "seed": 1}
    return {
        "serving_default": endpoint(slim, text=EXAMPLES[:1]),
        "score": endpoint(score, text=EXAMPLES[:1]),
        "generate": endpoint(generate, prompt=EXAMPLES[:1], **options),
        "step": endpoint(step, token_ids=[end_id], **zeros),
    }


def parity_check(loaded: "Loaded") -> Callable[[Any], None]:
    """A function that raises ParityError unless a SavedModel gives the outputs of the Python model."""
    from shared.export import ParityError
    from tasks.language_model.inference import Sampling, TextGenerator, TextScorer

    _, vocabulary, model = loaded
    scores, generator, names = (
        TextScorer(loaded, form="tokens")(EXAMPLES),
        TextGenerator(loaded, "tokens"),
        state_names(model),
    )

    def sum_of_steps(exported, text) -> float:
        outputs = dict(zip(names, model.initial_state(1), strict=True))
        log_prob, token_id = 0.0, vocabulary.end_id
        for target_id in [*vocabulary.encode(text), vocabulary.end_id]:
            outputs = exported.step([token_id], *(outputs[name] for name in names))
            log_prob += float(outputs["log_probs"][0, target_id])
            token_id = target_id
        return log_prob

    def check(exported) -> None:
        outputs = exported.score(list(EXAMPLES))
        if errors := [error.decode() for error in outputs["error"].numpy() if error]:
            raise ParityError(f"nothing was exported: the SavedModel refuses an example: {errors[0]}")
        for log_probs, tokens, score in zip(outputs["token_log_probs"], outputs["tokens"], scores, strict=True):
            count = len(score.tokens)
            off = abs(log_probs[:count].numpy() - score.log_probs).max()
            if [token.decode() for token in tokens[:count].numpy()] != score.tokens or off > TOLERANCE:
                raise ParityError(f"nothing was exported: the scores of {score.text!r} differ by {off:.2g}")
            off = abs(sum_of_steps(exported, score.text) - score.log_prob)
            if off > TOLERANCE * count:
                raise ParityError(f"nothing was exported: the sum of steps of {score.text!r} differs by {off:.2g}")
        texts = exported.generate(list(EXAMPLES), 8, 1.0, 1, 1.0, 7)["text"].numpy()  # greedy, as top_k is 1
        for text, prompt in zip(texts, EXAMPLES, strict=True):
            (expected,) = generator(prompt, max_tokens=8, sampling=Sampling(top_k=1), stop=["\n"])
            if text.decode() != expected.text:
                message = f"{prompt!r} is continued by {text.decode()!r}, not {expected.text!r}"
                raise ParityError(f"nothing was exported: {message}")

    return check


def state_names(model: Any) -> list[str]:
    """The names of the states in the signature of `step`."""
    return [f"state_{i}" for i in range(len(model.initial_state(1)))]


@command
def main(arguments: list[str]) -> None:
    commands.export(arguments, "tasks.language_model.export", __doc__, export)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
