"""What holds of every task: the list of commands, and their help."""

import subprocess
import sys
from pathlib import Path

import pytest

from tasks.__main__ import EXAMPLES, main

ROOT = Path(__file__).parent.parent
COMMANDS = [(task, command) for task, commands in EXAMPLES.items() for command in commands]


def test_the_list_names_every_task_and_command(capsys):
    assert main([]) == 0
    output = capsys.readouterr().out
    assert {path.parent.name for path in (ROOT / "tasks").glob("*/config.py")} == EXAMPLES.keys()
    for task, commands in EXAMPLES.items():
        modules = (ROOT / "tasks" / task).glob("*.py")
        assert {path.stem for path in modules if "\n@command\n" in path.read_text()} == commands.keys()
    for task, command in COMMANDS:
        assert f"python -m tasks.{task}.{command}" in output
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == output


def test_what_is_no_command_is_refused(capsys):
    assert main(["paint"]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert "paint" in output.err


@pytest.mark.parametrize(("task", "command"), COMMANDS)
def test_help_is_there_without_keras(task, command):
    program = (
        f"import sys\nfrom tasks.{task}.{command} import main\n"
        "try:\n    main(['--help'])\nfinally:\n"
        "    print([name for name in ('keras', 'tensorflow') if name in sys.modules], file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)
    assert result.returncode == 0
    assert result.stderr == "[]\n"
    assert f"python -m tasks.{task}.{command}" in result.stdout
