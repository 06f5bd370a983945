"""The commands that all tasks have: evaluate and export."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from shared.cli import BestPathExportOptions, EvaluationOptions, ExportOptions
from shared.commands import as_lines, evaluate, export
from shared.errors import UserError
from shared.runs import Run

METRICS = {"BLEU": 0.25, "protocol": "13a", "worst": [{"word": "dog", "errors": 3}, {"word": "cat", "errors": 1}]}


def measure(run: Run, options: EvaluationOptions) -> dict[str, Any]:
    return METRICS


@pytest.mark.parametrize(("name", "shown"), [(None, "first"), ("first and second", "first and second")])
def test_evaluate_prints_run_split_and_metrics(tmp_path, capsys, name, shown):
    evaluate(EvaluationOptions(split="test"), Run(tmp_path / "first"), measure, name)
    assert capsys.readouterr().out.splitlines() == [
        f"run      {shown}",
        "split    test",
        "BLEU     0.25",
        "protocol 13a",
        "worst    word dog, errors 3",
        "worst    word cat, errors 1",
    ]


def test_evaluate_writes_json_to_a_file(tmp_path, capsys):
    output = tmp_path / "metrics.jsonl"
    evaluate(EvaluationOptions(json=True, output=output), Run(tmp_path / "first"), measure)
    assert json.loads(output.read_text()) == {"run": "first", "split": "dev", **METRICS}
    assert capsys.readouterr().out == ""


def test_evaluate_checks_the_output_before_measuring(tmp_path):
    options = EvaluationOptions(output=tmp_path / "missing" / "metrics.jsonl")
    with pytest.raises(UserError, match="there is no folder"):
        evaluate(options, Run(tmp_path), lambda *_: pytest.fail("measured"))


def test_evaluate_keeps_an_earlier_output_when_measuring_fails(tmp_path):
    output = tmp_path / "metrics.txt"
    output.write_text("earlier")
    with pytest.raises(UserError, match="no corpus"):
        evaluate(EvaluationOptions(output=output), Run(tmp_path / "first"), fails)
    assert output.read_text() == "earlier"


def fails(*_):
    raise UserError("no corpus")


def test_evaluate_passes_the_options_of_the_task(tmp_path, capsys):
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Options(EvaluationOptions):
        beam: int = 3

    evaluate(Options(beam=7), Run(tmp_path), lambda run, options: {"beam": options.beam})
    assert "beam  7" in capsys.readouterr().out


def test_as_lines_of_a_nested_record():
    assert as_lines({"run": "a", "per class": {"x": 1, "y": 2}}) == "run       a\nper class x 1, y 2"


def exported(*arguments: str, kind: type[ExportOptions] = ExportOptions) -> list[tuple[str | None, int | None, str]]:
    calls = []

    def write(model: str | None, beam: int | None, format: str) -> Path:
        calls.append((model, beam, format))
        return Path("exported/1")

    export(list(arguments), "tasks.tagger.export", "Exports the tagger.", write, kind)
    return calls


def test_export_reads_model_and_beam_and_prints_the_folder(capsys):
    assert exported() == [(None, None, "savedmodel")]
    assert exported("first", "--beam", "4", "--format", "onnx") == [("first", 4, "onnx")]
    assert exported("--beam", "0", kind=BestPathExportOptions) == [(None, 0, "savedmodel")]
    assert capsys.readouterr().out == "exported/1\n" * 3


def test_export_of_the_model_that_other_options_name():
    written: list[tuple] = []

    def write(*arguments) -> Path:
        written.append(arguments)
        return Path("1")

    export(["first"], "x", "y", write, model=lambda options: f"{options.model}-de")
    assert written == [("first-de", None, "savedmodel")]


@pytest.mark.parametrize("beam", ["0", "101"])
def test_export_refuses_a_beam_outside_its_range(beam):
    with pytest.raises(UserError, match=f"--beam {beam}: a number from 1 to 100 was expected"):
        exported("--beam", beam)
