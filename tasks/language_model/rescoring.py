"""Rescores n-best lists of a translator or recognizer, in the formats of Moses and Kaldi."""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from shared.errors import UserError

if TYPE_CHECKING:
    from tasks.language_model.inference import TextScorer

FORMAT = "number ||| hypothesis ||| features ||| score"


def rescore(scorer: "TextScorer", lines: Iterable[str], weight: float) -> Iterator[tuple[dict, str]]:
    """Yield a record and a line for each hypothesis; those of one number are consecutive, best first.

    A feature `RNNLM0=`, the log-probability, is added, and `weight` times it is added to the score.

    Args:
        scorer: scores the hypotheses.
        lines: in the format `FORMAT`.
        weight: of the log-probability.

    Raises:
        UserError: a line has another format.
    """
    group: list[list[str]] = []
    for number, line in enumerate(lines, 1):
        fields = [field.strip() for field in line.split("|||")]
        if len(fields) < 4 or not _is_finite(fields[3]):
            raise UserError(f"line {number}: expected {FORMAT}, received {line[:80]!r}")
        if any(_is_number(feature) and not _is_finite(feature) for feature in fields[2].split()):
            raise UserError(f"line {number}: finite features were expected, received {fields[2][:80]!r}")
        if group and group[0][0] != fields[0]:
            yield from _rescore_group(scorer, group, weight)
            group = []
        group.append(fields)
    yield from _rescore_group(scorer, group, weight)


def kaldi_scores(scorer: "TextScorer", batches: Iterable[Sequence[str]]) -> Iterator[tuple[dict, str]]:
    """Yield a record and a line `utterance-n cost` for each hypothesis, in order; the cost is -log_prob.

    This is the form of Kaldi's `lm_cost` files, for which lower is better.

    Args:
        scorer: scores the hypotheses.
        batches: lines `utterance-n words`; there may be no words.

    Raises:
        UserError: a line has no name.
    """
    numbers = itertools.count(1)
    for lines in batches:
        names, texts = [], []
        for line, number in zip(lines, numbers, strict=False):
            name, _, text = line.strip().replace("\t", " ").partition(" ")
            if not name:
                raise UserError(f"line {number}: expected `utterance-n words`, received {line[:80]!r}")
            names.append(name)
            texts.append(text.strip())
        for name, score in zip(names, scorer(texts), strict=True):
            log_prob = round(score.log_prob, 4)
            yield {"name": name, "text": score.text, "log_prob": log_prob}, f"{name} {-log_prob:.4f}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_finite(text: str) -> bool:
    return _is_number(text) and math.isfinite(float(text))


def _rescore_group(scorer: "TextScorer", group: list[list[str]], weight: float) -> list[tuple[dict, str]]:
    """The hypotheses of one number, best first."""
    rescored = []
    for fields, score in zip(group, scorer([fields[1] for fields in group]), strict=True):
        number, text, features, before, *rest = fields
        total = float(before) + weight * score.log_prob
        line = [number, text, f"{features} RNNLM0= {score.log_prob:.4f}".strip(), f"{total:.4f}", *rest]
        record = {"number": number, "text": text, "log_prob": round(score.log_prob, 4), "score": total}
        rescored.append((record, " ||| ".join(line)))
    return sorted(rescored, key=lambda result: -result[0]["score"])
