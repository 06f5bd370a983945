"""What holds of every task: the list of commands, their help, and who may import whom."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.__main__ import EXAMPLES, main

ROOT = Path(__file__).parent.parent
COMMANDS = [(task, command) for task, commands in EXAMPLES.items() for command in commands]
ALLOWED = {"tasks": {"tasks", "shared", "datasets"}, "shared": {"shared"}, "datasets": {"datasets", "shared"}}


def test_the_list_names_every_task_and_command(capsys):
    assert main([]) == 0
    output = capsys.readouterr().out
    assert {path.parent.name for path in (ROOT / "tasks").glob("*/config.py")} == EXAMPLES.keys()
    for task, command in COMMANDS:
        assert (ROOT / "tasks" / task / f"{command}.py").exists()
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


def imports(path: Path) -> set[str]:
    """The modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_imports_go_one_way(package):
    for path in (ROOT / package).rglob("*.py"):
        parts = path.relative_to(ROOT).parts
        for module in imports(path):
            first, *rest = module.split(".")
            if first in ALLOWED:
                assert first in ALLOWED[package], f"{path} imports {module}"
            if first == "tasks" and package == "tasks" and len(parts) > 2:
                assert rest[:1] == [parts[1]], f"{path} imports another task, {module}"
            if parts[-1] == "model.py":
                assert not module.endswith(".data"), f"{path} imports {module}; a model knows no corpus"
            if first == "shared" and package == "datasets":
                assert module in ("shared.media", "shared.errors"), f"{path} imports {module}"
