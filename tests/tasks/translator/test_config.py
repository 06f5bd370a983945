"""The configuration: presets, refused values, former names of fields."""

from dataclasses import replace
from pathlib import Path

import pytest

from shared.errors import UserError
from shared.runs import Run
from tasks.translator.config import MULTI30K, PRESETS, SCENES, Config


def test_presets_have_the_languages_of_their_names():
    for source, target in (("en", "de"), ("de", "en"), ("en", "fr")):
        preset = PRESETS[f"multi30k-{source}-{target}"]
        assert (preset.source, preset.target) == (source, target)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"source": "de"}, "source and target are both de"),
        ({"decoder": "fixed"}, r"alignment_weight 0.5: the decoder fixed has no attention; 0 was expected"),
        ({"source_file": "a.en", "target_file": "a.de"}, "--corpus files and its files were expected together"),
        ({"dev_pairs_file": "a.tsv"}, "--corpus files and its files were expected together"),
        ({"corpus": "files", "source_file": "a.en"}, "--source-file and --target-file were expected together, or"),
        (
            {"corpus": "files", "pairs_file": "a", "dev_target_file": "a"},
            "--dev-source-file and --dev-target-file were",
        ),
        ({"corpus": "files"}, "--corpus files and its files were expected together"),
        ({"beam": 0}, "beam 0: a number from 1 to 100 was expected"),
        ({"vocabulary": "subwords", "vocabulary_size": 200}, "above 260 was expected"),
        ({"vocabulary_size": 100_000, "embedding_units": 10_000}, "1,000,000,000 parameters of the embedding; at most"),
        ({"subword_dropout": 0.1}, r"subword_dropout 0.1: the tokens are words; 0 was expected"),
        ({"synthetic_pairs": 1.5}, "synthetic_pairs 1.5: a number from 0 to 1 was expected"),
        (
            {"synthetic_pairs": 0.1, "target": "es"},
            "synthetic_pairs 0.1: there are none of en and es, only of",
        ),
        ({"label_smoothing": 1.0}, "label_smoothing 1.0: a number from 0 to below 1 was expected"),
    ],
)
def test_wrong_values_are_refused(fields, message):
    with pytest.raises(UserError, match=message):
        replace(SCENES, **fields)


def test_released_runs_load_with_the_former_names_of_fields():
    path = Path(__file__).parents[3] / "saved_models/translator/multi30k-de-en"
    assert "guidance" in Run(path).config["config"]
    assert Run(path).read_config(Config) == replace(MULTI30K, source="de", target="en")
