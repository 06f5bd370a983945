"""Metrics of translations by hand, and the tokenizer of BLEU for each language."""

import importlib.util

import pytest

from shared.errors import UserError
from tasks.translator.scoring import (
    Bleu,
    alignment_error_rate,
    bleu_tokenizer,
    copied,
    moses_tokenised,
    translation_scores,
)
from tasks.translator.synthetic import Case


def test_scores_by_hand():
    outputs = ["A dog runs .", "a big red cat is here now ok"]
    scores = translation_scores(outputs, ["A dog runs .", "A big red cat is here now ok"], ["x " * 4, "x " * 9])
    assert scores["exact"] == 0.5
    assert scores["BLEU lower case"] == 100
    assert 80 < scores["BLEU"] < 100
    assert scores["chrF"] < 100
    assert scores["BLEU by length"].keys() == {"1-7", "8-11"}
    assert scores["BLEU by length"]["1-7"] == 100
    assert "tok:13a" in scores["protocol"]


def test_interval_contains_the_score_and_is_0_without_a_match():
    outputs = [f"a b c d e {number}" for number in range(20)]
    scores = translation_scores(outputs, [f"{text} x" if len(text) % 2 else text for text in outputs])
    low, high = map(float, scores["BLEU interval"].split(" to "))
    assert low < scores["BLEU"] < high
    assert translation_scores(["a"], ["b"])["BLEU interval"] == "0.0 to 0.0"


def test_alignment_error_rate_by_hand():
    references = [{(0, 0), (1, 1)}, {(0, 1)}]
    assert alignment_error_rate(references, references) == 0
    assert alignment_error_rate([{(0, 0)}, set()], references) == pytest.approx(0.5)  # 1 - 2 / (1 + 3)
    assert alignment_error_rate([{(0, 0), (2, 2)}, {(0, 1)}], references) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "It's 2:30 p.m., isn\u2019t “it”?", "it &apos;s 2 : 30 p.m. , isn &apos;t &quot; it &quot; ?"),
        ("fra", "L'été  dure 12,50 jours.", "l&apos; été dure 12,50 jours ."),
        ("de", "Ein T-Shirt (rot) & mehr", "ein t-shirt ( rot ) &amp; mehr"),
        ("phones", "K AE1 T", "k ae1 t"),
        ("en", "", ""),
    ],
)
def test_tokens_of_moses(language, text, expected):
    assert moses_tokenised([text], language) == [expected]


def test_bleu_of_tokens_of_moses():
    scores = translation_scores(["Don\u2019t run so fast, Tom!"], ["don't run so fast , tom !"], language="en")
    assert scores["BLEU Moses"] == pytest.approx(100)
    assert scores["BLEU lower case"] < 90
    assert "BLEU Moses" not in translation_scores(["我 去"], ["我 去"], language="zh")


SENTENCES = {
    "cmn": ("zh", ["我今天去学校。", "他们不喜欢下雨天。"]),
    "ja": ("ja-mecab", ["今日は学校へ行きます。", "雨の日は好きではありません。"]),
    "kor": ("ko-mecab", ["오늘 학교에 갑니다.", "비 오는 날을 싫어합니다."]),
    "th": ("char", ["วันนี้ฉันไปโรงเรียน", "พวกเขาไม่ชอบวันฝนตก"]),
    "km": ("char", ["ខ្ញុំទៅសាលារៀន", "ពួកគេមិនចូលចិត្តភ្លៀងទេ"]),
    "hin": ("intl", ["मैं आज स्कूल जाता हूँ।", "उन्हें बारिश पसंद नहीं है।"]),
    "de-AT": ("13a", ["Ich gehe heute zur Schule.", "Sie mögen keinen Regen."]),
}


@pytest.mark.parametrize("language", SENTENCES)
def test_right_output_of_every_language_is_100(language):
    expected, references = SENTENCES[language]
    assert bleu_tokenizer(language, references) == expected
    assert bleu_tokenizer("xx", references) == expected  # by the script, if the language is not named
    scores = translation_scores(references, references, language=language)
    assert scores["BLEU"] == scores["BLEU lower case"] == scores["chrF"] == 100
    is_installed = not expected.endswith("mecab") or importlib.util.find_spec("MeCab") is not None
    assert f"tok:{expected if is_installed else 'char'}" in scores["protocol"]
    assert (f"{expected} is not installed" in scores["protocol"]) == (not is_installed)
    wrong = translation_scores([text[: len(text) // 2] for text in references], references, language=language)
    assert wrong["BLEU"] < 60


def test_a_tokenizer_that_is_asked_for(monkeypatch):
    assert "tok:intl" in translation_scores(["a b c d"], ["a b c d"], language="zh", tokenizer="intl")["protocol"]

    def fail(name, lowercase):
        raise RuntimeError("Please\ninstall")

    monkeypatch.setattr("tasks.translator.scoring._bleu", fail)
    with pytest.raises(UserError, match="ja-mecab is not installed: pip install"):
        Bleu("ja", ["a"], "ja-mecab")


def test_what_is_copied_by_kind():
    cases = [Case("number", "x 5", ("5",)), Case("number", "x 6", ("6",)), Case("name", "Kai", ("Kai",))]
    assert copied(cases, ["a 5", "a 16", "Kai!"]) == {"all": 0.6667, "number": 0.5, "name": 1.0}
