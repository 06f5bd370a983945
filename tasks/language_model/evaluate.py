"""Measures a trained language model on a split.

    python -m tasks.language_model.evaluate [--model RUN] [--split dev|test] [--json]

Perplexity per token, `</s>` at the end of each line included, in one stream whose state is carried from the first token
to the last. The numbers are added to the run's metrics.json, unless the run is a released model.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from shared.cli import Results, command, parse
from shared.runs import Run
from tasks.language_model.config import RELEASED, TASK

if TYPE_CHECKING:
    import numpy as np

    from tasks.language_model.model import LanguageModel

STEPS = 200  # tokens of a batch: enough that little time goes between batches
PROTOCOL = "per token with </s>, one stream, state carried"


def stream_nats(model: "LanguageModel", stream: "np.ndarray", start_id: int) -> "np.ndarray":
    """-log p of each token of a stream, `(tokens,)`, read from its beginning to its end.

    Not in several parts side by side: a model that never began in the middle of a text may take long to find its way.
    """
    from tasks.language_model.data import StreamBatches
    from tasks.language_model.model import StreamReader, read_stream

    return read_stream(StreamReader(model, 1), StreamBatches(stream, 1, STEPS, start_id))[0]


@dataclass(frozen=True, kw_only=True)
class Arguments:
    model: str | None = None
    """Run or folder; by default the released model, else the newest run."""
    split: Literal["dev", "test"] = "dev"
    """Decide on dev; look at test once."""
    data_dir: Path | None = None
    """Folder with your copy of the corpus, if it is neither prepared yet nor under $QUATRAIN_DATA."""
    json: bool = False
    """One JSON object instead of lines."""
    output: Path | None = None
    """Write there instead of to standard output."""


@command
def main(arguments: list[str]) -> None:
    options = parse(Arguments, arguments, "tasks.language_model.evaluate", __doc__)
    run = Run.find(options.model, TASK, RELEASED)
    results = Results(options.json, options.output)
    import numpy as np

    from tasks.language_model.data import read_lines, to_stream
    from tasks.language_model.model import load_model

    config, vocabulary, model = load_model(run)
    stream = to_stream(read_lines(config, options.split, options.data_dir), vocabulary)
    nats = stream_nats(model, stream, vocabulary.end_id)
    metrics = {"tokens": nats.size, "perplexity": round(float(np.exp(nats.mean())), 2)}
    metrics |= {"unknown": round(float(np.mean(stream == vocabulary.unknown_id)), 4), "protocol": PROTOCOL}
    if not run.is_released:
        run.save_metrics(options.split, metrics)
    record = {"run": run.name, "split": options.split} | metrics
    results.write(record, "\n".join(f"{name:<12} {value}" for name, value in record.items()))
    results.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
