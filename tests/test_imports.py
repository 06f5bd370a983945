"""Imports go one way, and `--help` loads neither Keras nor a backend."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.__main__ import EXAMPLES, OTHER

REPOSITORY = Path(__file__).parents[1]
PACKAGES = ("tasks", "shared", "datasets")
SOURCES = {
    ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__"): ast.parse(path.read_text())
    for package in PACKAGES
    for path in (REPOSITORY / package).rglob("*.py")
}
HEAVY = {"keras", "tensorflow", "jax", "tensorflow_datasets", "librosa", "matplotlib"}
VERBS = [*(f"tasks.{task}.{verb}" for task, verbs in EXAMPLES.items() for verb in verbs), "tasks.serve.__main__"]


@functools.cache
def imported(node: ast.AST, everywhere: bool) -> frozenset[str]:
    """The modules that source code imports: anywhere in it, or only when it is imported itself."""
    modules = set()
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            modules |= {alias.name for alias in child.names}
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute"
            module = child.module or ""
            modules |= {name if (name := f"{module}.{alias.name}") in SOURCES else module for alias in child.names}
        elif everywhere or not (
            isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test))
        ):
            modules |= imported(child, everywhere)
    return frozenset(modules)


def reached(module: str, everywhere: bool, packages: bool = True) -> dict[str, str]:
    """All modules that a module imports, directly or through ours: module -> the module that imports it.

    Args:
        packages: follow the `__init__.py` of packages too, which Python runs first.
    """
    parents, waiting = {module: ""}, [module]
    while waiting:
        importer = waiting.pop()
        if importer not in SOURCES:
            continue
        package = {importer.rpartition(".")[0]} - {""} if packages else set()
        for name in sorted((imported(SOURCES[importer], everywhere) | package) - parents.keys()):
            parents[name] = importer
            waiting.append(name)
    return parents


def within(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def path_to(module: str, parents: dict[str, str]) -> str:
    """How a module is reached, for the message of a failed assertion."""
    path = [module]
    while parents[path[-1]]:
        path.append(parents[path[-1]])
    return " <- ".join(path)


def is_allowed(importer: str, module: str) -> bool:
    """Whether one of our modules may import another one of ours directly."""
    package, *rest = importer.split(".")
    if package == "shared":
        return within(module, "shared")
    if package == "datasets":
        return within(module, "datasets", "shared")
    task = f"tasks.{rest[0]}" if rest else "tasks"
    return within(module, "shared", "datasets", "tasks" if task == "tasks.serve" else task)


@pytest.mark.parametrize("importer", sorted(SOURCES))
def test_imports_go_one_way(importer):
    ours = {module for module in imported(SOURCES[importer], everywhere=True) if within(module, *PACKAGES)}
    assert {module for module in ours if not is_allowed(importer, module)} == set()


@pytest.mark.parametrize("task", EXAMPLES)
def test_models_and_inference_reach_no_data(task):
    """Neither directly nor through others."""
    for name in ("model", "inference"):
        parents = reached(f"tasks.{task}.{name}", everywhere=True)
        forbidden = [module for module in parents if within(module, "datasets", f"tasks.{task}.data")]
        assert [path_to(module, parents) for module in forbidden] == []
    parents = reached(f"tasks.{task}.model", everywhere=True)
    assert f"tasks.{task}.inference" not in parents


def test_there_are_no_circles():
    circles = []
    for module in SOURCES:
        parents = reached(module, everywhere=True, packages=False)
        circles += [
            path_to(other, parents)
            for other in parents
            if other in SOURCES and module in imported(SOURCES[other], everywhere=True) and other != module
        ]
    assert circles == []


def is_light(module: str) -> bool:
    """Whether the import of a module must load no heavy package: configurations, command lines, all verbs."""
    named = "shared.cli", "shared.errors", *VERBS, *OTHER.values()
    return module in named or module.endswith((".config", "__main__"))


@pytest.mark.parametrize("module", sorted(filter(is_light, SOURCES)))
def test_light_modules_load_nothing_heavy(module):
    parents = reached(module, everywhere=False)
    assert [path_to(name, parents) for name in parents if name.split(".")[0] in HEAVY] == []


def test_help_loads_nothing_heavy():
    """All verbs in one process: each prints its usage, exits with 0, and loads no heavy package."""
    program = f"""
import contextlib, importlib, io, sys
for verb in {VERBS!r}:
    with contextlib.redirect_stdout(io.StringIO()) as output:
        try:
            importlib.import_module(verb).main(["--help"])
        except SystemExit as stopped:
            assert not stopped.code, (verb, stopped.code)
    assert f"usage: python -m {{verb.removesuffix('.__main__')}} " in output.getvalue(), verb
    assert not {HEAVY!r} & sys.modules.keys(), verb
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_benchmarks_can_be_imported():
    """All but `torch_*.py`, which run in an environment of torch and nothing else."""
    paths = sorted((REPOSITORY / "tests/benchmarks").glob("*.py"))
    modules = [f"tests.benchmarks.{path.stem}" for path in paths if not path.stem.startswith("torch_")]
    assert len(modules) >= 5
    program = f"import importlib, sys\nfor name in {modules!r}:\n    importlib.import_module(name)"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
