"""Recognitions as other programs read them."""

from collections.abc import Callable

from shared.phones import IPA, SILENCE
from tasks.phoneme_recognizer.recognition import Recognition

Spelling = Callable[[str], str]


def arpabet(phone: str) -> str:
    """As it is."""
    return phone


def ipa(phone: str) -> str:
    """In the letters of the International Phonetic Association."""
    return IPA.get(phone, phone)


def as_record(name: str, recognitions: list[Recognition], spell: Spelling) -> dict:
    """What `--json` prints of a sound."""
    return {
        "sound": name,
        "seconds": round(recognitions[0].seconds, 3),
        "recognitions": [
            {
                "log_prob": round(recognition.log_prob, 4),
                "phones": [
                    {
                        "phone": spell(phone.phone),
                        "start": round(phone.start, 3),
                        "end": round(phone.end, 3),
                        "probability": round(phone.probability, 4),
                    }
                    for phone in recognition.phones
                ],
            }
            for recognition in recognitions
        ],
    }


def as_text(name: str, recognitions: list[Recognition], spell: Spelling, brief: bool) -> str:
    """What a person reads: all phones in a line, then each with its times and its probability."""
    best, *others = recognitions
    lines = [f"{name}: {_line(best, spell)}"]
    if others:
        lines = [f"{name}:", *(f"  {found.log_prob:9.2f}  {_line(found, spell)}" for found in recognitions)]
    if not brief:
        lines += [
            f"  {phone.start:8.3f} {phone.end:8.3f}  {phone.probability:4.0%}  {spell(phone.phone)}"
            for phone in best.phones
        ]
    return "\n".join(lines)


def _line(recognition: Recognition, spell: Spelling) -> str:
    return " ".join(spell(phone.phone) for phone in recognition.phones) or "(silence)"


def as_textgrid(recognition: Recognition, spell: Spelling) -> str:
    """For Praat: one tier of intervals that leave nothing out, silences being empty."""
    spans = recognition.with_silence()
    end = f"{max(recognition.seconds, spans[-1].end if spans else 0):.6f}"
    lines = [
        'File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end}", "tiers? <exists>",
        "size = 1", "item []:", "    item [1]:", '        class = "IntervalTier"', '        name = "phones"',
        "        xmin = 0", f"        xmax = {end}", f"        intervals: size = {len(spans)}",
    ]  # fmt: skip
    for number, span in enumerate(spans, start=1):
        text = "" if span.phone == SILENCE else spell(span.phone).replace('"', '""')
        lines += [
            f"        intervals [{number}]:",
            f"            xmin = {span.start:.6f}",
            f"            xmax = {span.end:.6f}",
            f'            text = "{text}"',
        ]
    return "\n".join(lines) + "\n"


def as_ctm(name: str, recognition: Recognition, spell: Spelling) -> str:
    """NIST's lines of file, channel, begin, duration, phone, probability."""
    sound = "_".join(name.split()) or "-"
    return "".join(
        f"{sound} 1 {phone.start:.3f} {phone.end - phone.start:.3f} {spell(phone.phone)} {phone.probability:.4f}\n"
        for phone in recognition.phones
    )
