"""Imports go one way, and what answers `--help` loads neither keras nor tensorflow."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
SOURCES = {
    ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__"): ast.parse(path.read_text())
    for package in ("tasks", "shared", "datasets")
    for path in (REPOSITORY / package).rglob("*.py")
}
HEAVY = {"keras", "tensorflow", "tensorflow_datasets", "librosa", "matplotlib"}


def imported(node: ast.AST, everywhere: bool) -> set[str]:
    """Modules that a piece of source imports: everywhere in it, or just when it is imported itself."""
    found = set()
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            found |= {alias.name for alias in child.names}
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute"
            module = child.module or ""
            found |= {name if (name := f"{module}.{alias.name}") in SOURCES else module for alias in child.names}
        elif everywhere or not (
            isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test))
        ):
            found |= imported(child, everywhere)
    return found


def within(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def may_import(importer: str, module: str) -> bool:
    """The rule, for modules of ours."""
    package, *rest = importer.split(".")
    if package == "shared":
        return within(module, "shared")
    if package == "datasets":
        return within(
            module, "datasets", "shared.media", "shared.audio", "shared.files", "shared.phones", "shared.errors"
        )
    task = f"tasks.{rest[0]}" if rest else "tasks"
    if rest[1:] == ["model"] and within(module, f"{task}.data"):
        return False
    return within(module, "shared", "datasets", task)


@pytest.mark.parametrize("importer", sorted(SOURCES))
def test_imports_go_one_way(importer):
    ours = {
        module
        for module in imported(SOURCES[importer], everywhere=True)
        if within(module, "tasks", "shared", "datasets")
    }
    assert {module for module in ours if not may_import(importer, module)} == set()


def is_light(module: str) -> bool:
    """Whether it answers before keras is loaded: the configuration, the command line, and every verb."""
    return (
        module in ("shared.cli", "shared.errors")
        or module.endswith((".config", ".__main__"))
        or (within(module, "tasks") and "__main__" in ast.unparse(SOURCES[module]))
    )


@pytest.mark.parametrize("module", sorted(filter(is_light, SOURCES)))
def test_what_answers_at_once_loads_nothing_heavy(module):
    loaded, waiting = set(), {module}
    while waiting:
        module = waiting.pop()
        loaded.add(module)
        if module in SOURCES:
            parents = {module.rsplit(".", 1)[0]} if "." in module else set()
            waiting |= (imported(SOURCES[module], everywhere=False) | parents) - loaded
    assert {name for name in loaded if name.split(".")[0] in HEAVY} == set()


@pytest.mark.parametrize("verb", sorted(name for name in SOURCES if is_light(name) and name.count(".") == 2))
def test_help_loads_nothing_heavy(verb):
    if verb.endswith(".config"):
        pytest.skip("has no command line")
    program = f"""
import runpy, sys
sys.argv = [{verb!r}, "--help"]
try:
    runpy.run_module({verb!r}, run_name="__main__", alter_sys=True)
except SystemExit as stopped:
    heavy = {HEAVY!r} & sys.modules.keys()
    sys.exit(f"loaded {{heavy}}" if heavy else stopped.code)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage: python -m" in done.stdout
