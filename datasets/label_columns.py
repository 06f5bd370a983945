"""Which columns of a table are texts and labels: by their names, or by their values."""

import re
from collections import Counter
from collections.abc import Sequence

from datasets.tables import TableRow

# Names of columns, in the order of preference.
TEXT_NAMES = (
    "text", "sentence", "review", "review_text", "comment", "content", "document", "body", "message", "tweet", "phrase",
    "utterance", "question", "sms", "description", "input", "title", "v2",
)  # fmt: skip
LABEL_NAMES = (
    "label", "labels", "sentiment", "class", "category", "polarity", "rating", "stars", "intent", "emotion", "topic",
    "language", "lang", "score", "tag", "target", "output", "y", "v1",
)  # fmt: skip
MAX_HEADING = 3  # words of the name of a column


def named_columns(header: Sequence[str]) -> tuple[int, int] | None:
    """The columns of text and label by their names; None if the names are no such."""
    names = [re.sub(r"\W+", "_", name.strip().strip("\ufeff").lower()) for name in header]
    text, label = (
        next((names.index(name) for name in known if name in names), None) for known in (TEXT_NAMES, LABEL_NAMES)
    )
    return None if text is None or label is None else (text, label)


def columns_by_values(rows: Sequence[Sequence[str]]) -> tuple[int, int]:
    """The columns of text and label by their values: the text is the longest, the label recurs the most often."""
    columns = [[cell.strip() for cell in column] for column in zip(*rows, strict=True)]
    lengths = [sum(map(len, column)) for column in columns]
    kinds = [len(set(column)) for column in columns]
    if len(columns) == 2:
        label = 1 if kinds[1] < kinds[0] or (kinds[1] == kinds[0] and lengths[1] <= lengths[0]) else 0
        return 1 - label, label
    text = max(range(len(columns)), key=lengths.__getitem__)
    others = [i for i in range(len(columns)) if i != text]
    return text, min(others, key=lambda i: (kinds[i] >= max(3, len(rows)), kinds[i] == 1, kinds[i], -i))  # ids last


def is_header(records: Sequence[TableRow], width: int, text: int, label: int) -> bool:
    """Whether the first row names columns: its label never recurs, all others do, and its text is a few words."""
    labels = Counter(record.cells[label].strip() for record in records if len(record.cells) == width)
    first = records[0].cells
    is_alone = len(first) == width and labels.pop(first[label].strip(), 0) == 1
    return is_alone and bool(labels) and min(labels.values()) > 1 and len(first[text].split()) <= MAX_HEADING
