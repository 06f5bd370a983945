"""Output formats: JSON, text, Praat's TextGrid and NIST's CTM."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from shared.phones import IPA, SILENCE

if TYPE_CHECKING:
    from tasks.phoneme_recognizer.inference import Phone, Recognition

Spelling = Callable[[str], str]  # of a phone of ARPAbet


def ipa(phone: str) -> str:
    """The phone in the International Phonetic Alphabet."""
    return IPA.get(phone, phone)


def as_record(name: str, recognitions: "list[Recognition]", spell: Spelling) -> dict[str, Any]:
    """The hypotheses of a sound as a JSON object."""

    def as_phone(phone: "Phone") -> dict[str, Any]:
        times = {"start": round(phone.start, 3), "end": round(phone.end, 3)}
        return {"phone": spell(phone.phone), **times, "probability": round(phone.probability, 4)}

    hypotheses = [
        {"log_prob": round(recognition.log_prob, 4), "phones": [as_phone(phone) for phone in recognition.phones]}
        for recognition in recognitions
    ]
    return {"sound": name, "seconds": round(recognitions[0].seconds, 3), "recognitions": hypotheses}


def as_text(name: str, recognitions: "list[Recognition]", spell: Spelling, brief: bool) -> str:
    """One line per hypothesis; unless `brief`, one more for each phone of the best, with times and probability."""
    best, *others = recognitions
    lines = [f"{name}: {_line(best, spell)}"]
    if others:
        lines = [f"{name}:", *(f"  {each.log_prob:9.2f}  {_line(each, spell)}" for each in recognitions)]
    if not brief:
        lines += [
            f"  {phone.start:8.3f} {phone.end:8.3f}  {phone.probability:4.0%}  {spell(phone.phone)}"
            for phone in best.phones
        ]
    return "\n".join(lines)


def _line(recognition: "Recognition", spell: Spelling) -> str:
    return " ".join(spell(phone.phone) for phone in recognition.phones) or "(silence)"


def as_textgrid(recognition: "Recognition", spell: Spelling) -> str:
    """A TextGrid with one tier that covers the whole sound; silences have an empty text."""
    spans = recognition.with_silence()
    end = f"{max(recognition.seconds, spans[-1].end if spans else 0):.6f}"
    lines = [
        'File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end}", "tiers? <exists>",
        "size = 1", "item []:", "    item [1]:", '        class = "IntervalTier"', '        name = "phones"',
        "        xmin = 0", f"        xmax = {end}", f"        intervals: size = {len(spans)}",
    ]  # fmt: skip
    for i, span in enumerate(spans, start=1):
        text = "" if span.phone == SILENCE else spell(span.phone).replace('"', '""')
        lines += [f"        intervals [{i}]:", f"            xmin = {span.start:.6f}"]
        lines += [f"            xmax = {span.end:.6f}", f'            text = "{text}"']
    return "\n".join(lines) + "\n"


def as_ctm(name: str, recognition: "Recognition", spell: Spelling, channel: int = 1) -> str:
    """CTM lines: file, channel, start, duration, phone, probability."""
    prefix = f"{'_'.join(name.split()) or '-'} {channel}"
    return "".join(
        f"{prefix} {phone.start:.3f} {phone.end - phone.start:.3f} {spell(phone.phone)} {phone.probability:.4f}\n"
        for phone in recognition.phones
    )
