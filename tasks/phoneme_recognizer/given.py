"""Phone strings that exist already, of any recognizer: read from files, and scored against references.

a.wav: s m ao l              as `recognize --brief` writes them; with --json also
a s m ao l                   a name and its phones, as Kaldi's `text`
s m ao l                     phones alone, a line for each reference, in the same order
"""

import json
import sys
from collections.abc import Mapping, Sequence, Set
from pathlib import Path, PurePosixPath
from typing import Any

from datasets.lines import read_text
from shared.errors import UserError, shortened
from shared.phones import IPA, SILENCE, fold
from shared.text import as_lines
from tasks.phoneme_recognizer.formats import NO_SPEECH
from tasks.phoneme_recognizer.scoring import PROTOCOL, confusions, error_rates

MAX_NAMED = 5  # names in a message
NO_PHONES = (NO_SPEECH, "(silence)")  # as `recognize` writes it, and older versions did
ARPABET = {symbol: phone for phone, symbol in IPA.items() if symbol}

PhoneLine = tuple[str, list[str]]  # a name, empty if there is none, and phones of the 39 scored classes


def read_phone_lines(path: Path) -> list[PhoneLine]:
    """The lines of a file of phone strings that are not blank.

    A first word is a name if that of any line is no phone. Raises UserError if the file cannot be read, is empty, or
    holds what is no phone.
    """
    text = read_text(path, markup=True)
    lines = [(number, line) for number, line in enumerate(as_lines(text), start=1) if line.strip()]
    if not lines:
        raise UserError(f"{path} is empty; lines of phones were expected")
    parsed = []
    has_names = any(not _is_phone(line.split()[0]) for _, line in lines)
    for number, line in lines:
        where = f"{path}: line {number}"
        name, labels = _json_line(where, line) if line.lstrip().startswith("{") else _text_line(line, has_names)
        phones = [_folded(where, label) for label in labels if label not in NO_PHONES]
        parsed.append((name, [phone for phone in phones if phone not in (None, SILENCE)]))
    return parsed


def _json_line(where: str, line: str) -> tuple[str, list[str]]:
    try:
        record = json.loads(line)
        return _name(record["sound"]), [str(phone["phone"]) for phone in record["recognitions"][0]["phones"]]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise UserError(f"{where}: an object of `recognize --json` was expected") from None


def _text_line(line: str, has_names: bool) -> tuple[str, list[str]]:
    name, colon, rest = line.partition(": ")
    if colon:
        return _name(name), rest.split()
    first, *labels = line.split()
    return (first, labels) if has_names else ("", [first, *labels])


def _name(sound: str) -> str:
    """The path of a sound without its suffix."""
    path = PurePosixPath(sound)
    return path.with_suffix("").as_posix() if path.name else ""


def _is_phone(label: str) -> bool:
    try:
        fold(ARPABET.get(label, label), 39)
    except ValueError:
        return label in NO_PHONES
    return True


def _folded(where: str, label: str) -> str | None:
    try:
        return fold(ARPABET.get(label, label), 39)
    except ValueError:
        raise UserError(f"{where}: {shortened(label)} is no phone of ARPAbet, TIMIT or the IPA of English") from None


def paired(path: Path, outputs: Sequence[PhoneLine], references: Mapping[str, list[str]]) -> list[list[str]]:
    """The phones of the output for each reference, by its name or, if the outputs have none, in order.

    A reference without an output counts as one without phones; these, and outputs without a reference, are reported.

    Raises UserError if names are repeated or given in some lines only, if none is that of a reference, if it is not
    clear of which it is, or if outputs without names are not as many as the references.
    """
    names = [name for name, _ in outputs]
    if not any(names):
        if len(outputs) != len(references):
            lines = "1 line" if len(outputs) == 1 else f"{len(outputs)} lines"
            problem = f"has {lines} without names for {len(references)} references"
            raise UserError(f"{path} {problem}; one for each, in the same order, was expected")
        return [phones for _, phones in outputs]
    if not all(names):
        raise UserError(f"{path}: names in some lines only; in all of them, or in none, were expected")
    found = dict(outputs)
    if len(found) < len(outputs):
        name = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{path}: {name} occurs twice; one line for each sound was expected")
    matched = _matched(path, names, list(references))
    if not matched:
        few = f"{names[0]} is no name" if len(names) == 1 else f"{names[0]} and the others are no names"
        raise UserError(f"{path}: {few} of the references, such as {next(iter(references))}")
    _report(path, "reference", "without an output", "as one without phones", references.keys() - matched.keys())
    _report(path, "output", "without a reference", "", found.keys() - set(matched.values()))
    return [found[matched[name]] if name in matched else [] for name in references]


def _matched(path: Path, outputs: Sequence[str], references: Sequence[str]) -> dict[str, str]:
    """The output of each reference that has one: its path ends as the other does, else its last part is the same.

    Raises UserError if an output may be that of several references, or a reference has several outputs.
    """
    by_last: dict[str, list[str]] = {}
    for reference in references:
        by_last.setdefault(PurePosixPath(reference).name, []).append(reference)
    matched: dict[str, str] = {}

    def match(output: str, fitting: Sequence[str]) -> None:
        if len(fitting) > 1:
            raise UserError(f"{path}: {output} may be {fitting[0]} or {fitting[1]}; names with folders were expected")
        for reference in fitting:
            if other := matched.get(reference):
                raise UserError(f"{path}: {other} and {output} may both be {reference}; one of them was expected")
            matched[reference] = output

    others = []
    for output in outputs:
        fits = {name: _common_end(name, output) for name in by_last.get(PurePosixPath(output).name, [])}
        best = max(fits.values(), default=(False, 0))
        if best[1]:
            match(output, [name for name, fit in fits.items() if fit == best])
        else:
            others.append((output, fits))
    ends = set(matched)
    for output, fits in others:
        match(output, [name for name in fits if name not in ends])
    return matched


def _common_end(first: str, second: str) -> tuple[bool, int]:
    """Whether two paths are the same, and how many parts they share if one ends with the other, else 0."""
    a, b = (PurePosixPath(path).parts for path in (first, second))
    count = min(len(a), len(b))
    return a == b, count if a[-count:] == b[-count:] else 0


def _report(path: Path, thing: str, problem: str, counts: str, names: Set[str]) -> None:
    """Say what lacks its counterpart, and whether it counts."""
    if names:
        one = len(names) == 1
        what = f"1 {thing}" if one else f"{len(names)} {thing}s"
        done = f"which count{'s' if one else ''} {counts}" if counts else f"which {'is' if one else 'are'} left out"
        examples = ", ".join(sorted(names)[:MAX_NAMED]) + (" ..." if len(names) > MAX_NAMED else "")
        print(f"{path}: {what} {problem}, {done}: {examples}", file=sys.stderr)


def score_phones(references: Sequence[list[str]], outputs: Sequence[list[str]], frequent: int) -> dict[str, Any]:
    """PER and its parts, and the most frequent confusions, of phones of the 39 scored classes."""
    counts = confusions(references, outputs)
    common = [pair for pair in counts.most_common() if pair[0][0] not in ("", pair[0][1])][:frequent]
    return {
        "utterances": len(references),
        **{metric: round(value, 4) for metric, value in error_rates(counts).items()},
        "confusions": {f"{phone} as {other or 'nothing'}": count for (phone, other), count in common},
        "protocol": PROTOCOL,
    }
