"""Untrained models of all four tasks and their SavedModels, made in seconds: their answers are odd but fixed."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from shared.export import Endpoint, write_saved_model
from shared.loaded import Loaded
from shared.phones import PhoneVocabulary
from shared.runs import Run
from shared.text_in_graph import Composition, text_table
from shared.vocabulary import WordVocabulary

SENTENCE = "a red green blue small large circle square above below left of the . ein roter kreis"


def enlarge(model: keras.Model) -> None:
    """Gives a model weights so large that different inputs have different answers."""
    for number, weight in enumerate(model.weights):
        if weight.dtype == "float32" and len(weight.shape) > 1:
            weight.assign(np.random.default_rng(number).normal(0, 0.7, weight.shape))


class Exported(NamedTuple):
    whole: Any  # the class of `inference.py`
    model: keras.Model
    endpoints: dict[str, Endpoint]
    resources: Sequence[Any] = ()


def captioner() -> Exported:
    from tasks.captioner.encoder import build_encoder
    from tasks.captioner.export import endpoints, example_files
    from tasks.captioner.inference import ImageCaptioner
    from tasks.captioner.model import build_model
    from tests.tasks.captioner.conftest import CONFIG, picture

    config, vocabulary = replace(CONFIG, beam=2, max_length=6), WordVocabulary.build([SENTENCE])
    model, encoder = build_model(config, vocabulary), build_encoder(config)
    enlarge(model)
    whole = ImageCaptioner(Loaded(config, vocabulary, model), encoder)
    return Exported(whole, whole.search, endpoints(whole, example_files()[0], picture()))


def translator() -> Exported:
    from tasks.translator.config import SCENES
    from tasks.translator.export import endpoints
    from tasks.translator.inference import PairScorer, Translator
    from tasks.translator.model import build_model
    from tasks.translator.vocabularies import Vocabularies

    config = replace(SCENES, units=12, embedding_units=8, max_length=9, beam=2)
    vocabularies = Vocabularies(WordVocabulary.build([SENTENCE]), WordVocabulary.build([SENTENCE[::-1]]))
    model = build_model(config, vocabularies)
    enlarge(model)
    loaded = Loaded(config, vocabularies, model)
    tables = [text_table(vocabulary) for vocabulary in vocabularies]
    whole, composition = Translator(loaded, as_is=True), Composition()
    resources = [resource for part in (*tables, composition) for resource in part.resources]
    return Exported(whole, whole.search, endpoints(whole, PairScorer(loaded), tables, composition), resources)


def language_model() -> Exported:
    from tasks.language_model.export import endpoints
    from tasks.language_model.inference import TextScorer
    from tasks.language_model.model import build_model
    from tests.tasks.language_model.conftest import CONFIG

    vocabulary = WordVocabulary.build([SENTENCE])
    model = build_model(CONFIG, vocabulary)
    enlarge(model)
    loaded, table = Loaded(CONFIG, vocabulary, model), text_table(vocabulary)
    return Exported(TextScorer(loaded), model, endpoints(loaded, table), table.resources)


def phoneme_recognizer() -> Exported:
    from tasks.phoneme_recognizer.export import endpoints, example_sounds
    from tasks.phoneme_recognizer.inference import SoundRecognizer
    from tasks.phoneme_recognizer.model import build_model
    from tests.tasks.phoneme_recognizer.conftest import CONFIG

    vocabulary = PhoneVocabulary(CONFIG.classes)
    model = build_model(CONFIG, vocabulary)
    enlarge(model)
    whole = SoundRecognizer(Loaded(CONFIG, vocabulary, model))
    return Exported(whole, whole.decoder, endpoints(whole, example_sounds()[0]))


MAKE = {function.__name__: function for function in (captioner, translator, language_model, phoneme_recognizer)}


def export(task: str, folder: Path) -> tuple[Any, Path]:
    """Writes the SavedModel of a task; returns the Python model, as the task's commands call it, and its folder."""
    whole, model, endpoints, resources = MAKE[task]()
    return whole, write_saved_model(Run(folder / task), model, endpoints, lambda loaded: None, resources)
