"""Caption metrics: BLEU-1..4, ROUGE-L and CIDEr-D as in coco-caption; novelty; fraction of distinct captions.

The metrics take tokens: a hypothesis is a list of words, an image has a list of such references. `caption_scores` takes
text and applies `CAPTION_PROTOCOL`. They raise ValueError if the numbers of images differ or an image has no reference.
The tests compare every formula with pycocoevalcap.

Sources: BLEU, Papineni et al. 2002, section 2; ROUGE-L, Lin 2004, section 3; CIDEr-D, Vedantam et al. 2015, section 3
and the appendix on CIDEr-D; coco-caption, Chen et al. 2015, section 3.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from shared.errors import check_list
from shared.letters import LETTERS, MARKS, compiled

CAPTION_PROTOCOL = "lower case, punctuation removed, coco-caption formulas"

Tokens = Sequence[str]
References = Sequence[Sequence[Tokens]]  # of each image
Ngram = tuple[str, ...]

MAX_ORDER = 4  # n-grams of 1 to 4 words, in BLEU and CIDEr
ROUGE_BETA = 1.2  # weight of recall over precision
CIDER_SIGMA = 6.0  # standard deviation of the length penalty, in words
CIDER_SCALE = 10.0  # as in coco-caption, where 1.0 is quoted as 100 %

# Penn Treebank rules that apply to captions: clitics are split off ("man 's", "do n't"), hyphenated words, amounts and
# fractions are one token, every other punctuation mark is a token.
_CLITIC = rf"(?:n't|'(?:s|m|d|re|ll|ve))(?![{LETTERS}{MARKS}])"
_CAPTION_TOKEN = rf"""(?x){_CLITIC}
    | \d+(?:[.,:/]\d+)+                      # 1,000  3.5  10:30  1/2
    | (?:\p{{L}}\.){{2,}}                     # u.s.
    | [{LETTERS}](?:-?(?!{_CLITIC})[{LETTERS}{MARKS}])*
    | \S"""


def caption_tokens(text: str) -> list[str]:
    """Split a caption into lower-case Penn Treebank tokens without punctuation, as coco-caption does.

    >>> caption_tokens("A man's T-shirt, (red) isn't clean.")
    ['a', 'man', "'s", 't-shirt', 'red', 'is', "n't", 'clean']
    """
    text = unicodedata.normalize("NFC", text).lower().replace("\u2019", "'")
    tokens = compiled(_CAPTION_TOKEN).findall(text)
    return [token for token in tokens if any(map(str.isalnum, token)) or token in "$%&#+="]


def bleu(hypotheses: Sequence[Tokens], references: References) -> list[float]:
    """Corpus BLEU-1 to BLEU-4 in 0..1, without smoothing.

    The brevity penalty uses the closest reference length, the shorter of two equally close ones, as in coco-caption.
    """
    _check_images(references, hypotheses)
    matched, proposed = [0] * MAX_ORDER, [0] * MAX_ORDER
    hypothesis_length = reference_length = 0
    for hypothesis, image_references in zip(hypotheses, references, strict=True):
        max_counts: Counter[Ngram] = Counter()
        for reference in image_references:
            max_counts |= _ngrams(reference)
        for ngram, count in _ngrams(hypothesis).items():
            matched[len(ngram) - 1] += min(count, max_counts[ngram])
        length = len(hypothesis)
        for order in range(MAX_ORDER):
            proposed[order] += max(0, length - order)
        hypothesis_length += length
        reference_length += min((abs(len(reference) - length), len(reference)) for reference in image_references)[1]

    # coco-caption's constants; with them no proposed n-grams give 0.
    precisions = [(m + 1e-15) / (p + 1e-9) for m, p in zip(matched, proposed, strict=True)]
    ratio = (hypothesis_length + 1e-15) / (reference_length + 1e-9)
    brevity_penalty = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0
    return [brevity_penalty * math.prod(precisions[:n]) ** (1 / n) for n in range(1, MAX_ORDER + 1)]


def rouge_l(hypotheses: Sequence[Tokens], references: References) -> float:
    """Mean ROUGE-L in 0..1: F-measure of the longest common subsequence, best precision and recall over references."""
    _check_images(references, hypotheses)
    scores, weight = [], ROUGE_BETA**2
    for hypothesis, image_references in zip(hypotheses, references, strict=True):
        common = [_common_subsequence_length(hypothesis, reference) for reference in image_references]
        precision = max(common) / max(1, len(hypothesis))
        recall = max(c / max(1, len(reference)) for c, reference in zip(common, image_references, strict=True))
        is_zero = not precision or not recall
        scores.append(0.0 if is_zero else (1 + weight) * precision * recall / (recall + weight * precision))
    return float(np.mean(scores))


class CiderD:
    """CIDEr-D of changing hypotheses against fixed references.

    Document frequencies come from the references (one image is one document), as in coco-caption; with a single image
    all scores are 0. Scores are on coco-caption's scale: at most 10, and 1.0 is quoted as 100.
    """

    def __init__(self, references: References) -> None:
        _check_images(references)
        counted = [[_ngrams(reference) for reference in image_references] for image_references in references]
        documents = Counter(ngram for counts in counted for ngram in set().union(*counts))
        self._unseen_idf = math.log(len(references))
        self._idf = {ngram: self._unseen_idf - math.log(frequency) for ngram, frequency in documents.items()}
        self._references = [
            [_CiderVector(counts, self._idf, self._unseen_idf) for counts in image] for image in counted
        ]

    def __len__(self) -> int:
        """The number of images."""
        return len(self._references)

    def score(self, hypotheses: Sequence[Tokens]) -> tuple[float, np.ndarray]:
        """The corpus mean, and the score of each image as float64 `(images,)`, of one hypothesis per image in order."""
        if len(hypotheses) != len(self):
            raise ValueError(f"Expected one hypothesis for each of the {len(self)} images. Received: {len(hypotheses)}")
        scores = self.score_indexed(range(len(self)), hypotheses)
        return float(scores.mean()), scores

    def score_indexed(self, indices: Iterable[int], hypotheses: Iterable[Tokens]) -> np.ndarray:
        """The score of each hypothesis against the image of its index, as float64 `(hypotheses,)`.

        Indices may repeat: self-critical training scores several samples of an image.
        """
        pairs = zip(indices, hypotheses, strict=True)
        return np.array([self._score_one(self._references[index], tokens) for index, tokens in pairs], np.float64)

    def _score_one(self, references: Sequence[_CiderVector], tokens: Tokens) -> float:
        hypothesis = _CiderVector(_ngrams(tokens), self._idf, self._unseen_idf)
        return CIDER_SCALE * sum(map(hypothesis.similarity, references)) / len(references)


class _CiderVector:
    """The tf-idf weights of a sentence, their norm per n-gram order, and the length of the sentence."""

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
        """Clipped cosine, averaged over orders, times the length penalty; `self` is the hypothesis."""
        products = [0.0] * MAX_ORDER
        for ngram, weight in self.weights.items():
            if (other := reference.weights.get(ngram)) is not None:
                products[len(ngram) - 1] += min(weight, other) * other
        cosines = [p / (a * b) for p, a, b in zip(products, self.norms, reference.norms, strict=True) if a and b]
        penalty = math.exp(-((self.length - reference.length) ** 2) / (2 * CIDER_SIGMA**2))
        return penalty * sum(cosines) / MAX_ORDER


def novelty(hypotheses: Sequence[str], training_captions: Iterable[str]) -> float:
    """The fraction of hypotheses whose `caption_tokens` equal those of no training caption."""
    if not hypotheses:
        raise ValueError("Expected at least one hypothesis. Received: none")
    seen = {tuple(caption_tokens(caption)) for caption in training_captions}
    return sum(tuple(caption_tokens(hypothesis)) not in seen for hypothesis in hypotheses) / len(hypotheses)


def distinct(hypotheses: Sequence[str]) -> float:
    """The number of different `caption_tokens` over the number of captions."""
    if not hypotheses:
        raise ValueError("Expected at least one hypothesis. Received: none")
    return len({tuple(caption_tokens(hypothesis)) for hypothesis in hypotheses}) / len(hypotheses)


def caption_scores(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """`BLEU-1` to `BLEU-4`, `ROUGE-L` and `CIDEr-D` of captions under `CAPTION_PROTOCOL`, in the order of images.

    Raises ListError for a text where a list of them is meant.
    """
    for texts in (hypotheses, references, *references):
        check_list(texts, "captions")
    tokens = [caption_tokens(hypothesis) for hypothesis in hypotheses]
    reference_tokens = [[caption_tokens(reference) for reference in image] for image in references]
    scores = {f"BLEU-{n}": score for n, score in enumerate(bleu(tokens, reference_tokens), start=1)}
    scores["ROUGE-L"] = rouge_l(tokens, reference_tokens)
    scores["CIDEr-D"], _ = CiderD(reference_tokens).score(tokens)
    return scores


def _ngrams(tokens: Tokens) -> Counter[Ngram]:
    orders = (zip(*(tokens[i:] for i in range(order)), strict=False) for order in range(1, MAX_ORDER + 1))
    return Counter(ngram for ngrams in orders for ngram in ngrams)


def _common_subsequence_length(a: Tokens, b: Tokens) -> int:
    """Bit-parallel (Hyyrö 2004): bit i of `row` is 0 where the length grows at a[i]."""
    positions: dict[str, int] = {}
    for i, token in enumerate(a):
        positions[token] = positions.get(token, 0) | 1 << i
    ones = (1 << len(a)) - 1
    row = ones
    for token in b:
        matches = row & positions.get(token, 0)
        row = (row + matches | row - matches) & ones
    return len(a) - row.bit_count()


def _check_images(references: References, hypotheses: Sequence[Tokens] | None = None) -> None:
    if hypotheses is not None and len(hypotheses) != len(references):
        raise ValueError(f"Expected one hypothesis per image. Received: {len(hypotheses)} and {len(references)}")
    if not len(references):
        raise ValueError("Expected at least one image. Received: none")
    for index, image_references in enumerate(references):
        if not len(image_references):
            raise ValueError(f"Expected at least one reference for each image. Received: none for image {index}")
