"""The three campaigns in short, for `make campaigns`: one process imports TensorFlow and trains the tiny runs once.

    python -m tests.robustness FOLDER

Writes the counts of each campaign's verdicts into FOLDER/short.json, and prints their reports.
"""

import json
import sys
from collections import Counter
from pathlib import Path

from tests.robustness import commands, files, kills, tiny
from tests.robustness.sandbox import sandbox
from tests.robustness.workers import preload

SEED = 1


def main(folder: Path) -> None:
    preload()
    tiny.shrink_corpora()
    with sandbox(folder) as own:
        reports = (
            files.campaign(own, 60, SEED, jobs=2),
            commands.campaign(own, 10, SEED, jobs=2),
            kills.campaign(own, 2, SEED, tasks=("language_model",), most=1),
        )
        counts = {report.name: sum(report.counts.values(), Counter()) for report in reports}
        (own / "short.json").write_text(json.dumps(counts))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
