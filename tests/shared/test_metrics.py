"""Caption metrics against pycocoevalcap and values by hand."""

import contextlib
import io
import math
import random

import numpy as np
import pytest

from shared.metrics import CiderD, bleu, caption_scores, caption_tokens, distinct, novelty, rouge_l

SENTENCES = [
    "a brown dog runs across the green grass",
    "the dog is running through a field of grass",
    "a dog with a red collar runs",
    "two children play on a red slide in the park",
    "a girl and a boy slide down together",
    "kids having fun at a playground in the sun on a warm day",
    "a man rides a bicycle down a steep hill",
    "cyclist in a blue helmet on a mountain trail",
    "a person on a bike",
    "the the the the the",
]


def corpus(seed: int, images: int, references: tuple[int, int]) -> tuple[list[list[str]], list[list[list[str]]]]:
    """Parts of joined sentences, so that n-grams repeat and lengths differ; some hypotheses are empty."""
    random_ = random.Random(seed)

    def sentence() -> list[str]:
        words = (random_.choice(SENTENCES) + " " + random_.choice(SENTENCES)).split()
        start = random_.randrange(len(words) - 1)
        return words[start : start + random_.randint(1, 13)]

    refs = [[sentence() for _ in range(random_.randint(*references))] for _ in range(images)]
    hyps = [random_.choice(image)[: random_.randint(0, 9)] + sentence()[:2] for image in refs]
    for index in random_.sample(range(images), images // 5):
        hyps[index] = []
    return hyps, refs


def words(text: str) -> list[str]:
    return text.split()


def coco_scores(hyps, refs):
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    truth = {i: [" ".join(reference) for reference in image] for i, image in enumerate(refs)}
    guess = {i: [" ".join(hypothesis)] for i, hypothesis in enumerate(hyps)}
    with contextlib.redirect_stdout(io.StringIO()):
        return (
            Bleu(4).compute_score(truth, guess)[0],
            Rouge().compute_score(truth, guess)[0],
            Cider().compute_score(truth, guess),
        )


@pytest.mark.parametrize(
    ("seed", "images", "references"),
    [(0, 23, (1, 1)), (1, 17, (5, 5)), (2, 31, (1, 6)), (3, 2, (3, 3)), (4, 1, (4, 4))],
    ids=["one reference", "five references", "one to six", "two images", "one image"],
)
def test_equals_pycocoevalcap(seed, images, references):
    hyps, refs = corpus(seed, images, references)
    coco_bleu, coco_rouge, (coco_cider, coco_ciders) = coco_scores(hyps, refs)
    np.testing.assert_allclose(bleu(hyps, refs), coco_bleu, rtol=1e-9, atol=1e-12)
    assert rouge_l(hyps, refs) == pytest.approx(coco_rouge, abs=1e-12)
    mean, scores = CiderD(refs).score(hyps)
    np.testing.assert_allclose(scores, coco_ciders, rtol=1e-9, atol=1e-12)
    assert mean == pytest.approx(coco_cider, abs=1e-12)


def test_equals_pycocoevalcap_when_every_hypothesis_is_empty():
    _, refs = corpus(5, 7, (2, 3))
    hyps: list[list[str]] = [[] for _ in refs]
    coco_bleu, coco_rouge, (coco_cider, _) = coco_scores(hyps, refs)
    assert bleu(hyps, refs) == pytest.approx(coco_bleu, abs=1e-12)
    assert rouge_l(hyps, refs) == coco_rouge == 0
    assert CiderD(refs).score(hyps)[0] == coco_cider == 0


def test_bleu_by_hand_clips_counts_and_uses_the_closest_length():
    # Papineni et al. 2002, example 2: 2 of 7 "the" count. Reference lengths 6 and 7, so no brevity penalty.
    hypothesis = ["the"] * 7
    refs = [words("the cat is on the mat"), words("there is a cat on the mat")]
    scores = bleu([hypothesis], [refs])
    assert scores[0] == pytest.approx(2 / 7)
    assert scores[1] == pytest.approx(0, abs=1e-6)
    # References of 3 and 1 words are equally close to 2; the shorter counts, so no penalty.
    assert bleu([["a", "b"]], [[["a", "b", "c"], ["a"]]])[0] == pytest.approx(1)
    assert bleu([["a", "b"]], [[["a", "b", "c"]]])[0] == pytest.approx(math.exp(1 - 3 / 2))


def test_rouge_l_by_hand():
    # Longest common subsequence "police the gunman": 3 of 4 and 3 of 5.
    hypothesis, reference = words("police kill the gunman"), words("police ended up the gunman")
    precision, recall, weight = 3 / 4, 3 / 5, 1.2**2
    expected = (1 + weight) * precision * recall / (recall + weight * precision)
    assert rouge_l([hypothesis], [[reference]]) == pytest.approx(expected)
    assert rouge_l([["a"]], [[[]]]) == 0


def test_cider_of_the_only_reference_is_ten_and_of_unknown_words_is_zero():
    refs = [[words("a b c d e")], [words("f g h i j k")], [words("l m n o")]]
    mean, scores = CiderD(refs).score([words("a b c d e"), words("x y z w v u"), []])
    np.testing.assert_allclose(scores, [10, 0, 0])
    assert mean == pytest.approx(10 / 3)


def test_indexed_scores_are_the_scores_of_the_images():
    hyps, refs = corpus(6, 19, (2, 4))
    cider = CiderD(refs)
    _, scores = cider.score(hyps)
    order = [3, 3, 0, 18, 7]
    np.testing.assert_array_equal(cider.score_indexed(order, [hyps[i] for i in order]), scores[order])
    assert len(cider) == 19
    with pytest.raises(ValueError, match=r"each of the 19 images\. Received: 2"):
        cider.score(hyps[:2])


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("A man's T-shirt, (red) isn't clean.", "a man 's t-shirt red is n't clean"),
        ("They\u2019re 1,000 dogs -- 3.5 feet tall!", "they 're 1,000 dogs 3.5 feet tall"),
        ('"Stop", said the dogs\' owner ; it costs $ 5 .', "stop said the dogs owner it costs $ 5"),
        ("two-\nlines\t and U.S. flags", "two lines and u.s. flags"),
        ("Ein Mädchen läuft über die Straße.", "ein mädchen läuft über die straße"),
        ("Ma\u0308dchen", "mädchen"),
        ("एक कुत्ता हिम-पथ पर है।", "एक कुत्ता हिम-पथ पर है"),
        ("\u0130stanbul'un k\u00f6pe\u011fi \u2764\ufe0f", "i\u0307stanbul un köpeği"),
        ("... -- !", ""),
        ("", ""),
    ],
)
def test_caption_tokens(text, tokens):
    assert caption_tokens(text) == tokens.split()


def test_caption_tokens_takes_linear_time():
    assert caption_tokens("a" + "-" * 300_000) == ["a"]
    assert len(caption_tokens("n't" * 100_000)) == 100_001
    assert caption_tokens("-a" * 100_000) == ["a" + "-a" * 99_999]


def test_novelty_and_distinct():
    captions = ["A dog runs.", "a dog runs", "a cat sits", "a bird flies"]
    assert distinct(captions) == 3 / 4
    assert novelty(captions, ["A dog runs!", "two cats sit"]) == 2 / 4
    with pytest.raises(ValueError, match="at least one hypothesis"):
        distinct([])


def test_caption_scores():
    hypotheses = ["A dog runs fast.", "a cat sits on a mat"]
    references = [["a dog runs very fast"], ["A cat sits on the mat!", "The cat sat."]]
    scores = caption_scores(hypotheses, references)
    assert list(scores) == ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr-D"]
    tokens, reference_tokens = (
        [caption_tokens(text) for text in hypotheses],
        [[*map(caption_tokens, r)] for r in references],
    )
    assert scores["BLEU-4"] == bleu(tokens, reference_tokens)[3]
    assert scores["CIDEr-D"] == CiderD(reference_tokens).score(tokens)[0]
    with pytest.raises(ValueError, match="none for image 1"):
        caption_scores(["a", "b"], [["a"], []])
    with pytest.raises(ValueError, match="Received: 1 and 2"):
        bleu([["a"]], [[["a"]], [["b"]]])
