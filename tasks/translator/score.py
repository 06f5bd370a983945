"""Says how probable given translations are.

    python -m tasks.translator.score "Ein Hund läuft." "A dog is running." "Ein Hund läuft." "A cat is running."
    python -m tasks.translator.score --source-file a.de --target-file a.en --json

Of each pair, a sentence and its translation, all logarithms natural and the translation's end its last token:

    log_prob     the sum over the translation's tokens of log p(token | those before it, the sentence)
    perplexity   exp(-log_prob / tokens), the end counted
    unknown      tokens that the model does not know; each is scored as <unk>, which is more probable than it
"""

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from shared.cli import Results, command, parse
from shared.errors import UserError
from shared.runs import Run
from shared.text import check_readable, read_lines
from tasks.translator.config import RELEASED, TASK

if TYPE_CHECKING:
    import numpy as np

CHUNK = 256  # pairs read before they are scored, like with like in length
TOKENS = 2000  # of either side in a batch, padding included

Pair = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a translation costs.

    Attributes:
        source, target: the pair.
        tokens: of the translation, as the model splits it, and `</s>`.
        log_probs: natural logarithm of each one's probability, `(tokens,)`.
        unknown: whether each one is unknown to the model.
        attention: where the model looked at each, `(tokens, source tokens + 1)`, the end of the source last.
    """

    source: str
    target: str
    tokens: list[str]
    log_probs: "np.ndarray"
    unknown: list[bool]
    attention: "np.ndarray"

    @property
    def log_prob(self) -> float:
        return float(self.log_probs.sum())

    @property
    def perplexity(self) -> float:
        return math.exp(min(-self.log_prob / len(self.tokens), 700))

    def record(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "target": self.target,
            "log_prob": round(self.log_prob, 4),
            "perplexity": round(self.perplexity, 4),
            "unknown": sum(self.unknown),
            "tokens": self.tokens,
            "log_probs": [round(float(value), 4) for value in self.log_probs],
        }


class PairScorer:
    """A trained translator that tells what given translations cost.

    >>> PairScorer.load("multi30k-de-en")([("Ein Hund.", "A dog.")])[0].log_prob
    """

    def __init__(self, model, source, target):
        from tasks.translator.model import Reader

        self.source, self.target, self.reader = source, target, Reader(model)

    @classmethod
    def load(cls, model: str | None = None) -> "PairScorer":
        """Loads a run or folder, by default the released model; UserError when there is none that fits together."""
        from tasks.translator.model import load_model

        _, source, target, model_ = load_model(Run.find(model, TASK, RELEASED))
        return cls(model_, source, target)

    def __call__(self, pairs: Sequence[Pair]) -> list[Score]:
        import numpy as np

        from shared.batching import packed, pad
        from tasks.translator.data import source_batch, tidy

        sources = [self.source.encode(tidy(source)) for source, _ in pairs]
        targets = [self.target.encode(tidy(target)) for _, target in pairs]
        read: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for places in packed([max(map(len, both)) + 1 for both in zip(sources, targets, strict=True)], TOKENS):
            ids = pad([[*targets[place], self.target.end_id] for place in places])
            inputs = {"source_ids": source_batch([sources[place] for place in places]), "target_ids": ids}
            log_probs, weights = self.reader.predict_on_batch(inputs)
            for row, place in enumerate(places):
                tokens = len(targets[place]) + 1
                read[place] = log_probs[row, :tokens], weights[row, :tokens, : len(sources[place]) + 1]
        return [
            Score(
                source=source,
                target=target,
                tokens=[*self.target.pieces(tidy(target)), self.target.table[self.target.end_id]],
                log_probs=read[place][0],
                unknown=[token_id == self.target.unknown_id for token_id in [*targets[place], self.target.end_id]],
                attention=read[place][1],
            )
            for place, (source, target) in enumerate(pairs)
        ]


def score_pairs(scorer: PairScorer, pairs: Iterable[Pair]) -> Iterator[Score]:
    """The scores of pairs as they come, in their order."""
    pairs = iter(pairs)
    while chunk := list(islice(pairs, CHUNK)):
        yield from scorer(chunk)


@dataclass(frozen=True, kw_only=True)
class Arguments:
    texts: tyro.conf.Positional[tuple[str, ...]] = ()
    """A sentence, its translation; the next sentence, its translation; and so on."""
    source_file: Path | None = None
    """Sentences, line by line."""
    target_file: Path | None = None
    """Their translations, line by line."""
    model: str | None = None
    """Run or folder; by default the released model, else the newest run."""
    json: bool = False
    """One JSON object a line, tokens included."""
    output: Path | None = None
    """Write there instead of to standard output."""


def read_pairs(options: Arguments) -> list[Pair]:
    """The pairs that were asked for; UserError when sentences and translations are not as many."""
    files = options.source_file, options.target_file
    if bool(options.texts) == any(files) or any(files) != all(files):
        raise UserError("name either sentences and their translations, or --source-file and --target-file")
    if options.texts:
        if len(options.texts) % 2:
            raise UserError(f"{len(options.texts)} texts: a sentence, its translation and so on were expected")
        return list(zip(options.texts[::2], options.texts[1::2], strict=True))
    for path in files:
        check_readable(str(path))
    sources, targets = (list(read_lines(str(path))) for path in files)
    if len(sources) != len(targets):
        raise UserError(
            f"{files[0]} has {len(sources):,} lines, {files[1]} has {len(targets):,}; as many were expected"
        )
    return list(zip(sources, targets, strict=True))


@command
def main(arguments: list[str]) -> None:
    options = parse(Arguments, arguments, "tasks.translator.score", __doc__)
    pairs = read_pairs(options)
    scorer = PairScorer.load(str(Run.find(options.model, TASK, RELEASED).path))
    results = Results(options.json, options.output)
    if not options.json:
        results.write({}, f"{'log_prob':>10} {'perplexity':>11} {'unknown':>8}  translation")
    try:
        for score in score_pairs(scorer, pairs):
            record = score.record()
            cells = f"{record['log_prob']:10.2f} {record['perplexity']:11.2f} {record['unknown']:8}"
            results.write(record, f"{cells}  {score.target}")
    finally:
        results.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
