"""The language of a line, and the model that translates it."""

import json
from importlib import import_module
from pathlib import Path

import pytest

import shared.runs
from shared.errors import UserError
from tasks.translator.config import RELEASED, described_directions, find_run, released_runs
from tasks.translator.directions import LineTranslators, guessed_language
from tasks.translator.translate import Arguments, find_runs

ALL = ("de", "en", "fr")


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Three released runs and one of a user, without weights that could be loaded."""
    monkeypatch.setattr(shared.runs, "ROOT", tmp_path)
    for name, source, target in (
        ("multi30k-de-en", "de", "en"), ("multi30k-en-de", "en", "de"), ("everyday-en-de", "eng", "deu"),
        ("multi30k-en-fr", "en", "fr"), ("mine", "en", "it"),
    ):  # fmt: skip
        folder = tmp_path / "translator" / name
        folder.mkdir(parents=True)
        (folder / "weights.safetensors").touch()
        config = {"corpus": "multi30k", "source": source, "target": target}
        (folder / "config.json").write_text(json.dumps({"task": "translator", "config": config}))


def test_the_everyday_model_is_the_default_of_its_direction(runs):
    assert released_runs() == {
        ("de", "en"): "multi30k-de-en", ("en", "de"): "everyday-en-de", ("en", "fr"): "multi30k-en-fr"
    }  # fmt: skip
    assert find_run().name == "multi30k-de-en"
    assert find_run(None, "German", "eng").name == "multi30k-de-en"
    assert find_run(None, "en").name == find_run(None, None, "de").name == "everyday-en-de"
    assert find_run(None, "en", "fr").name == "multi30k-en-fr"
    assert find_run(None, "en", "it").name == "mine"
    assert find_run("multi30k-en-de", "en", "de").name == "multi30k-en-de"
    assert all(names[0] == f"everyday-{source}-{target}" for (source, target), names in RELEASED.items())


def test_directions_without_a_model_are_refused(runs):
    there = "there are models for German to English, English to German, English to French"
    assert described_directions() == there
    with pytest.raises(UserError, match=f"no model translates from Spanish to English; {there}"):
        find_run(None, "es", "en")
    with pytest.raises(UserError, match="no model translates to Dutch; there are"):
        find_runs(Arguments(target="nl"))
    with pytest.raises(UserError, match="mine translates from English to Italian; a model from German was expected"):
        find_run("mine", "de")


def test_the_runs_of_a_command(runs):
    def names(**options):
        return [run.name for run in find_runs(Arguments(**options))]

    assert names() == ["multi30k-de-en", "everyday-en-de", "multi30k-en-fr"]
    assert names(target="French") == ["multi30k-en-fr"]
    assert names(target="it") == ["mine"]
    assert names(source="de") == ["multi30k-de-en"]
    assert names(model=("mine", "mine")) == ["mine", "mine"]


@pytest.mark.parametrize("command", ["evaluate", "score", "export"])
def test_other_commands_choose_the_model_of_the_direction(runs, monkeypatch, command):
    module, found = import_module(f"tasks.translator.{command}"), []
    name, reads_run = {
        "evaluate": ("shared.commands.evaluate", lambda options, run, *_, **__: _stop(found, run.path)),
        "score": ("tasks.translator.inference.PairScorer.load", lambda path: _stop(found, path)),
        "export": ("tasks.translator.export.export", lambda path, *_: _stop(found, path)),
    }[command]
    monkeypatch.setattr(name, reads_run)
    arguments = ["one", "un"] if command == "score" else []
    assert module.main([*arguments, "--from", "en", "--to", "French"]) == 2
    assert [Path(path).name for path in found] == ["multi30k-en-fr"]
    assert module.main([*arguments, "--from", "es"]) == 2
    assert len(found) == 1


def _stop(found: list, path: Path | str) -> None:
    found.append(path)
    raise UserError("enough")


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("de", "Wie geht es Ihnen heute?"), ("de", "das wetter ist schlecht"), ("de", "GUTEN TAG"), ("de", "Was?"),
        ("en", "Where is the station?"), ("en", "see you later"), ("fr", "Où est la gare ?"), ("fr", "merci beaucoup"),
        ("es", "¿Dónde está la estación de tren?"), ("it", "Mi piace leggere i libri."), ("nl", "Ik weet het niet."),
        ("pl", "Gdzie jest dworzec?"), ("ru", "Где вокзал?"), ("ja", "駅はどこですか。"), ("zh", "车站在哪里。"),
    ],
)  # fmt: skip
def test_the_language_of_a_line(language, text):
    assert guessed_language(text, ALL) == language


@pytest.mark.parametrize("text", ["", "OK", "12345", ":-)", "\0", "x" * 10_000])
def test_an_unclear_line_has_the_first_language(text):
    assert [guessed_language(text, order) for order in (ALL, ("fr", "en"), ("en",))] == ["de", "fr", "en"]


class Stub:
    """A translator that writes its name before each line."""

    def __init__(self, name):
        self.name = name

    def refusal(self, line):
        return "is too long" if len(line) > 50 else None

    def __call__(self, lines):
        return [[f"{self.name}: {line}"] for line in lines]


def test_each_line_goes_to_the_model_of_its_language(runs):
    loaded = []

    def load(name):
        loaded.append(name)
        return Stub(name)

    translators = LineTranslators(load)
    lines = ["How are you today?", "Wie geht es dir?", "I do not know."]
    assert [translators.refusal(line) for line in lines] == [None, None, None]
    assert translators(lines) == [
        ["everyday-en-de: How are you today?"], ["multi30k-de-en: Wie geht es dir?"], ["everyday-en-de: I do not know."]
    ]  # fmt: skip
    assert loaded == ["everyday-en-de", "multi30k-de-en"]
    assert translators.refusal("Je ne sais pas où est la gare.") == (
        "seems to be French; there are models for German to English, English to German, English to French; "
        "--from names the language of all lines"
    )
    assert [translators.language(line) for line in (*lines, "Je ne sais pas.")] == ["en", "de", "en", "fr"]
    assert translators.refusal("This is a long line. " * 5) == "is too long"
    french = LineTranslators(load, "fr")
    assert french(["How are you today?"]) == [["multi30k-en-fr: How are you today?"]]
    assert "seems to be German" in (french.refusal("Wie geht es dir?") or "")
