"""SavedModels of untrained models of all four tasks, written in seconds: their answers are odd, but always the same."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from shared.export import Endpoint, write_saved_model
from shared.phones import PhoneVocabulary
from shared.runs import Run
from shared.text_in_graph import text_table
from shared.training import Loaded
from shared.vocabulary import WordVocabulary

SENTENCE = "a red green blue small large circle square above below left of the . ein roter kreis"


def enlarge(model: keras.Model) -> None:
    """Gives a model weights so large that different inputs have different answers."""
    for number, weight in enumerate(model.weights):
        if weight.dtype == "float32" and len(weight.shape) > 1:
            weight.assign(np.random.default_rng(number).normal(0, 0.7, weight.shape))


def captioner(run: Run) -> tuple[keras.Model, dict[str, Endpoint], list[Any]]:
    from tasks.captioner.encoder import build_encoder
    from tasks.captioner.export import endpoints, example_files
    from tasks.captioner.inference import ImageCaptioner
    from tasks.captioner.model import build_model
    from tests.tasks.captioner.conftest import CONFIG, picture

    config, vocabulary = replace(CONFIG, beam=2, max_length=6), WordVocabulary.build([SENTENCE])
    model, encoder = build_model(config, vocabulary), build_encoder(config)
    enlarge(model)
    whole = ImageCaptioner(Loaded(config, vocabulary, model), encoder)
    return whole.search, endpoints(whole, example_files()[0], picture()), []


def translator(run: Run) -> tuple[keras.Model, dict[str, Endpoint], list[Any]]:
    from tasks.translator.config import SCENES
    from tasks.translator.export import endpoints
    from tasks.translator.inference import PairScorer, Translator
    from tasks.translator.model import Vocabularies, build_model

    config = replace(SCENES, units=12, embedding_units=8, max_length=9, beam=2)
    vocabularies = Vocabularies(WordVocabulary.build([SENTENCE]), WordVocabulary.build([SENTENCE[::-1]]))
    model = build_model(config, vocabularies)
    enlarge(model)
    loaded = Loaded(config, vocabularies, model)
    tables = [text_table(vocabulary) for vocabulary in vocabularies]
    whole = Translator(loaded)
    resources = [resource for table in tables for resource in table.resources]
    return whole.search, endpoints(whole, PairScorer(loaded), tables), resources


def language_model(run: Run) -> tuple[keras.Model, dict[str, Endpoint], list[Any]]:
    from tasks.language_model.export import endpoints
    from tasks.language_model.model import build_model
    from tests.tasks.language_model.conftest import CONFIG

    vocabulary = WordVocabulary.build([SENTENCE])
    model = build_model(CONFIG, vocabulary)
    enlarge(model)
    table = text_table(vocabulary)
    return model, endpoints(Loaded(CONFIG, vocabulary, model), table), table.resources


def phoneme_recognizer(run: Run) -> tuple[keras.Model, dict[str, Endpoint], list[Any]]:
    from tasks.phoneme_recognizer.export import endpoints, example_sounds
    from tasks.phoneme_recognizer.inference import SoundRecognizer
    from tasks.phoneme_recognizer.model import build_model
    from tests.tasks.phoneme_recognizer.conftest import CONFIG

    vocabulary = PhoneVocabulary(CONFIG.classes)
    model = build_model(CONFIG, vocabulary)
    enlarge(model)
    whole = SoundRecognizer(Loaded(CONFIG, vocabulary, model))
    return whole.decoder, endpoints(whole, example_sounds()[0]), []


TASKS: dict[str, Callable[..., Any]] = {
    function.__name__: function for function in (captioner, translator, language_model, phoneme_recognizer)
}


def write_export(task: str, folder: Path) -> Path:
    """Writes the SavedModel of a task and returns its folder."""
    run = Run(folder / task)
    model, endpoints, resources = TASKS[task](run)
    return write_saved_model(run, model, endpoints, lambda loaded: None, resources)
