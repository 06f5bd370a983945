"""The signatures of a run's SavedModel, live: the same functions as `export.py` writes, traced in this process.

No export is needed, and a request has the answer that the exported SavedModel would give.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from shared.export import Endpoint as Exported
from shared.export import for_any_batch
from shared.runs import Run
from tasks.serve.tensor_json import TensorError

ASSERTION = re.compile(r"assertion failed: \[([^\]]*)\]")  # in the message of an error of a graph


class Signature:
    """One function of a SavedModel; it is traced when it is needed first.

    Attributes:
        inputs: name, type and shape of each.
    """

    def __init__(self, exported: Exported):
        self.inputs: Mapping[str, tf.TensorSpec] = exported.signature
        self._exported, self._traced = exported, None

    @property
    def traced(self) -> Any:
        """The concrete function."""
        if self._traced is None:
            specs = list(self.inputs.values())
            self._traced = tf.function(for_any_batch(self._exported), specs, autograph=False).get_concrete_function()
        return self._traced

    @property
    def outputs(self) -> dict[str, tf.TensorSpec]:
        """Name, type and shape of each output."""
        found = self.traced.structured_outputs
        return {name: tf.TensorSpec(found[name].shape, found[name].dtype, name) for name in sorted(found)}

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs for inputs of the types and shapes of `self.inputs`; raises TensorError for what it refuses."""
        tensors = [tf.constant(inputs[name], spec.dtype) for name, spec in self.inputs.items()]
        try:
            return {name: tensor.numpy() for name, tensor in self.traced(*tensors).items()}
        except tf.errors.OpError as error:
            failed = ASSERTION.search(error.message)
            raise TensorError(failed[1] if failed else "the signature cannot process these inputs") from None


def of_captioner(run: Run) -> dict[str, Exported]:
    """Those of a captioner, and of its finder if it has one."""
    from tasks.captioner.caption import finder_of
    from tasks.captioner.config import has_finder
    from tasks.captioner.export import endpoints
    from tasks.captioner.finder_export import EmbeddingEndpoints
    from tasks.captioner.inference import ImageCaptioner

    captioner = ImageCaptioner.load(str(run.path))
    found = endpoints(captioner, b"", np.zeros((1, 1, 3), np.uint8))
    if has_finder(run):
        found |= EmbeddingEndpoints(finder_of(captioner, run, for_regions=False)).endpoints(b"")
    return found


def of_translator(run: Run) -> dict[str, Exported]:
    """Those of a translator."""
    from shared.text_in_graph import Composition, text_table
    from tasks.translator.export import endpoints
    from tasks.translator.inference import PairScorer, Translator

    translator = Translator.load(str(run.path), as_is=True)
    tables = [text_table(vocabulary) for vocabulary in translator.vocabulary]
    return endpoints(translator, PairScorer(translator.loaded[0]), tables, Composition())


def of_phoneme_recognizer(run: Run) -> dict[str, Exported]:
    """Those of a phoneme recognizer."""
    from tasks.phoneme_recognizer.export import endpoints
    from tasks.phoneme_recognizer.inference import SoundRecognizer

    return endpoints(SoundRecognizer.load(str(run.path)), np.zeros(1, np.float32))


def of_language_model(run: Run) -> dict[str, Exported]:
    """Those of a causal model or of a classifier; none of a model that fills blanks, which is not exported."""
    from shared.text_in_graph import text_table
    from shared.vocabulary import WordVocabulary
    from tasks.language_model import classifier_export, export
    from tasks.language_model.classifier import load_classifier
    from tasks.language_model.config import Config
    from tasks.language_model.model import load_model

    reads = run.read_config(Config).reads
    if reads == "both ways":
        return {}
    loaded: Any = load_model(run) if reads == "forwards" else load_classifier(run)
    table = text_table(loaded.vocabulary)
    if reads == "forwards":
        return export.endpoints(loaded, table)
    words = classifier_export.WordsInGraph() if isinstance(loaded.vocabulary, WordVocabulary) else None
    return classifier_export.endpoints(loaded, table, words)


OF_TASK = {
    "captioner": of_captioner, "translator": of_translator, "phoneme_recognizer": of_phoneme_recognizer,
    "language_model": of_language_model,
}  # fmt: skip


def load_signatures(task: str, run: Run) -> dict[str, Signature]:
    """The signatures of a run; raises RunError if its files do not fit together."""
    return {name: Signature(exported) for name, exported in OF_TASK[task](run).items()}
