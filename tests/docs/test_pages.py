"""The pages of the documentation: links lead to files, and names in tables exist."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest

from docs.inputs import draw_dog
from shared.media import read_image
from tasks.__main__ import EXAMPLES

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("tasks/*/README.md")]
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links(page):
    """Relative links of a page, pictures included; other sites are not visited."""
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_shared_module_is_described():
    names = {path.name for folder in ("shared", "datasets") for path in (ROOT / folder).glob("[a-z]*.py")}
    assert {name for name in names if not re.search(rf"\b{name}\b", ARCHITECTURE)} == set()


def defined(path: Path) -> set[str]:
    """The names that a module defines at its top level, and those of methods; and `list`."""
    names = {"list"}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    methods = [part for node in tree.body if isinstance(node, ast.ClassDef) for part in node.body]
    for node in [*tree.body, *methods]:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def test_table_of_functions():
    """Each name in the table of docs/architecture.md is defined in the module of its task."""
    section = ARCHITECTURE.split("function by function")[1].split("Modules of one task")[0]
    header, *rows = re.findall(r"^\| (?:\||[\w*`]).*$", section, re.M)
    tasks = [cell.strip() for cell in header.split("|")[2:-2]]
    assert set(tasks) == set(EXAMPLES)
    file, count = "", 0
    for row in rows:
        title, *cells = [cell.strip() for cell in row.split("|")[1:-1]]
        file = title.strip("*`") if title.startswith("**") else file
        for task, cell in zip(tasks, cells, strict=False):
            for name in re.findall(r"`(\w+)", cell):
                module = f"{name}.py" if file == "verbs" else file
                names = ("Arguments", "main") if file == "verbs" else (name,)
                assert set(names) <= defined(ROOT / "tasks" / task / module), (task, module, names)
                count += 1
    assert count > 80


def test_every_module_of_a_task_is_named():
    common = {"config", "model", "inference", "data", "train", "evaluate", "export", "card", "__init__"}
    for task, verbs in EXAMPLES.items():
        for path in (ROOT / "tasks" / task).glob("*.py"):
            is_common = path.stem in common or path.stem in verbs
            assert is_common or re.search(rf"^\| {task} \|.*`{path.name}`", ARCHITECTURE, re.M), path


def test_the_picture_is_the_drawing():
    """`dog.jpg` is what the script draws, compressed."""
    difference = np.abs(np.asarray(draw_dog(), float) - read_image(ROOT / "docs" / "dog.jpg"))
    assert difference.mean() < 5
