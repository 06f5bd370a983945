"""How words may be said: dictionaries, numbers, abbreviations, spelling."""

import random

import pytest

from datasets import CorpusError, cmudict
from datasets.cmudict import load_dictionary, read_dictionary
from datasets.pronunciation import Pronouncer
from datasets.spoken_forms import tokens
from tests.datasets.conftest import WORDS

pytestmark = pytest.mark.usefixtures("dictionary")


def said(pronouncer, text):
    words, missing, _ = pronouncer(text)
    return [(word.text, [" ".join(phones) for phones in word.pronunciations]) for word in words], missing


def test_words_have_all_pronunciations_of_the_dictionary():
    assert said(Pronouncer(), "A well-known ice-cream, it\u2019s!") == (
        [
            ("A", ["ah", "ey"]),
            ("well-known", ["w eh l n ow n"]),
            ("ice-cream", ["ay s k r iy m"]),
            ("it's", ["ih t s"]),
        ],
        [],
    )
    assert said(Pronouncer(), "zyx 'Ice'") == ([("Ice", ["ay s"])], ["zyx"])
    assert said(Pronouncer(), "") == ([], [])


def test_words_are_whole_whatever_their_characters():
    """Decomposed accents, soft hyphens, joiners of width zero, and other apostrophes."""
    text = "cafe\u0301 co\u00adoperate it\u02bcs o\u2018clock zero\u200bwidth"
    assert [word for word, _ in tokens(text)] == ["caf\u00e9", "cooperate", "it's", "o'clock", "zerowidth"]


def test_marks_are_no_words():
    assert [word for word, _ in tokens("[noise] hello <unk> there [1] (laughs) 2 < 3")] == [
        "hello", "there", "1", "laughs", "2", "3"
    ]  # fmt: skip


def test_numbers_and_letters_are_spelled_out():
    words, missing = said(Pronouncer(), "42 A.B. B2")
    assert words == [("42", ["f ao r t iy t uw"]), ("A.B", ["ey b iy"]), ("B2", ["b iy t uw"])]
    assert missing == []


@pytest.mark.parametrize(
    ("text", "forms"),
    [
        ("1984", ["nineteen eighty four", "one thousand nine hundred eighty four",
                  "one thousand nine hundred and eighty four", "one nine eight four"]),
        ("1905", ["nineteen oh five"]),
        ("1900", ["nineteen hundred"]),
        ("2005", ["two thousand five", "two thousand and five"]),
        ("1,000", ["one thousand"]),
        ("3.14", ["three point one four"]),
        ("007", ["zero zero seven", "oh oh seven"]),
        ("2nd", ["second"]),
        ("121st", ["one hundred twenty first", "one hundred and twenty first"]),
        ("1990s", ["nineteen nineties"]),
        ("$5.50", ["five dollars fifty", "five dollars and fifty cents"]),
        ("\u00a31", ["one pound"]),
        ("$3 million", ["three million dollars"]),
        ("00.5", ["zero zero point five"]),
        ("$01.5", ["zero one point five dollars"]),
        ("1111111111111111.7", [f"{'one ' * 16}point seven"]),
        ("&", ["and"]),
    ],
)  # fmt: skip
def test_what_is_not_a_word_has_the_forms_in_which_it_is_said(text, forms):
    ((written, found),) = tokens(text)
    assert written == text
    assert [" ".join(form) for form in found][: len(forms)] == forms


def test_no_text_is_an_error():
    """Dates, digits that are raised or of other scripts, spaces that do not break, and a long s."""
    said = {
        "on 01.02.2024": 3,
        "10\u00b2": 1,
        "1990\u00b9": 1,
        "\u2460": 1,
        "$5\u00a0million": 1,
        "\u0663": 1,
        "10\u017f": 1,
    }
    texts = [*said]
    rng = random.Random(0)
    alphabet = "0123456789.,$\u20ac sthndr'-%\u00b2\u2076\u2460\u00a0\u0661\u0967\u017f"
    texts += ["".join(rng.choices(alphabet, k=12)) for _ in range(300)]
    found = Pronouncer(spell=lambda words: [[("s",)] for _ in words]).all(texts)
    assert [len(each.words) for each in found[: len(said)]] == [*said.values()]


def test_a_dictionary_of_ones_own_replaces_words_and_adds_some(tmp_path):
    path = tmp_path / "own.dict"
    path.write_text("\ufeffIce 0.7 IY1 S\nice\t0.2 1.0\tAY S\nzyx Z IH K S\n", encoding="utf-8")
    words, missing = said(Pronouncer(path), "zyx ice cream")
    assert words == [("zyx", ["z ih k s"]), ("ice", ["iy s", "ay s"]), ("cream", ["k r iy m"])]
    assert missing == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("ice AY S\ndream D R QQ M", "line 2: dream has the phone QQ, which is unknown; one of ARPAbet's 39"),
        ("ice", "line 1: ice has no phones"),
        ("", "no pronunciation in it"),
    ],
)
def test_a_dictionary_that_is_none_is_refused(tmp_path, content, message):
    (tmp_path / "own.dict").write_text(content)
    with pytest.raises(CorpusError, match=message):
        read_dictionary(tmp_path / "own.dict")


@pytest.mark.parametrize("phone", ["QQ", "AH3", "A0H", "SIL", "0"])
def test_a_phone_that_does_not_exist_is_an_error_with_file_and_line(dictionary, phone):
    dictionary.write_text(f"{WORDS}dream D R {phone} M\n")
    with pytest.raises(CorpusError) as caught:
        load_dictionary()
    assert str(caught.value).startswith(
        f"{dictionary}: line 10: dream has the phone {phone}, which is unknown; one of "
    )


def test_words_that_no_dictionary_has_are_spelled_together():
    asked = []

    def spell(words):
        asked.append(list(words))
        return [[tuple(word)] if word.isascii() else [] for word in words]

    first, second = Pronouncer(spell=spell).all(["bob ice \u043d\u0435\u0442", "bob's NTK"])
    assert asked == [["bob", "bob's", "ntk", "\u043d\u0435\u0442"]]
    assert [word.pronunciations for word in first.words] == [(("b", "o", "b"),), (("ay", "s"),)]
    assert (first.missing, first.spelled) == (["\u043d\u0435\u0442"], ["bob"])
    assert second.words[1].pronunciations == (("eh", "n", "t", "iy", "k", "ey"), ("n", "t", "k"))


def test_a_missing_dictionary_is_an_error_with_its_url_unless_words_are_spelled(monkeypatch):
    cmudict.load_dictionary.cache_clear()
    monkeypatch.delenv("QUATRAIN_DATA", raising=False)
    with pytest.raises(CorpusError, match=r"is not in \$QUATRAIN_DATA/cmudict; get it from https://\S+"):
        Pronouncer()
    assert said(Pronouncer(spell=lambda words: [[("z",)] for _ in words]), "ice") == ([("ice", ["z"])], [])
