"""The list of commands, `quatrain`'s way to find them, and the one pattern of all tasks."""

import dataclasses
import inspect
import json
from importlib import import_module
from pathlib import Path

import pytest

from shared.cli import EvaluationOptions
from shared.runs import Run
from tasks.__main__ import COMMON, EXAMPLES, OTHER, find, run

ROOT = Path(__file__).parent.parent

# The functions and classes that every task has, and their parameters. docs/architecture.md has the same table.
PATTERN = {
    "config": {"find_run": ["model"]},
    "model": {
        "build_model": ["config", "vocabulary"],
        "start_from": ["initial", "model", "after"],
        "load_model": ["run"],
    },
    "data": {
        "load_split": ["config", "split", "data_dir"],
        "fingerprint": ["config", "data_dir"],
        "build_vocabulary": ["config", "train", "initial"],
        "training_batches": ["config", "train", "vocabulary"],
    },
    "train": {"train": ["config", "options"], "run_name": ["config"], "main": ["arguments"]},
    "evaluate": {"measure": ["run", "options", "model"], "main": ["arguments"]},
    "export": {"export": ["model", "beam", "format"], "main": ["arguments"]},
    "card": {"terms": ["run"], "write": ["run"]},
}
FURTHER = {
    ("language_model", "find_run"): ["reads"],  # causal, bidirectional or classifier
    ("translator", "find_run"): ["source", "target"],  # each direction has a model
}
CONSTANTS = {"config": ["TASK", "RELEASED", "RELEASED_FILES", "PRESETS", "Config"], "data": ["Split"]}
CLASSES = {
    "captioner": ["ImageCaptioner"],
    "language_model": ["TextScorer", "TextGenerator", "BlankFiller"],
    "phoneme_recognizer": ["SoundRecognizer"],
    "translator": ["Translator", "PairScorer"],
}
FUNCTIONS = [(module, name) for module, functions in PATTERN.items() for name in functions]


@pytest.mark.parametrize("task", EXAMPLES)
@pytest.mark.parametrize(("module", "name"), FUNCTIONS)
def test_functions_have_one_signature(task, module, name):
    function = getattr(import_module(f"tasks.{task}.{module}"), name)
    parameters = inspect.signature(function, follow_wrapped=True).parameters
    assert list(parameters) == PATTERN[module][name] + FURTHER.get((task, name), [])
    assert all(parameter.annotation is not parameter.empty for parameter in parameters.values())
    assert inspect.getdoc(function) or name == "main"


@pytest.mark.parametrize("task", EXAMPLES)
def test_parameters_have_one_default(task):
    for module, name, parameter in (
        ("config", "find_run", "model"),
        ("data", "load_split", "data_dir"),
        ("data", "fingerprint", "data_dir"),
        ("data", "build_vocabulary", "initial"),
        ("evaluate", "measure", "model"),
        ("export", "export", "model"),
        ("export", "export", "beam"),
    ):
        function = getattr(import_module(f"tasks.{task}.{module}"), name)
        assert inspect.signature(function).parameters[parameter].default is None, (module, name)


@pytest.mark.parametrize("task", EXAMPLES)
def test_modules_have_the_same_names(task):
    for module, names in CONSTANTS.items():
        assert all(hasattr(import_module(f"tasks.{task}.{module}"), name) for name in names)
    config = import_module(f"tasks.{task}.config")
    assert task == config.TASK
    assert all(isinstance(preset, config.Config) for preset in config.PRESETS.values())
    fields = {field.name for field in dataclasses.fields(config.Config)}
    assert set(config.Config.RENAMED.values()) <= fields
    assert not config.Config.RENAMED.keys() & fields
    assert issubclass(import_module(f"tasks.{task}.evaluate").Arguments, EvaluationOptions)


@pytest.mark.parametrize(("task", "name"), [(task, name) for task, names in CLASSES.items() for name in names])
def test_inference_classes_load_a_model_and_answer(task, name):
    inference = getattr(import_module(f"tasks.{task}.inference"), name)
    assert next(iter(inspect.signature(inference.load).parameters)) in ("model", "models")
    assert callable(inference.load)
    assert name == "TextGenerator" or "__call__" in vars(inference)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "saved_models").glob("*/*/config.json")), ids=lambda path: path.parent.name
)
def test_released_runs_are_read_whatever_their_fields_are_called(path):
    """Runs of before a field was renamed have its former name, and the value is found under the current one."""
    config_class = import_module(f"tasks.{path.parts[-3]}.config").Config
    saved, config = json.loads(path.read_text())["config"], Run(path.parent).read_config(config_class)
    for name, value in saved.items():
        assert getattr(config, config_class.RENAMED.get(name, name)) == value


@pytest.mark.parametrize("task", EXAMPLES)
def test_verbs_are_command_lines_and_nothing_else(task):
    """A module with a `main` defines no class but its arguments."""
    for verb in EXAMPLES[task]:
        module = import_module(f"tasks.{task}.{verb}")
        classes = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
        assert [name for name in classes if inspect.isclass(getattr(module, name)) and name != "Arguments"] == []


def test_the_list_names_every_task_and_verb(capsys):
    assert run([]) == 0
    output = capsys.readouterr().out
    assert {path.parent.name for path in (ROOT / "tasks").glob("*/config.py")} == EXAMPLES.keys()
    for task, verbs in EXAMPLES.items():
        modules = (ROOT / "tasks" / task).glob("*.py")
        assert {path.stem for path in modules if "\n@command\n" in path.read_text()} == verbs.keys()
        for verb, example in verbs.items():
            name = f"{verb} {task}" if verb in COMMON or find(verb)[1] != task else verb
            assert f"    quatrain {name} {example}".rstrip() in output
    assert run(["--help"]) == 0
    assert capsys.readouterr().out == output


@pytest.mark.parametrize(
    ("arguments", "module"),
    [
        (["caption"], "tasks.captioner.caption"),
        (["score"], "tasks.language_model.score"),
        (["score", "translator"], "tasks.translator.score"),
        (["train", "translator"], "tasks.translator.train"),
        *(([verb], module) for verb, module in OTHER.items()),
    ],
)
def test_verbs_are_found(arguments, module):
    assert find(*arguments)[0] == module


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["paint"], "paint: no such verb"), (["train"], "name of a task"), (["train", "poet"], "name of a task")],
)
def test_wrong_commands_are_refused_in_one_line(arguments, message, capsys):
    assert run(arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert message in output.err
