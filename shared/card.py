"""The model card of a run: training data and its terms, metrics, usage."""

from collections.abc import Mapping
from typing import Any

from shared.atomic import write_bytes
from shared.runs import Run, RunError

CARD = """# {title}

{summary}

## Data and terms

{terms}

## Numbers

{numbers}
{remarks}
## Use

```
{usage}
```

## Training

{training}
"""


Metrics = Mapping[str, Mapping[str, Any]]  # split or system -> metric -> value


def write_card(
    run: Run, *, title: str, summary: str, terms: str, usage: str, published: Metrics | None = None, remarks: str = ""
) -> None:
    """Write the run's `README.md` from its config.json, metrics.json and history.csv; raises RunError without metrics.

    The texts are Markdown; `usage` is commands. `published` has results of other systems on the same split.
    """
    if not (metrics := run.load_metrics()):
        raise RunError(f"{run.path / 'metrics.json'}: no such file, or no metrics in it; the run is incomplete")
    numbers, training = _table(metrics, published or {}), _training(run)
    remarks = f"\n{remarks}\n" if remarks else ""
    texts = {"title": title, "summary": summary, "terms": terms, "remarks": remarks, "usage": usage}
    card = CARD.format(**texts, numbers=numbers, training=training)
    write_bytes(run.path / "README.md", card.encode())


def _table(metrics: Metrics, published: Metrics) -> str:
    """A Markdown table with a column per split and published system, and a row per metric."""
    columns = {f"this model, {split}": values for split, values in metrics.items()} | dict(published)
    names = list(dict.fromkeys(name for values in columns.values() for name in values))
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name in names:
        cells = (values.get(name, "") for values in columns.values())
        lines.append(f"| {name} | " + " | ".join(map(_cell, cells)) + " |")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    text = ", ".join(f"{name} {part}" for name, part in value.items()) if isinstance(value, dict) else str(value)
    return text.replace("|", "\\|")  # it would end the cell


def all_terms(run: Run, own: str) -> str:
    """The terms of a run's data, `own`, and of the weights that its training began with."""
    initial = run.config.get("initial_terms", "")
    if not isinstance(initial, str):
        raise RunError(f"{run.path / 'config.json'}: a text was expected under initial_terms; the run is damaged")
    return "\n\n".join(dict.fromkeys(part for part in (*own.split("\n\n"), *initial.split("\n\n")) if part))


def _training(run: Run) -> str:
    rows, saved = run.load_history(), run.config
    for part in ("data", "config", "versions"):
        if not isinstance(saved.get(part), dict):
            raise RunError(f"{run.path / 'config.json'}: expected an object under {part}; the run is damaged")
    data = ", ".join(
        f"{name} (fingerprint {fingerprint})" for name, fingerprint in saved["data"].items() if name != "begin"
    )
    if "begin" in saved["data"]:
        initial = saved["config"].get("initial_run") or saved["config"].get("begin")  # its former name
        data += f", begun from the weights of {initial} (fingerprint {saved['data']['begin']})"
    config = "\n".join(f"| {name} | {value} |" for name, value in saved["config"].items())
    versions = ", ".join(f"{name} {version}" for name, version in saved["versions"].items())
    try:
        trained = f"{len(rows)} epochs in {float(rows[-1]['minutes']):.0f} minutes" if rows else "Less than an epoch"
    except (KeyError, TypeError, ValueError):
        raise RunError(f"{run.path / 'history.csv'}: minutes were expected; the run is damaged") from None
    return f"{trained} on {data}, with {versions}.\n\n| configuration | |\n|---|---|\n{config}"
