"""Sentences in lower case or in capitals, written as those of training are."""

from shared.vocabulary import Vocabulary

UNKNOWN = 1000  # tokens that an unknown word counts as


def as_trained(sentence: str, vocabulary: Vocabulary) -> str:
    """A sentence that is all in lower case, or all in capitals, with the capital letters of training; others as is.

    The vocabulary knows how training writes a word: that form has the fewest tokens. German nouns, which training
    writes with a capital letter, are rare pieces in lower case.

    >>> as_trained("EIN HUND LÄUFT.", vocabulary)
    'Ein Hund läuft.'
    """
    if not (sentence.islower() or sentence.isupper()):
        return sentence
    words = sentence.split(" ")
    restored = [_word(word, vocabulary, is_first=i == 0) for i, word in enumerate(words)]
    return " ".join(restored)


def _word(word: str, vocabulary: Vocabulary, is_first: bool) -> str:
    """The form of a word with the fewest tokens; of equal ones lower case, but a capital letter in the first word."""
    lower = word.lower()
    forms = [lower, _capitalised(lower)]
    if is_first:
        forms.reverse()
    best = min([*forms, word], key=lambda form: _cost(form, vocabulary))
    return best if _cost(best, vocabulary) < UNKNOWN else word


def _capitalised(word: str) -> str:
    """The word with its first letter in upper case, which may follow a bracket or quote."""
    for i, character in enumerate(word):
        if character.isalpha():
            return word[:i] + character.upper() + word[i + 1 :]
    return word


def _cost(word: str, vocabulary: Vocabulary) -> int:
    """Tokens of a word, at least `UNKNOWN` if one is not in the vocabulary."""
    return sum(UNKNOWN if token_id == vocabulary.unknown_id else 1 for token_id in vocabulary.encode(word))
