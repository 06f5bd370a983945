"""Hostile files: each is answered or refused in one line, and no answer lacks a part of its file in silence.

    python -m tests.robustness.files --count 30000 --seed 1
    python -m tests.robustness.files --seed 1 --case images:1234    # one case again; its input is kept

Each case is made from the seed, its kind and its index alone. Exit code 1 if a case fails.
"""

import tempfile
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from shared.errors import UserError
from tests.robustness import images, runs, sounds, texts, tiny
from tests.robustness.cases import Draw
from tests.robustness.report import Report, as_command, judge_all_or_one
from tests.robustness.workers import (
    ANSWERED,
    REFUSED,
    SHORT,
    TRACEBACK,
    Key,
    Outcome,
    described,
    run,
    standard_error_captured,
)

SECONDS = 10.0  # a case that takes longer is a hang
WRONG_LINE, WRONGLY_REFUSED = "wrong message", "intact file refused"

KINDS: dict[str, tuple[Draw, float]] = {  # and its share of the cases
    "images": (images.draw, 0.35),
    "sounds": (sounds.draw, 0.35),
    "lines": (texts.draw_lines, 0.06),
    "text corpora": (texts.draw_corpus, 0.04),
    "aligned files": (texts.draw_aligned, 0.03),
    "transcripts": (texts.draw_transcripts, 0.02),
    "dictionaries": (texts.draw_dictionary, 0.015),
    "captions": (texts.draw_captions, 0.015),
    "n-best lists": (texts.draw_nbest, 0.03),
    "run folders": (runs.draw, 0.08),
    "models": (runs.draw_loading, 0.008),
    "states": (runs.draw_state, 0.002),
}
NEED_RUNS = set(runs.DRAWS)


def keys(count: int, kinds: Sequence[str] = tuple(KINDS)) -> Iterator[Key]:
    """The cases of a campaign, at least one of each kind."""
    for kind in kinds:
        yield from ((kind, index) for index in range(max(1, round(count * KINDS[kind][1]))))


def generator(seed: int, key: Key) -> np.random.Generator:
    """The random generator of a case."""
    return np.random.default_rng([seed, zlib.crc32(key[0].encode()), key[1]])


def judge(seed: int, key: Key, folder: Path) -> Outcome:
    """Reads a case whose files are made in `folder`, and compares what comes of it with what is known."""
    with standard_error_captured(), np.errstate(all="ignore"):  # of the encoders that make the case
        case = KINDS[key[0]][0](generator(seed, key), folder)
    with standard_error_captured() as words, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            answer = case.read()
        except UserError as error:
            verdict, detail = REFUSED, str(error)
            if not detail.strip() or len(detail.splitlines()) != 1:
                verdict = WRONG_LINE
            elif case.is_whole:
                verdict = WRONGLY_REFUSED
        except (Exception, SystemExit) as error:
            verdict, detail = TRACEBACK, described(error)
        else:
            missing = case.missing(answer)
            verdict, detail = (SHORT, f"lacks {missing}") if missing and not words().strip() else (ANSWERED, "")
    return Outcome(key, verdict, " ".join(detail.split()), case.description)


def judge_in_fresh_folder(seed: int, key: Key) -> Outcome:
    """`judge`, with a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        return judge(seed, key, Path(folder))


def campaign(own: Path, count: int, seed: int, jobs: int) -> Report:
    """Runs all cases in a folder of the campaign and prints the report."""
    tiny.train_all(own)
    with standard_error_captured():
        for make in (images.seeds, sounds.seeds):  # once, before the processes fork
            make()
    report = Report("files", f"python -m tests.robustness.files --seed {seed}", groups=tuple(KINDS))
    for outcome in run(keys(count), lambda key: judge_in_fresh_folder(seed, key), own, jobs=jobs, seconds=SECONDS):
        report.add(outcome)
    report.print(columns=(ANSWERED, REFUSED))
    return report


def main(arguments: Sequence[str]) -> int:
    return judge_all_or_one(arguments, "python -m tests.robustness.files", __doc__, 30_000, judge, campaign)


if __name__ == "__main__":
    as_command(main)
