"""Caption metrics: BLEU-1..4, ROUGE-L and CIDEr-D by the formulas of coco-caption, novelty and variety.

The metrics take tokens: one hypothesis is a list of words, one image has a list of such references. `caption_scores`
takes captions as text, tokenizes both sides with `caption_tokens` and returns all numbers of `CAPTION_PROTOCOL`. The
tests hold every formula against pycocoevalcap.

Sources: BLEU, Papineni et al. 2002, section 2; ROUGE-L, Lin 2004, section 3; CIDEr-D, Vedantam et al. 2015, section 3
and the appendix on CIDEr-D; coco-caption, Chen et al. 2015, section 3.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

CAPTION_PROTOCOL = "lower case, punctuation removed, coco-caption formulas"

Tokens = Sequence[str]
Ngram = tuple[str, ...]

MAX_ORDER = 4  # n-grams of 1 to 4 words, in BLEU and in CIDEr alike
ROUGE_BETA = 1.2  # weight of recall over precision
CIDER_SIGMA = 6.0  # words by which a length may differ before the penalty bites
CIDER_SCALE = 10.0  # coco-caption multiplies by ten; the result is still quoted as if 1.0 were 100 %

# The Penn Treebank splits that captions meet: clitics leave their word ("man 's", "do n't"), hyphens stay inside it,
# sums and fractions stay whole, every other sign stands alone.
_CLITIC = r"(?:n't|'(?:s|m|d|re|ll|ve))(?!\w)"
_CAPTION_TOKEN = re.compile(
    rf"""{_CLITIC}
    | \d+(?:[.,:/]\d+)+                      # 1,000  3.5  10:30  1/2
    | (?:[^\W\d_]\.){{2,}}                   # u.s.
    | \w(?:-?(?!{_CLITIC})\w)*
    | \S""",
    re.VERBOSE,
)


def caption_tokens(text: str) -> list[str]:
    """A caption as the words that count: lower case, Penn Treebank splits, punctuation dropped, as coco-caption does.

    >>> caption_tokens("A man's T-shirt, (red) isn't clean.")
    ['a', 'man', "'s", 't-shirt', 'red', 'is', "n't", 'clean']
    """
    text = unicodedata.normalize("NFC", text).lower().replace("\u2019", "'")
    return [token for token in _CAPTION_TOKEN.findall(text) if any(map(str.isalnum, token)) or token in "$%&#+="]


def bleu(hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> list[float]:
    """Corpus BLEU-1 to BLEU-4 in 0..1, not smoothed; the brevity penalty takes each reference length closest by words.

    Of two lengths equally close the shorter counts, as in coco-caption.
    """
    _check_paired(hypotheses, references)
    matched, proposed = [0] * MAX_ORDER, [0] * MAX_ORDER
    hypothesis_length = reference_length = 0
    for hypothesis, image_references in zip(hypotheses, references, strict=True):
        ceiling: Counter[Ngram] = Counter()
        for reference in image_references:
            ceiling |= _ngrams(reference)
        for ngram, count in _ngrams(hypothesis).items():
            matched[len(ngram) - 1] += min(count, ceiling[ngram])
        length = len(hypothesis)
        for order in range(MAX_ORDER):
            proposed[order] += max(0, length - order)
        hypothesis_length += length
        reference_length += min((abs(len(reference) - length), len(reference)) for reference in image_references)[1]

    # The two small numbers are coco-caption's: nothing proposed gives 0, not a division by zero.
    precisions = [(m + 1e-15) / (p + 1e-9) for m, p in zip(matched, proposed, strict=True)]
    ratio = (hypothesis_length + 1e-15) / (reference_length + 1e-9)
    brevity_penalty = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0
    return [brevity_penalty * math.prod(precisions[:n]) ** (1 / n) for n in range(1, MAX_ORDER + 1)]


def rouge_l(hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> float:
    """Mean ROUGE-L in 0..1: F-measure of the longest common subsequence, best precision and recall over references."""
    _check_paired(hypotheses, references)
    scores = []
    for hypothesis, image_references in zip(hypotheses, references, strict=True):
        common = [_common_subsequence_length(hypothesis, reference) for reference in image_references]
        precision = max(common) / max(1, len(hypothesis))
        recall = max(c / max(1, len(reference)) for c, reference in zip(common, image_references, strict=True))
        weight = ROUGE_BETA**2
        scores.append(
            (1 + weight) * precision * recall / (recall + weight * precision) if precision and recall else 0.0
        )
    return float(np.mean(scores))


class CiderD:
    """CIDEr-D against references that stay the same while hypotheses change: every epoch, every sampled caption.

    Document frequencies are those of the given references (one image is one document), as in coco-caption; with a
    single image every n-gram is in every document and all scores are 0. Scores are on coco-caption's scale, where 1.0
    is quoted as 100 and the ceiling is 10.

    Args:
        references: for each image a list of references, each a list of words.
    """

    def __init__(self, references: Sequence[Sequence[Tokens]]) -> None:
        _check_references(references)
        counted = [[_ngrams(reference) for reference in image_references] for image_references in references]
        documents = Counter(ngram for counts in counted for ngram in set().union(*counts))
        self._unseen_idf = math.log(len(references))
        self._idf = {ngram: self._unseen_idf - math.log(frequency) for ngram, frequency in documents.items()}
        self._references = [
            [_CiderVector(counts, self._idf, self._unseen_idf) for counts in image] for image in counted
        ]

    def __len__(self) -> int:
        """Number of images."""
        return len(self._references)

    def score(self, hypotheses: Sequence[Tokens]) -> tuple[float, np.ndarray]:
        """The corpus mean, and the score of each image as float64 `(images,)`; one hypothesis per image, in order."""
        if len(hypotheses) != len(self):
            raise ValueError(f"Expected one hypothesis for each of the {len(self)} images. Received: {len(hypotheses)}")
        scores = self.score_indexed(range(len(self)), hypotheses)
        return float(scores.mean()), scores

    def score_indexed(self, indices: Iterable[int], hypotheses: Iterable[Tokens]) -> np.ndarray:
        """Score of each hypothesis against the image at the same place in `indices`, as float64 `(hypotheses,)`.

        An image may appear any number of times: several samples of one image are rewards of self-critical training.
        """
        pairs = zip(indices, hypotheses, strict=True)
        return np.array([self._score_one(self._references[index], tokens) for index, tokens in pairs], np.float64)

    def _score_one(self, references: Sequence[_CiderVector], tokens: Tokens) -> float:
        hypothesis = _CiderVector(_ngrams(tokens), self._idf, self._unseen_idf)
        return CIDER_SCALE * sum(map(hypothesis.similarity, references)) / len(references)


class _CiderVector:
    """The tf-idf weights of one sentence, their norm per order of n-gram, and the sentence's length."""

    __slots__ = ("length", "norms", "weights")

    def __init__(self, counts: Counter[Ngram], idf: Mapping[Ngram, float], unseen_idf: float) -> None:
        self.weights = {ngram: count * idf.get(ngram, unseen_idf) for ngram, count in counts.items()}
        squares = [0.0] * MAX_ORDER
        self.length = 0  # counted in bigrams, as in coco-caption
        for ngram, weight in self.weights.items():
            squares[len(ngram) - 1] += weight * weight
            if len(ngram) == 2:
                self.length += counts[ngram]
        self.norms = [math.sqrt(square) for square in squares]

    def similarity(self, reference: _CiderVector) -> float:
        """Clipped cosine, mean over orders, times the length penalty; not symmetric, `self` is the hypothesis."""
        products = [0.0] * MAX_ORDER
        theirs = reference.weights
        for ngram, weight in self.weights.items():
            if (other := theirs.get(ngram)) is not None:
                products[len(ngram) - 1] += min(weight, other) * other
        cosines = [p / (a * b) for p, a, b in zip(products, self.norms, reference.norms, strict=True) if a and b]
        penalty = math.exp(-((self.length - reference.length) ** 2) / (2 * CIDER_SIGMA**2))
        return penalty * sum(cosines) / MAX_ORDER


def novelty(hypotheses: Sequence[str], training_captions: Iterable[str]) -> float:
    """Share of hypotheses that no training caption says in the same words, after `caption_tokens`."""
    if not hypotheses:
        raise ValueError("Expected at least one hypothesis. Received: none")
    seen = {tuple(caption_tokens(caption)) for caption in training_captions}
    return sum(tuple(caption_tokens(hypothesis)) not in seen for hypothesis in hypotheses) / len(hypotheses)


def distinct(hypotheses: Sequence[str]) -> float:
    """Number of different captions over the number of captions, after `caption_tokens`; 1 / n: one caption for all."""
    if not hypotheses:
        raise ValueError("Expected at least one hypothesis. Received: none")
    return len({tuple(caption_tokens(hypothesis)) for hypothesis in hypotheses}) / len(hypotheses)


def caption_scores(
    hypotheses: Mapping[Any, str] | Sequence[str],
    references: Mapping[Any, Sequence[str]] | Sequence[Sequence[str]],
) -> dict[str, float]:
    """`BLEU-1` to `BLEU-4`, `ROUGE-L` and `CIDEr-D` of captions as text, by `CAPTION_PROTOCOL`.

    Either two sequences in the same order, or two mappings with the same keys (image names).
    """
    if isinstance(hypotheses, Mapping) != isinstance(references, Mapping):
        raise ValueError("Expected two mappings or two sequences. Received: one of each")
    if isinstance(hypotheses, Mapping) and isinstance(references, Mapping):
        if hypotheses.keys() != references.keys():
            odd = sorted(map(repr, hypotheses.keys() ^ references.keys()))[:3]
            raise ValueError(f"Expected the same images on both sides. Received on one side only: {', '.join(odd)}")
        images = list(references)
        hypotheses, references = [hypotheses[i] for i in images], [references[i] for i in images]
    tokens = [caption_tokens(hypothesis) for hypothesis in hypotheses]
    reference_tokens = [[caption_tokens(reference) for reference in image] for image in references]
    scores = {f"BLEU-{n}": score for n, score in enumerate(bleu(tokens, reference_tokens), start=1)}
    scores["ROUGE-L"] = rouge_l(tokens, reference_tokens)
    scores["CIDEr-D"], _ = CiderD(reference_tokens).score(tokens)
    return scores


def _ngrams(tokens: Tokens) -> Counter[Ngram]:
    return Counter(
        ngram for order in range(1, MAX_ORDER + 1) for ngram in zip(*(tokens[i:] for i in range(order)), strict=False)
    )


def _common_subsequence_length(a: Tokens, b: Tokens) -> int:
    """Bit-parallel (Hyyrö 2004): a zero at bit i of `row` says that the length grows at a[i]."""
    positions: dict[str, int] = {}
    for i, token in enumerate(a):
        positions[token] = positions.get(token, 0) | 1 << i
    ones = (1 << len(a)) - 1
    row = ones
    for token in b:
        matches = row & positions.get(token, 0)
        row = (row + matches | row - matches) & ones
    return len(a) - row.bit_count()


def _check_paired(hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> None:
    if len(hypotheses) != len(references):
        raise ValueError(f"Expected as many hypotheses as images. Received: {len(hypotheses)} and {len(references)}")
    _check_references(references)


def _check_references(references: Sequence[Sequence[Tokens]]) -> None:
    if not len(references):
        raise ValueError("Expected at least one image. Received: none")
    for index, image_references in enumerate(references):
        if not len(image_references):
            raise ValueError(f"Expected at least one reference for each image. Received: none for image {index}")
