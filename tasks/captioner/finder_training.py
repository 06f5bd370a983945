"""Training of the finder of a captioner, on the grids of its encoder and the captions of its corpus.

In a batch of pairs each sentence has to find its photo among all photos of the batch, and each photo its sentence: the
cross-entropy of a softmax over scores times a learned scale (InfoNCE, van den Oord et al. 2018; in both directions,
Radford et al. 2021). The scores are those of the index, of whole sentences and whole photos. For the first pairs of a
batch the same loss is added for scores in which a word counts in the cell that it fits best (Karpathy and Fei-Fei 2015,
equation 8), so that words point at regions. Further captions of a photo in the batch are not wrong, and are left out.
"""

import filecmp
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from shared import runs
from shared.atomic import atomic_folder
from shared.batching import BucketedBatches
from shared.packing import pad
from shared.runs import Run, RunError
from shared.training import TrainingError, cosine_factor, warmup_factor, weights_as_arrays
from shared.vocabulary import WordVocabulary
from tasks.captioner.config import FINDER, RELEASED_FILES, TASK, has_finder
from tasks.captioner.data import Split, load_split, random_views, with_grids
from tasks.captioner.encoder import load_encoder
from tasks.captioner.finder import Finder, build_finder, load_finder, shares, unit
from tasks.captioner.model import load_model
from tasks.captioner.retrieval import measure_finder, rank

ops: Any = keras.ops  # Keras declares no result types for its operations

BATCH_SIZE = 128  # pairs, and so 127 wrong photos for each sentence
LEARNING_RATE, WEIGHT_DECAY, WARMUP_STEPS, CLIP_NORM = 2e-3, 1e-4, 100, 2.0
PAIRS_OF_PARTS = 32  # of a batch; all words of more in all cells of more take longer than the rest of a step
MAX_SCALE = 100.0
MAX_WORDS = 40  # of a caption in training; longer ones are cut
NONE = -1e9  # logit of a pair that is left out


class Pairs(keras.Model):
    """Batches of training pairs, `grid`, `token_ids` and `owners`, -> their loss `(1,)`."""

    def __init__(self, finder: Finder):
        super().__init__()
        self.finder = finder
        self.built = True

    def call(self, inputs: Mapping[str, Any], training: bool = False) -> Any:
        finder, owners = self.finder, inputs["owners"]
        grid = finder.dropped(inputs["grid"], training)
        words = shares(finder.words(inputs["token_ids"], training))
        by_whole = ops.matmul(ops.sum(words, axis=1), ops.transpose(finder.photos(grid)))
        by_parts = scores_by_parts(words[:PAIRS_OF_PARTS], finder.cells(grid[:PAIRS_OF_PARTS]))
        scale = ops.minimum(ops.exp(finder.log_scale), MAX_SCALE)
        loss = contrast(scale * by_whole, owners) + contrast(scale * by_parts, owners[:PAIRS_OF_PARTS])
        return ops.reshape(loss, (1,))


def scores_by_parts(words: Any, cells: Any) -> Any:
    """Scores `(sentences, photos)` in which each word counts in the cell of a photo that it fits best.

    `words` are `(sentences, target, width)`, as in a sentence of length 1, and 0 for padding; `cells` are
    `(photos, positions, width)` of any length, which does not count.
    """
    (sentences, target, width), (photos, positions, _) = ops.shape(words), ops.shape(cells)
    cells = ops.reshape(unit(cells), (photos * positions, width))
    products = ops.matmul(ops.reshape(words, (sentences * target, width)), ops.transpose(cells))
    products = ops.reshape(products, (sentences, target, photos, positions))
    return ops.sum(ops.max(products, axis=-1), axis=1)


def contrast(logits: Any, owners: Any) -> Any:
    """The mean cross-entropy of logits `(sentences, photos)`, for the photo of each sentence and for the reverse.

    Pairs are on the diagonal; `owners` are the photos' ids, and other pairs of equal ids are left out.
    """
    is_pair = ops.eye(ops.shape(owners)[0], dtype="bool")
    logits = ops.where((owners[:, None] == owners) & ~is_pair, NONE, logits)
    found = ops.log_softmax(logits, axis=0) + ops.log_softmax(logits, axis=1)
    return -ops.mean(ops.sum(ops.where(is_pair, found, 0.0), axis=1))


def as_loss(_targets: Any, loss: Any) -> Any:
    """The loss that `Pairs` returns, for `compile`."""
    return ops.mean(loss)


def pair_batches(split: Split, vocabulary: WordVocabulary, seed: int) -> BucketedBatches:
    """Batches of pairs, each with a random view of its photo; an epoch has every caption once."""
    owners = [i for i, captions in enumerate(split.captions) for _ in captions]
    token_ids = [vocabulary.encode(caption)[:MAX_WORDS] for captions in split.captions for caption in captions]
    kept = [i for i, ids in enumerate(token_ids) if ids]
    owners, token_ids = [owners[i] for i in kept], [token_ids[i] for i in kept]

    def make_batch(indices: np.ndarray, rngs: Sequence[np.random.Generator], sizes: Mapping[str, int]) -> Any:
        photos = np.array([owners[i] for i in indices], np.int32)
        grid = split.inputs[photos, random_views(split, rngs)].astype(np.float32)
        padded = pad([token_ids[i] for i in indices], sizes.get("target"))
        return {"grid": grid, "token_ids": padded, "owners": photos}, np.zeros(1, np.float32)

    lengths = [len(ids) for ids in token_ids]
    return BucketedBatches(lengths, BATCH_SIZE, make_batch, seed, {"target": lengths})


def writable_run(run: Run, name: str | None) -> Run:
    """The run to write a finder to: itself or, with a name, a copy of it, which need not exist yet.

    Raises RunError for a released run without a name, or a name that is invalid or of another run.
    """
    if name is None:
        if run.is_released:
            problem = "is a released model and is never written to; --run NAME, of a copy with the finder, was expected"
            raise RunError(f"run {run.path} {problem}")
        return run
    runs.check_name(name)
    copy = Run(runs.ROOT / TASK / name)
    if copy.path.exists() and not _is_copy(copy, run):
        raise RunError(f"--run {name}: exists, and is no copy of {run.path}; another name was expected")
    return copy


def _is_copy(copy: Run, run: Run) -> bool:
    """Whether a run is an unsigned copy of another, whatever their finders are."""
    model = {path.name for path in run.path.glob("*.safetensors")} - {f"{FINDER}.safetensors"} | {"vocabulary.json"}
    _, differing, missing = filecmp.cmpfiles(copy.path, run.path, model, shallow=False)
    return not differing and not missing and copy.config == _unsigned(run.config)


def _unsigned(config: Mapping[str, Any]) -> dict[str, Any]:
    """The content of `config.json` without what a release adds."""
    return {name: value for name, value in config.items() if not name.endswith("_sha256")}


def _copy_model(run: Run, copy: Run) -> None:
    """Copy what a release keeps of a run, unsigned."""
    with atomic_folder(copy.path) as folder:
        for path in run.path.iterdir():
            if path.name in {*RELEASED_FILES, "history.csv", "metrics.json", "README.md"}:
                shutil.copy2(path, folder / path.name)
        for path in folder.glob("*.safetensors"):
            run.load_weights(path.stem)  # checks what was signed
        runs.write_json(folder / "config.json", _unsigned(run.config))


def train_finder(
    run: Run, written: Run, seed: int, epochs: int, data_dir: Path | None = None, replace: bool = False
) -> dict[str, float]:
    """Train a finder for a run; the best one on the development split is saved, and its metrics there are returned.

    Args:
        run: the run.
        written: the result of `writable_run`, which gets the finder. A copy is made when its training begins.
        seed: of the initial weights, of dropout, and of the order of the captions.
        epochs: passes over the captions.
        data_dir: folder of a copy of the corpus.
        replace: save the best epoch even if the finder that `written` has is better.

    Raises:
        UserError: a run is in training, or its corpus cannot be read.
        TrainingError: the loss is not finite.
    """
    config, vocabulary, _ = load_model(run)
    encoder = load_encoder(run, config)
    train, dev = (with_grids(load_split(config, name, data_dir), encoder) for name in ("train", "dev"))
    if not written.path.exists():  # only now, so that what cannot be trained leaves no copy
        _copy_model(run, written)
    with written.training():
        # Not earlier: the layers that compute grids, which may be cached, draw random numbers.
        keras.utils.set_random_seed(seed)
        finder, is_new = build_finder(config, vocabulary), False  # before another one is, for the same seed's weights
        best: dict[str, float] = {}
        if has_finder(written) and not replace:
            best = measure_finder(load_finder(written, config, vocabulary), vocabulary, dev)
            print(f"the run's finder  {_as_line(best)}", flush=True)
        for epoch, loss in enumerate(fit(finder, pair_batches(train, vocabulary, seed), epochs), start=1):
            metrics = measure_finder(finder, vocabulary, dev)
            is_better = not best or rank(metrics) > rank(best)
            mark = "  *" if is_better else ""
            print(f"epoch {epoch}/{epochs}  loss {loss:.3f}  {_as_line(metrics)}{mark}", flush=True)
            if is_better:
                best, is_new = metrics, True
                written.save_weights(weights_as_arrays(finder), FINDER)
        if not is_new:
            print("no epoch is better than the run's finder, which stays; --replace replaces it", flush=True)
        return best


def _as_line(metrics: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.3g}" for name, value in metrics.items())


def fit(finder: Finder, batches: BucketedBatches, epochs: int) -> Iterator[float]:
    """Train a finder in place; yields the mean loss of each epoch at its end."""
    batches.limit_sizes(run=1)
    model, steps = Pairs(finder), epochs * len(batches)
    optimizer = keras.optimizers.AdamW(LEARNING_RATE, WEIGHT_DECAY, global_clipnorm=CLIP_NORM)
    model.compile(optimizer, as_loss)
    optimizer.build(model.trainable_variables)  # else the first step is compiled twice
    warmup = min(WARMUP_STEPS, steps // 10)
    for epoch in range(epochs):
        batches.epoch = epoch
        model.reset_metrics()
        loss = math.nan
        for index in range(len(batches)):
            step = epoch * len(batches) + index
            optimizer.learning_rate = LEARNING_RATE * warmup_factor(step, warmup) * cosine_factor(step, steps)
            loss = float(model.train_on_batch(*batches[index]))  # of the epoch so far
            if not math.isfinite(loss):
                raise TrainingError(f"the finder's loss is {loss} at step {step + 1}")
        yield loss
