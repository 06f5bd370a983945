"""Every task: a model that starts from another one computes what that one computes, on the words that both know."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest

from shared.fine_tuning import extended
from shared.loaded import Loaded
from shared.vocabulary import SPECIALS, SubwordVocabulary, WordVocabulary

pytestmark = pytest.mark.any_backend

WORDS = WordVocabulary([*SPECIALS, "a", "dog", "house"])
MORE = extended(WORDS, ["doghouse cat"], min_count=1)
IDS = np.array([[4, 5, 6, 3, 2]], np.int32)
SOUND = {"samples": np.sin(np.arange(4000, dtype=np.float32) / 9)[None], "lengths": np.array([4000], np.int32)}


def language_model(**fields: Any) -> tuple[Any, ...]:
    from tasks.language_model import model
    from tasks.language_model.config import PRESETS

    config = replace(PRESETS["python_manual"], units=5, embedding_units=6, num_layers=2, **fields)

    def logits(network: Any) -> Any:
        if config.reads == "both ways":
            return network({"token_ids": IDS, "blank_indices": np.array([[1, 3]], np.int32)})
        return network(IDS, network.initial_state(1))[0]

    return config, WORDS, MORE, model, logits


def subword_model() -> tuple[Any, ...]:
    config, _, _, model, logits = language_model()
    subwords = SubwordVocabulary.characters(["a dog"])
    return config, subwords, extended(subwords, ["a cat"], min_count=1), model, logits


def translator(**fields: Any) -> tuple[Any, ...]:
    from tasks.translator import model
    from tasks.translator.config import PRESETS

    config = replace(PRESETS["scenes"], units=5, embedding_units=6, **fields)
    inputs = {"source_ids": IDS, "target_ids": IDS[:, :3]}
    other = extended(WORDS, ["fish"], min_count=1)
    after = model.Vocabularies(MORE, MORE if config.joint_vocabulary else other)
    return config, model.Vocabularies(WORDS, WORDS), after, model, lambda network: network(inputs)


def captioner(**fields: Any) -> tuple[Any, ...]:
    from tasks.captioner import model
    from tasks.captioner.config import PRESETS
    from tasks.captioner.encoder import grid_shape

    config = replace(PRESETS["scenes"], units=5, image_size=16, **fields)
    grid = np.random.default_rng(0).random((1, *grid_shape(config))).astype(np.float32)
    return config, WORDS, MORE, model, lambda network: network({"grid": grid, "token_ids": IDS[:, None]})


def phoneme_recognizer() -> tuple[Any, ...]:
    from shared.phones import PhoneVocabulary
    from tasks.phoneme_recognizer import model
    from tasks.phoneme_recognizer.config import PRESETS

    config = replace(PRESETS["spoken_scenes"], mels=16, front_channels=3, units=5, num_layers=1)
    phones = PhoneVocabulary(config.classes)
    return config, phones, phones, model, lambda network: network(SOUND)["ctc_logits"]


CASES: dict[str, Callable[[], tuple[Any, ...]]] = {
    "language model": language_model,
    "untied": lambda: language_model(tied=False, cell="gru"),
    "mogrifier": lambda: language_model(cell="mogrifier_lstm"),
    "blanks": lambda: language_model(reads="both ways"),
    "subwords": subword_model,
    "translator": translator,
    "joint": lambda: translator(joint_vocabulary=True),
    "between": lambda: translator(decoder="between", tied=False),
    "fixed": lambda: translator(decoder="fixed", alignment_weight=0.0),
    "captioner": captioner,
    "one LSTM": lambda: captioner(language_lstm=False, sum_pooling=False),
    "phoneme recognizer": phoneme_recognizer,
}


@pytest.mark.parametrize("case", CASES)
def test_known_words_keep_their_logits(case):
    config, before, after, module, logits = CASES[case]()
    keras.utils.set_random_seed(1)
    first, model = module.build_model(config, before), module.build_model(config, after)
    for weight in first.weights:  # biases begin with zeros, as do those of any model
        weight.assign(weight + keras.random.normal(weight.shape, stddev=0.1) ** 2)
    module.start_from(Loaded(config, before, first), model, after)
    expected, found = (np.asarray(keras.ops.convert_to_numpy(logits(network))) for network in (first, model))
    np.testing.assert_allclose(found[..., : expected.shape[-1]], expected, rtol=0, atol=1e-6)
    assert np.isfinite(found).all()
    target = getattr(after, "target", after)
    assert found.shape[-1] == len(target)
    assert np.ptp(expected) > 0.01
