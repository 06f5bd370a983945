"""The model card: what a run was trained on, under which terms, how well it does, how to use it."""

from collections.abc import Mapping
from typing import Any

from shared.runs import Run, read_json, write_bytes

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


def write_card(
    run: Run,
    *,
    title: str,
    summary: str,
    terms: str,
    usage: str,
    published: Mapping[str, Mapping[str, float]] | None = None,
    remarks: str = "",
) -> None:
    """Writes the run's `README.md` from its own config.json, metrics.json and history.csv.

    Args:
        run: a trained run.
        title, summary, terms, usage, remarks: Markdown; `usage` is commands.
        published: figures of others on the same split, beside ours: system -> metric -> value.
    """
    card = CARD.format(
        title=title,
        summary=summary,
        terms=terms,
        numbers=_table(read_json(run.path / "metrics.json"), published or {}),
        remarks=f"\n{remarks}\n" if remarks else "",
        usage=usage,
        training=_training(run),
    )
    write_bytes(run.path / "README.md", card.encode())


def _table(metrics: Mapping[str, Mapping[str, Any]], published: Mapping[str, Mapping[str, float]]) -> str:
    """A column per split of ours and per published system, a row per metric."""
    columns = {f"this model, {split}": values for split, values in metrics.items()} | dict(published)
    names = list(dict.fromkeys(name for values in columns.values() for name in values))
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name in names:
        cells = (values.get(name, "") for values in columns.values())
        lines.append(f"| {name} | " + " | ".join(map(_cell, cells)) + " |")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    text = ", ".join(f"{name} {part}" for name, part in value.items()) if isinstance(value, dict) else str(value)
    return text.replace("|", "\\|")  # which would end the cell


def _training(run: Run) -> str:
    rows = run.load_history()
    described = run.config
    data = ", ".join(f"{name} (fingerprint {fingerprint})" for name, fingerprint in described["data"].items())
    config = "\n".join(f"| {name} | {value} |" for name, value in described["config"].items())
    versions = ", ".join(f"{name} {version}" for name, version in described["versions"].items())
    trained = f"{len(rows)} epochs in {float(rows[-1]['minutes']):.0f} minutes" if rows else "Less than an epoch"
    return f"{trained} on {data}, with {versions}.\n\n| configuration | |\n|---|---|\n{config}"
