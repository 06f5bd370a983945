"""How words of a dictionary are said in fluent speech of North Americans, where that differs from the dictionary.

A dictionary has careful speech. Fluent speech flaps a t ("water": w ao dx er), makes a weak vowel an ih or drops it
before l, m and n ("bottle": b aa dx l), and leaves out a t or d at the end ("last": l ae s) or after n ("winter"), the
h of a weak word and the g of -ing (Wells 1982, Accents of English, section 3.3.4; Zue and Seneff 1988). Transcripts by
ear, such as TIMIT's, have all of this. The sound decides what was said: see `tasks.phoneme_recognizer.aligner`.
"""

import itertools
from collections.abc import Iterator, Sequence

from datasets.cmudict import Pronunciation, without_stress

VOWELS = frozenset(("aa", "ae", "ah", "ao", "aw", "ay", "eh", "er", "ey", "ih", "iy", "ow", "oy", "uh", "uw"))
WEAK_A = frozenset(("a", "an", "and", "the"))  # words whose first or last vowel may be ih
WEAK_H = frozenset(("he", "him", "his", "her", "have", "has", "had"))

Change = tuple[int, tuple[str, ...]]  # the index of a phone, and what is said in its stead


def reduced(word: str, phones: Sequence[str], limit: int) -> list[Pronunciation]:
    """At most `limit` reduced pronunciations of a word from its phones with stress, those with few changes first.

    >>> reduced("water", ["w", "ao1", "t", "er0"], 8)
    [('w', 'ao', 'dx', 'er')]
    """
    changes = list(_changes(word, phones))
    subsets = itertools.chain.from_iterable(itertools.combinations(changes, n) for n in range(1, len(changes) + 1))
    found = (_applied(phones, subset) for subset in subsets if len({i for i, _ in subset}) == len(subset))
    return list(dict.fromkeys(itertools.islice(found, limit)))


def flapped(phones: Sequence[str]) -> Pronunciation:
    """Phones with stress, a t or d between a vowel and a weak vowel in a word as dx, but not before a syllabic n.

    >>> flapped(["w", "ao1", "t", "er0"]), flapped(["b", "ah1", "t", "ah0", "n"])
    (('w', 'ao1', 'dx', 'er0'), ('b', 'ah1', 't', 'ah0', 'n'))
    """
    said, bare = list(phones), without_stress(phones)
    for i in range(1, len(phones) - 1):
        is_flap = phones[i] in ("t", "d") and bare[i - 1] in VOWELS and phones[i + 1].endswith("0")
        if is_flap and tuple(phones[i + 1 : i + 3]) != ("ah0", "n"):
            said[i] = "dx"
    return tuple(said)


def _changes(word: str, phones: Sequence[str]) -> Iterator[Change]:
    bare, last = without_stress(phones), len(phones) - 1
    weak = [phone.endswith("0") for phone in phones]
    for i, phone in enumerate(bare):
        before, after = bare[i - 1] if i else "", bare[i + 1] if i < last else ""
        after_vowel, before_weak = before in VOWELS, i < last and weak[i + 1]
        if phone in ("t", "d"):
            if (after_vowel and i == last) or ((after_vowel or before == "r") and before_weak):
                yield i, ("dx",)
            elif (before == "n" and before_weak) or (i == last > 1 and not after_vowel):
                yield i, ()
        if phone == "ah" and weak[i]:
            if before and not after_vowel and after in ("l", "m", "n"):
                yield i, ()
            if (before and after) or word in WEAK_A:
                yield i, ("ih",)
    if word in WEAK_H and bare[0] == "hh":
        yield 0, ()
    if last > 2 and bare[-2:] == ("ih", "ng") and weak[-2]:
        yield last, ("n",)


def _applied(phones: Sequence[str], changes: Sequence[Change]) -> Pronunciation:
    replaced = dict(changes)
    said = (replaced.get(i, (phone,)) for i, phone in enumerate(without_stress(phones)))
    return tuple(itertools.chain.from_iterable(said))
