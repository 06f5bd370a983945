"""How often a word points at what it names: the pointing game (Zhang et al. 2018, section 4.2) where boxes are known.

A word hits if its best cell, by the captioner's attention or by the finder, is in the box of what it names.

    scenes   words for the shape or the colour of one object of the scene alone; the box of the object
    photos   two photos of a split side by side in one picture; words that people agree on, that two captions of a photo
             have and none of the other; the photo's half of the picture. So real photos are measured, and nobody has to
             draw boxes.

For photos the captions are those of people, and the attention is that of the captioner when it is given their words.
In any language, the words that people agree on are nouns nearly all: dog, water, but not the, his, little, standing.
Chance is the mean share of cells that are in the box. Words of a picture are alike, so intervals draw pictures.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, ClassVar, NamedTuple

import keras
import numpy as np

from datasets.scenes.parser import describes
from datasets.scenes.world import scene_of
from shared.any_size import AnySize
from shared.intervals import drawn, middle
from shared.media import prepare, read_image
from shared.packing import pad
from shared.runs import Run
from shared.vocabulary import WordVocabulary
from tasks.captioner.data import Split
from tasks.captioner.encoder import load_fine_encoder
from tasks.captioner.finder import Finder, ImageFunction, TextFunction
from tasks.captioner.finding import fit_of
from tasks.captioner.inference import Caption
from tasks.captioner.model import Captioner, LoadedCaptioner

ops: Any = keras.ops  # Keras declares no result types for its operations

Box = Sequence[float]  # top, left, bottom, right, in fractions of the picture
Relevance = Callable[[Sequence[int], np.ndarray], np.ndarray]
"""Indices of pictures and token ids, `(batch, target)` -> the relevance of cells, `(batch, target, rows, columns)`."""
HALVES = (0.0, 0.0, 1.0, 0.5), (0.0, 0.5, 1.0, 1.0)  # of a picture of two photos
PAIRS = 100  # of photos, at most; an interval is then 6 percent wide
AGREED = 2  # captions of a photo, at least, that have a word which is measured
KAPPA = 0.4  # agreement on a word is above it: moderate or better (Landis and Koch 1977)
BATCH = 50  # pictures, and captions, at a time
ATTRIBUTES = {"": "shapes", " of colours": "colours"}  # of objects in scenes, by the suffix of their metric


class Named(NamedTuple):
    """A caption of a picture, and the boxes of what its words name."""

    picture: int  # index of its grid
    token_ids: list[int]
    boxes: dict[int, Box]  # by the index of the word


class Outcome(NamedTuple):
    """Whether a word points at what it names."""

    picture: int
    hit: float  # 1 or 0; 0.5 if the best cell is half in the box
    chance: float  # share of the cells that are in the box


class AttentionFunction(AnySize):
    """`grid` and `token_ids` `(batch, target)` -> the attention for each word, `(batch, target, rows, columns)`."""

    shortest: ClassVar = {"token_ids": 8}

    def __init__(self, captioner: Captioner):
        super().__init__()
        self.captioner = captioner

    def call(self, inputs: Mapping[str, Any]) -> Any:
        grid, token_ids = inputs["grid"], inputs["token_ids"]
        batch, rows, columns, _ = ops.shape(grid)
        start = ops.full((batch, 1), WordVocabulary.start_id, token_ids.dtype)
        before = ops.concatenate([start, token_ids[:, :-1]], axis=1)
        _, _, attention = self.captioner.decode(self.captioner.encode(grid), before[:, None])
        return ops.reshape(attention[:, 0, :, :-1], (batch, -1, rows, columns))


def outcome(picture: int, relevance: np.ndarray, box: Box) -> Outcome:
    """What a word with a relevance `(rows, columns)` points at, in a picture with the box of what it names."""
    inside = cells_inside(box, *relevance.shape)
    return Outcome(picture, float(inside.flat[np.argmax(relevance)]), float(inside.mean()))


def cells_inside(box: Box, rows: int, columns: int) -> np.ndarray:
    """1 for cells with their centre in the box, 0.5 for those with it on its edge, `(rows, columns)`."""
    top, left, bottom, right = box
    y, x = ((np.arange(count) + 0.5) / count for count in (rows, columns))
    return np.outer(_within(y, top, bottom), _within(x, left, right))


def _within(values: np.ndarray, start: float, end: float) -> np.ndarray:
    return np.maximum(np.sign(values - start) + np.sign(end - values), 0) / 2


def summary(name: str, outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """The accuracy as a metric of this name, and its interval with chance and the number of words; empty for none."""
    found = list(outcomes)
    if not found:
        return {}
    pictures, hits, chances = np.array(found).T
    _, picture = np.unique(pictures, return_inverse=True)
    totals = drawn(np.stack([np.bincount(picture, hits), np.bincount(picture)], axis=1))
    about = {"chance": round(float(chances.mean()), 4), "words": len(found)}
    return {name: float(hits.mean()), f"{name} interval": middle(totals[:, 0] / totals[:, 1]) | about}


def named_object(record: Mapping[str, Any], attribute: str, word: str) -> Box | None:
    """The box of the only object of a scene whose shape or colour is a word; `attribute` is `shapes` or `colours`."""
    values = record[attribute]
    return record["boxes"][values.index(word)] if values.count(word) == 1 else None


def scene_outcomes(captions: Sequence[Sequence[Caption]], split: Split) -> dict[str, list[Outcome]]:
    """What the attention of words of true captions of scenes peaks at, by the name of the metric."""
    found = {f"pointing{kind}": [] for kind in ATTRIBUTES}
    for picture, (best, record) in enumerate(zip(captions, split.records, strict=True)):
        tokens, attention = best[0].tokens, best[0].attention
        if describes(" ".join(tokens), scene_of(record)):
            for kind, attribute in ATTRIBUTES.items():
                boxes = (named_object(record, attribute, word) for word in tokens)
                pairs = zip(attention, boxes, strict=True)
                found[f"pointing{kind}"] += [outcome(picture, weights, box) for weights, box in pairs if box]
    return found


def named_in_scenes(split: Split, vocabulary: WordVocabulary, attribute: str) -> list[Named]:
    """The captions of scenes, with the boxes of objects that a shape, or a colour, names."""
    named = []
    for picture, record in enumerate(split.records):
        for caption in split.captions[picture]:
            found = ((i, named_object(record, attribute, word)) for i, word in enumerate(vocabulary.words(caption)))
            named.append(Named(picture, vocabulary.encode(caption), {i: box for i, box in found if box}))
    return named


def pairs_of(count: int) -> np.ndarray:
    """Pairs of photos of a split with `count` photos, `(pairs, 2)`, the same whenever it is measured."""
    order = np.random.default_rng(0).permutation(count)[: 2 * PAIRS]
    return order[: len(order) // 2 * 2].reshape(-1, 2)


def agreed_words(captions: Sequence[Sequence[Sequence[int]]]) -> set[int]:
    """The words on which captions of the same photo agree: Fleiss' kappa (1971) is above `KAPPA`.

    With p the probability of a word in a caption, and q that in another caption of a photo of which one has it,
    kappa = (q - p) / (1 - p). `captions` are token ids, `captions[photo][i]`.
    """
    have, others, others_have = Counter[int](), Counter[int](), Counter[int]()
    for of_photo in captions:
        for word, count in Counter(chain.from_iterable(map(set, of_photo))).items():
            have[word] += count
            others[word] += count * (len(of_photo) - 1)
            others_have[word] += count * (count - 1)
    total = sum(map(len, captions))
    p = {word: count / total for word, count in have.items()}
    return {word for word in have if others_have[word] - p[word] * others[word] > KAPPA * (1 - p[word]) * others[word]}


def named_in_pairs(pairs: np.ndarray, captions: Sequence[Sequence[Sequence[int]]], words: set[int]) -> list[Named]:
    """The captions of photos in pairs `(pairs, 2)`, with the half of the picture that telling ones of `words` name.

    `captions` are token ids, `captions[photo][i]`.
    """
    named = []
    for picture, (left, right) in enumerate(pairs):
        for box, own, other in zip(HALVES, (left, right), (right, left), strict=True):
            counts = Counter(i for ids in captions[own] for i in set(ids))
            candidates = words.difference(chain.from_iterable(captions[other]))
            telling = {i for i, count in counts.items() if count >= AGREED and i in candidates}
            for ids in captions[own]:
                named.append(Named(picture, list(ids), {t: box for t, i in enumerate(ids) if i in telling}))
    return named


def grids_of_pairs(split: Split, pairs: np.ndarray, encoder: keras.Model) -> np.ndarray:
    """The grids of pairs of photos side by side, `(pairs, rows, columns, channels)`."""
    grids, size = [], encoder.input_shape[1]
    for start in range(0, len(pairs), BATCH):
        pictures = [_picture(split, pair, size) for pair in pairs[start : start + BATCH]]
        grids.append(encoder.predict_on_batch(np.concatenate(pictures)))
    return np.concatenate(grids)


def _picture(split: Split, pair: np.ndarray, size: int) -> np.ndarray:
    """Two photos side by side, float32 `(1, size, size, 3)`."""
    photos = [np.asarray(prepare(read_image(split.records[int(i)]["image"])[None], size)) for i in pair]
    return np.asarray(prepare(np.concatenate(photos, axis=2), size))


def finder_relevance(finder: Finder, grids: np.ndarray) -> Relevance:
    """How well words fit cells by a finder, in pictures with these grids."""
    of_images, of_texts = ImageFunction(finder, None), TextFunction(finder)
    starts = range(0, len(grids), BATCH)
    cells = [of for start in starts for of in of_images.predict_on_batch(grids[start : start + BATCH])["cells"]]

    def relevance(pictures: Sequence[int], token_ids: np.ndarray) -> np.ndarray:
        words = of_texts.predict_on_batch({"token_ids": token_ids})["words"]
        return np.stack([fit_of(vectors, cells[i]) for vectors, i in zip(words, pictures, strict=True)])

    return relevance


def attention_relevance(captioner: Captioner, grids: np.ndarray) -> Relevance:
    """The attention for words by a captioner that is given them, in pictures with these grids."""
    attention = AttentionFunction(captioner)
    return lambda pictures, token_ids: attention.predict_on_batch({"grid": grids[pictures], "token_ids": token_ids})


def outcomes(named: Sequence[Named], relevance: Relevance) -> Iterator[Outcome]:
    """What the words with boxes point at."""
    kept = [caption for caption in named if caption.boxes]
    for start in range(0, len(kept), BATCH):
        batch = kept[start : start + BATCH]
        maps = relevance([caption.picture for caption in batch], pad([caption.token_ids for caption in batch]))
        for caption, of_words in zip(batch, maps, strict=True):
            yield from (outcome(caption.picture, of_words[i], box) for i, box in caption.boxes.items())


def finder_outcomes(finder: Finder, vocabulary: WordVocabulary, split: Split) -> dict[str, list[Outcome]]:
    """What words of the captions of scenes, with grids, point at by a finder, by the name of the metric."""
    relevance = finder_relevance(finder, split.inputs[:, 0].astype(np.float32))
    named = {kind: named_in_scenes(split, vocabulary, attribute) for kind, attribute in ATTRIBUTES.items()}
    return {f"finder pointing{kind}": list(outcomes(each, relevance)) for kind, each in named.items()}


def photo_outcomes(
    split: Split, run: Run, loaded: LoadedCaptioner, encoder: keras.Sequential, finder: Finder | None
) -> dict[str, list[Outcome]]:
    """What words of pairs of photos point at, by the name of the metric; empty for one photo alone."""
    config, vocabulary, captioner = loaded
    if not len(pairs := pairs_of(len(split.captions))):
        return {}
    token_ids = [[vocabulary.encode(caption) for caption in captions] for captions in split.captions]
    named = named_in_pairs(pairs, token_ids, agreed_words(token_ids) - {vocabulary.unknown_id})
    grids = grids_of_pairs(split, pairs, encoder)
    found = {"pointing": list(outcomes(named, attention_relevance(captioner, grids)))}
    if finder:
        grids = grids_of_pairs(split, pairs, load_fine_encoder(run, config, encoder))
        found["finder pointing"] = list(outcomes(named, finder_relevance(finder, grids)))
    return found


def measure_pointing(
    captions: Sequence[Sequence[Caption]],
    split: Split,
    run: Run,
    loaded: LoadedCaptioner,
    encoder: keras.Sequential,
    finder: Finder | None,
) -> dict[str, Any]:
    """The metrics of a captioner and of its finder, if it has one, on a split with grids.

    `captions` are those of the captioner, and `encoder` is that of the run.
    """
    if "boxes" in split.records[0]:
        found = scene_outcomes(captions, split)
        found |= finder_outcomes(finder, loaded.vocabulary, split) if finder else {}
    else:
        found = photo_outcomes(split, run, loaded, encoder, finder)
    return {name: value for kind, each in found.items() for name, value in summary(kind, each).items()}
