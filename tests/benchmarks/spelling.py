"""How well words that no dictionary has are pronounced by their spelling: PER and WER on words held out of CMUdict.

    python -m tests.benchmarks.spelling cmudict/letters.txt cmudict/phones.txt

The files are those of `python -m datasets pronunciations cmudict`. A word counts by the pronunciation of the dictionary
that is nearest to the first one of the model. The metrics are added to the run's, unless it is released.
"""

import sys
from collections import defaultdict
from pathlib import Path

from datasets.aligned_files import read_split
from shared.runs import Run
from tasks.phoneme_recognizer.scoring import confusions, error_rates
from tasks.phoneme_recognizer.spelling import RUN, Speller

PROTOCOL = "first pronunciation of the beam against the nearest one of CMUdict, 39 phones without stress, unseen words"


def measure(letters: Path, phones: Path, split: str) -> dict[str, float | int | str]:
    """PER and WER, as fractions, of the distinct words of a split."""
    said = defaultdict(list)
    for source, target in read_split({"train": (letters, phones)}, split):
        said[source.replace(" ", "")].append(target.split())
    found = Speller()(list(said))
    errors = total = wrong = 0
    for pronunciations, (first, *_) in zip(said.values(), found, strict=True):
        rates = [(error_rates(confusions([each], [list(first)]))["PER"], len(each)) for each in pronunciations]
        rate, length = min(rates)
        errors, total, wrong = errors + rate * length, total + length, wrong + (rate > 0)
    count = len(said)
    return {"words": count, "PER": round(errors / total, 4), "WER": round(wrong / count, 4), "protocol": PROTOCOL}


def main(letters: str, phones: str) -> None:
    run = Run.find(RUN, "translator", RUN)
    for split in ("dev", "test"):
        record = measure(Path(letters), Path(phones), split)
        print(split, record)
        if not run.is_released:
            run.save_metrics(f"{split}, by word", record)


if __name__ == "__main__":
    main(*sys.argv[1:])
