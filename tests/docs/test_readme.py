"""The examples of the README print what it shows."""

import re
import shlex
from pathlib import Path

import pytest

from shared.machine import has_imagenet_weights
from tasks.__main__ import run

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^\$ quatrain (.+)\n(.+)$", README, re.M)


@pytest.mark.campaign
@pytest.mark.parametrize(("command", "output"), EXAMPLES, ids=[command.split()[0] for command, _ in EXAMPLES])
def test_example(command, output, capsys, monkeypatch):
    if command.startswith("caption") and not has_imagenet_weights():
        pytest.skip("no ImageNet weights of MobileNetV2 in KERAS_HOME")
    monkeypatch.chdir(ROOT)
    command = command.removesuffix(" | head -1")
    assert run(shlex.split(command)) == 0
    printed, error = capsys.readouterr()
    assert printed.splitlines()[0] == output
    assert error == ""


def test_four_tasks_have_an_example():
    assert {command.split()[0] for command, _ in EXAMPLES} == {"caption", "translate", "recognize", "generate"}
