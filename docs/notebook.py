"""Runs the code cells of `tour.ipynb` and stores their outputs in it.

python -m docs.notebook

A small stand-in for Jupyter, which is not a dependency: it stores printed text and the picture that a cell ends with.
"""

import ast
import base64
import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

TOUR = Path(__file__).parent / "tour.ipynb"


def run_cell(source: str, namespace: dict[str, Any]) -> tuple[str, bytes | None]:
    """Returns the text that a cell prints and, if it ends with a picture of Pillow, the picture as PNG."""
    module = ast.parse(source)
    last = module.body.pop() if module.body and isinstance(module.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(module, "<cell>", "exec"), namespace)
        value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), namespace) if last else None  # noqa: S307
    draw = getattr(value, "_repr_png_", None)  # of Pillow's pictures
    return printed.getvalue(), draw() if draw else None


def execute(notebook: dict[str, Any], skip: Callable[[dict[str, Any]], bool] = lambda cell: False) -> None:
    """Runs the code cells of a notebook (nbformat 4) in its folder, and replaces their outputs."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code" and not skip(cell)]
    with contextlib.chdir(TOUR.parent):
        for count, cell in enumerate(cells, 1):
            text, picture = run_cell("".join(cell["source"]), namespace)
            cell["execution_count"], cell["outputs"] = count, []
            if text:
                stream = {"name": "stdout", "output_type": "stream", "text": text.splitlines(keepends=True)}
                cell["outputs"].append(stream)
            if picture:
                data = {"image/png": base64.b64encode(picture).decode() + "\n"}
                display = {"data": data, "metadata": {}, "output_type": "execute_result", "execution_count": count}
                cell["outputs"].append(display)


def main() -> None:
    notebook = json.loads(TOUR.read_text(encoding="utf-8"))
    execute(notebook)
    TOUR.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
