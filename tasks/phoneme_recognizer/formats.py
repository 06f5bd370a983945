"""Recognitions and scores of pronunciation in files: JSON, text, Praat's TextGrid and NIST's CTM."""

from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any

from shared.phones import IPA, SILENCE

if TYPE_CHECKING:
    from tasks.phoneme_recognizer.inference import Phone, Recognition, Word
    from tasks.phoneme_recognizer.pronunciation import PhoneScore, Pronunciation

Spelling = Callable[[str], str]  # of a phone of ARPAbet
SHORTEST = 1e-3  # seconds of an empty interval; readers of TextGrid refuse one without length
NO_SPEECH = "(no-speech)"  # instead of phones; one word, as a phone is
Interval = tuple[float, float, str]  # start and end in seconds, text; empty between words and in silences


def ipa(phone: str) -> str:
    """The phone in the International Phonetic Alphabet."""
    return IPA.get(phone, phone)


def as_record(
    name: str,
    recognitions: "list[Recognition]",
    spell: Spelling,
    pronunciation: "Pronunciation | None" = None,
    is_aligned: bool = False,
) -> dict[str, Any]:
    """The hypotheses of a sound as a JSON object; those of aligned words have the words too.

    `pronunciation` is that of the only hypothesis. Unless the phones were given, `speech` is whether any were found.
    """

    def timed(span: "Phone | Word") -> dict[str, float]:
        times = {"start": round(span.start, 3), "end": round(span.end, 3)}
        return {**times, "probability": round(span.probability, 4)}

    def as_hypothesis(recognition: "Recognition") -> dict[str, Any]:
        phones = [{"phone": spell(phone.phone), **timed(phone)} for phone in recognition.phones]
        words = [
            {"word": word.word, **timed(word), "phones": [spell(phone.phone) for phone in word.phones]}
            for word in recognition.words
        ]
        of_words = {"words": words} if words else {}
        if pronunciation:
            for phone, scored in zip(phones, pronunciation.phones, strict=True):
                phone |= _scored(scored, spell)
            for word, score in zip(words, pronunciation.words, strict=True):
                word |= {"score": round(score, 1)}
            of_words = {"score": round(pronunciation.score, 1), **of_words}
        return {"log_prob": round(recognition.log_prob, 4), **of_words, "phones": phones}

    hypotheses = [as_hypothesis(recognition) for recognition in recognitions]
    speech = {} if is_aligned else {"speech": bool(recognitions[0].phones)}
    return {"sound": name, "seconds": round(recognitions[0].seconds, 3), **speech, "recognitions": hypotheses}


def _scored(phone: "PhoneScore", spell: Spelling) -> dict[str, Any]:
    """The fields of a phone that is scored."""
    fields: dict[str, Any] = {"score": round(phone.score, 1), "goodness": round(phone.goodness, 4)}
    others = {"said": phone.said, "inserted": phone.inserted, "inserted_before": phone.inserted_before}
    return fields | {name: spell(other) for name, other in others.items() if other is not None}


def as_text(
    name: str,
    recognitions: "list[Recognition]",
    spell: Spelling,
    brief: bool,
    pronunciation: "Pronunciation | None" = None,
) -> str:
    """One line per hypothesis; unless `brief`, one more for each phone of the best, with times and probability.

    The phones of a word follow a line of the word. With `pronunciation`, that of the only hypothesis, scores replace
    probabilities, and what was said instead follows.
    """
    best, *others = recognitions
    lines = [f"{name}: {_line(best, spell)}" + (f"  score {pronunciation.score:.0f}" if pronunciation else "")]
    if others:
        lines = [f"{name}:", *(f"  {each.log_prob:9.2f}  {_line(each, spell)}" for each in recognitions)]
    if brief:
        return "\n".join(lines)
    values, remarks = _values(best, spell, pronunciation)
    phones = zip(best.phones, values, remarks, strict=True)
    if not best.words:
        return "\n".join([*lines, *(_timed(phone, value, spell(phone.phone), said) for phone, value, said in phones)])
    of_words = [f"{word.probability:4.0%}" for word in best.words]
    if pronunciation:
        of_words = [f"{score:4.0f}" for score in pronunciation.words]
    for word, of_word in zip(best.words, of_words, strict=True):
        lines.append(_timed(word, of_word, word.word))
        own = islice(phones, len(word.phones))
        lines += [_timed(phone, value, f"  {spell(phone.phone)}", said) for phone, value, said in own]
    return "\n".join(lines)


def _values(
    recognition: "Recognition", spell: Spelling, pronunciation: "Pronunciation | None"
) -> tuple[list[str], list[str]]:
    """The probability or the score of each phone, and what was said instead."""
    if pronunciation:
        scored = pronunciation.phones
        return [f"{phone.score:4.0f}" for phone in scored], [remark(phone, spell) for phone in scored]
    return [f"{phone.probability:4.0%}" for phone in recognition.phones], [""] * len(recognition.phones)


def remark(phone: "PhoneScore", spell: Spelling) -> str:
    """What was said instead of a phone, before it and after it; empty for nothing else."""
    parts = [] if phone.said is None else [f"said {spell(phone.said)}" if phone.said else "omitted"]
    new = (phone.inserted_before, "before"), (phone.inserted, "after")
    return ", ".join(parts + [f"{spell(other)} inserted {where} it" for other, where in new if other is not None])


def _timed(span: "Phone | Word", value: str, text: str, said: str = "") -> str:
    return f"  {span.start:8.3f} {span.end:8.3f}  {value}  {text}" + (f"  {said}" if said else "")


def _line(recognition: "Recognition", spell: Spelling) -> str:
    return " ".join(spell(phone.phone) for phone in recognition.phones) or NO_SPEECH


def as_textgrid(recognition: "Recognition", spell: Spelling, pronunciation: "Pronunciation | None" = None) -> str:
    """A TextGrid with a tier of phones, after one of words if they are known; all cover the whole sound.

    With `pronunciation` a third one has the score of each phone, and what was said instead.
    """
    spans = recognition.with_silence()
    phones = [(span.start, span.end, "" if span.phone == SILENCE else spell(span.phone)) for span in spans]
    words = [(word.start, word.end, word.word) for word in recognition.words]
    end = max([recognition.seconds, *(end for _, end, _ in phones)])
    tiers = [("words", _filled(words, end))] if words else []
    tiers.append(("phones", phones))
    if pronunciation:
        scored = zip(recognition.phones, pronunciation.phones, strict=True)
        scores = [(span.start, span.end, f"{one.score:.0f} {remark(one, spell)}".strip()) for span, one in scored]
        tiers.append(("scores", _filled(scores, end)))
    lines = [
        'File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end:.6f}",
        "tiers? <exists>", f"size = {len(tiers)}", "item []:",
    ]  # fmt: skip
    for number, (name, intervals) in enumerate(tiers, start=1):
        lines += [f"    item [{number}]:", *_tier(name, intervals, end)]
    return "\n".join(lines) + "\n"


def _filled(intervals: list[Interval], end: float) -> list[Interval]:
    """The intervals and empty ones between them, from 0 to the end; gaps that are due to rounding are closed."""
    filled, before = [], 0.0
    for interval in intervals:
        if interval[0] - before > SHORTEST:
            filled.append((before, interval[0], ""))
        filled.append(interval)
        before = interval[1]
    if end - before > SHORTEST:
        return [*filled, (before, end, "")]
    return [*filled[:-1], (filled[-1][0], end, filled[-1][2])] if filled else []


def _tier(name: str, intervals: list[Interval], end: float) -> list[str]:
    lines = [
        '        class = "IntervalTier"', f'        name = "{name}"', "        xmin = 0", f"        xmax = {end:.6f}",
        f"        intervals: size = {len(intervals)}",
    ]  # fmt: skip
    for number, (start, stop, text) in enumerate(intervals, start=1):
        quoted = text.replace('"', '""')
        lines += [f"        intervals [{number}]:", f"            xmin = {start:.6f}"]
        lines += [f"            xmax = {stop:.6f}", f'            text = "{quoted}"']
    return lines


def as_ctm(name: str, recognition: "Recognition", spell: Spelling, channel: int = 1, words: bool = False) -> str:
    """CTM lines of phones or `words`: file, channel, start, duration, phone or word, probability."""
    prefix = f"{'_'.join(name.split()) or '-'} {channel}"
    phones = [(phone, spell(phone.phone)) for phone in recognition.phones]
    spans = [(word, "_".join(word.word.split())) for word in recognition.words] if words else phones
    return "".join(
        f"{prefix} {span.start:.3f} {span.end - span.start:.3f} {text} {span.probability:.4f}\n" for span, text in spans
    )
