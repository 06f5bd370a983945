"""Every example of docs/api.md runs and prints what the page shows."""

import contextlib
import io
import re
from pathlib import Path

import pytest

import quatrain
from shared.machine import has_imagenet_weights
from shared.runs import ROOT as RUNS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
EXAMPLES = {
    title.split("\n", 1)[0]: (code, output)
    for title, code, output in re.findall(r"^## (.+?)```python\n(.+?)```\n\n```text\n(.*?)```", PAGE, re.M | re.S)
}
MISSING = {
    "ImageCaptioner": None if has_imagenet_weights() else "no ImageNet weights of MobileNetV2 in KERAS_HOME",
    "PhotoFinder": None
    if has_imagenet_weights() and (RUNS / "captioner" / "flickr8k" / "finder.safetensors").exists()
    else "no ImageNet weights of MobileNetV2 in KERAS_HOME, or no finder in the released captioner",
    "BlankFiller": None
    if any(RUNS.glob("language_model/*_fill/weights.safetensors"))
    else "no model that fills blanks",
    "TextClassifier": None if (RUNS / "language_model/sst2/weights.safetensors").exists() else "no classifier",
}


def run(code: str) -> str:
    """The standard output of a program, run in the root of the checkout."""
    with contextlib.chdir(ROOT), contextlib.redirect_stdout(io.StringIO()) as output:
        exec(compile(code, "docs/api.md", "exec"), {})
    return output.getvalue()


@pytest.mark.campaign
@pytest.mark.parametrize("title", EXAMPLES)
def test_example(title):
    if reason := MISSING.get(title):
        pytest.skip(reason)
    code, output = EXAMPLES[title]
    assert run(code) == output


def test_every_public_class_has_an_example():
    classes = {name for name in quatrain.PUBLIC if name[0].isupper()}
    assert classes <= EXAMPLES.keys()
