"""Recognizes phones in sounds, with times and probabilities.

    python -m tasks.phoneme_recognizer.recognize speech.wav
    python -m tasks.phoneme_recognizer.recognize speech.wav --textgrid speech.TextGrid --plot speech.png
    python -m tasks.phoneme_recognizer.recognize recordings/ --json --output phones.jsonl
    python -m tasks.phoneme_recognizer.recognize speech.wav --align "a small red circle"
    python -m tasks.phoneme_recognizer.recognize speech.wav --align "[s m ao l]" --ipa
    cat speech.flac | python -m tasks.phoneme_recognizer.recognize -
    arecord -q -t raw -f S16_LE -r 16000 | python -m tasks.phoneme_recognizer.recognize --live --model streaming

WAV, FLAC, Ogg Vorbis and Opus, MP3, AIFF, AU and NIST SPHERE, of any rate and length. A probability is that of the
phone having been said where it was found, and nothing else. With `--align` the phones are given, by words or in
brackets; then it is a score of how well each was pronounced. A sound that cannot be read is named on standard error;
the others are recognized all the same.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from shared.audio import SAMPLE_RATE, SOUNDS, read_sound
from shared.cli import USAGE, Results, command, complain, parse
from shared.errors import UserError
from shared.files import MediaError
from shared.inputs import PICTURES, Input, check_outputs, find_inputs, numbered, read_standard_input
from shared.phones import PHONES_39, SETS
from shared.runs import Run, write_bytes
from tasks.phoneme_recognizer.config import RELEASED, TASK, Config
from tasks.phoneme_recognizer.formats import arpabet, as_ctm, as_record, as_text, as_textgrid, ipa
from tasks.phoneme_recognizer.recognition import Recognition, SoundRecognizer

BATCH_SECONDS = 300  # of sound in memory at a time, plus one file
MAX_BEAM = 100  # far beyond what helps


@dataclass(frozen=True, kw_only=True)
class Arguments:
    sounds: tyro.conf.Positional[tuple[str, ...]]
    """Sound files, folders of them, or - for one sound on standard input."""
    model: str | None = None
    """Run or folder; by default the released model, else the newest run."""
    beam: int | None = None
    """Of prefix search with what three phones in a row are like; by default the run's own, 0: the best path."""
    n_best: int = 1
    """Hypotheses for each sound."""
    align: str | None = None
    """Words, or phones in brackets, that were said: tells when, and how well."""
    ipa: bool = False
    """In letters of the International Phonetic Association, not ARPAbet."""
    brief: bool = False
    """One line for each sound, without times."""
    textgrid: Path | None = None
    """Write phones and silences for Praat; for several inputs, files numbered like the lines of the output."""
    ctm: Path | None = None
    """Write all phones as lines of file, channel, begin, duration, phone, probability."""
    plot: Path | None = None
    """Draw spectrum, probabilities and phones; numbered like --textgrid."""
    live: bool = False
    """Raw samples (16 bits, 16,000 a second, one channel) on standard input; phones are printed as they are heard."""
    json: bool = False
    """One JSON object a line: sound, seconds, recognitions (each log_prob, phones with times and probabilities)."""
    output: Path | None = None
    """Write there instead of to standard output."""


def read_input(path: Path | None) -> np.ndarray:
    """The samples of a file, or of standard input; MediaError when there are none."""
    return read_sound(read_standard_input(SOUNDS) if path is None else path)


def read_batches(inputs: Iterable[Input], failed: list[str]) -> Iterator[list[tuple[str, np.ndarray]]]:
    """Names and samples of all sounds that can be read; complains of the others and lists them in `failed`."""
    batch, samples = [], 0
    for name, path, error in inputs:
        try:
            if error is not None:
                raise error
            sound = read_input(path)
        except MediaError as reason:
            complain(f"{name} {reason}")
            failed.append(name)
            continue
        batch.append((name, sound))
        samples += len(sound)
        if samples > BATCH_SECONDS * SAMPLE_RATE:
            yield batch
            batch, samples = [], 0
    if batch:
        yield batch


def phones_of(words: str, config: Config) -> list[str]:
    """The phones of what was said, words or phones in brackets.

    Raises:
        UserError: a phone that the model does not tell apart, or a word that the dictionary lacks.
    """
    from datasets.cmudict import pronounce
    from shared.phones import fold

    if words.strip().startswith("["):
        phones = words.strip().strip("[]").split()
        unknown = [phone for phone in phones if phone not in {*SETS[61], *SETS[48], *PHONES_39}]
        if unknown:
            raise UserError(f"--align: {unknown[0]!r} is no phone; there are {' '.join(config.phones)}")
    else:
        phones, missing = pronounce(words)
        if missing:
            raise UserError(f"--align: the dictionary lacks {', '.join(missing)}; phones may be given in brackets")
    folded = [fold(phone, config.classes) for phone in phones]
    return [phone for phone in folded if phone in config.phones]


def check(options: Arguments, inputs: Sequence[Input], outputs: Iterable[Path | None]) -> None:
    """UserError for whatever can be known to be wrong before a model is loaded."""
    if options.live and (options.sounds or options.align or options.plot or options.textgrid or options.ctm):
        raise UserError("--live reads standard input alone, and goes with --model, --ipa, --json and --output")
    if not options.live and not options.sounds:
        raise UserError("no sounds given; name files, folders, or - for standard input")
    if options.beam is not None and not 0 <= options.beam <= MAX_BEAM:
        raise UserError(f"--beam {options.beam}: a number from 0 to {MAX_BEAM} was expected")
    limit = options.beam or MAX_BEAM
    if not 1 <= options.n_best <= limit:
        raise UserError(f"--n-best {options.n_best}: a number from 1 to {limit}, the beam, was expected")
    if options.align and options.n_best > 1:
        raise UserError("--align tells of one sequence of phones; --n-best does not go with it")
    check_outputs([path for path in outputs if path], inputs, "the sounds to recognize")


@command
def main(arguments: list[str]) -> int:
    options = parse(Arguments, arguments, "tasks.phoneme_recognizer.recognize", __doc__)
    inputs = find_inputs(SOUNDS, options.sounds)
    grids = numbered("--textgrid", options.textgrid, len(inputs), (".TextGrid",)) if options.textgrid else []
    pictures = numbered("--plot", options.plot, len(inputs), PICTURES) if options.plot else []
    check(options, inputs, (options.output, options.ctm, *grids, *pictures))
    run = Run.find(options.model, TASK, RELEASED)
    spell = ipa if options.ipa else arpabet
    if options.live:
        return listen(run, options)
    said = phones_of(options.align, run.read_config(Config)) if options.align else None

    failed: list[str] = []
    recognizer = results = None
    ctm, count = [], 0
    try:
        for batch in read_batches(inputs, failed):
            # Loaded when there is something to hear; an older output is replaced when there is a newer one.
            recognizer = recognizer or SoundRecognizer.load(str(run.path), options.beam, options.n_best)
            results = results or Results(options.json, options.output)
            for name, sound, recognitions in recognized(recognizer, batch, said, failed):
                recognitions = recognitions[: options.n_best]
                results.write(as_record(name, recognitions, spell), as_text(name, recognitions, spell, options.brief))
                ctm.append(as_ctm(name, recognitions[0], spell))
                if grids:
                    write_bytes(grids[count], as_textgrid(recognitions[0], spell).encode())
                if pictures:
                    draw(recognizer, sound, recognitions[0], pictures[count])
                count += 1
    finally:  # also when interrupted: what was recognized is not lost
        if results:
            results.close()
        if options.ctm and count:
            write_bytes(options.ctm, "".join(ctm).encode())
    return 0 if not failed else 1 if count else USAGE


def recognized(
    recognizer: SoundRecognizer, batch: list[tuple[str, np.ndarray]], said: Sequence[str] | None, failed: list[str]
) -> Iterator[tuple[str, np.ndarray, list[Recognition]]]:
    """Name, samples and recognitions of each sound; with `said` those phones, where they fit."""
    if said is None:
        found = recognizer([sound for _, sound in batch])
        yield from ((name, sound, best) for (name, sound), best in zip(batch, found, strict=True))
        return
    for name, sound in batch:
        try:
            yield name, sound, [recognizer.align(sound, said)]
        except UserError as error:
            complain(f"{name} {error}")
            failed.append(name)


def draw(recognizer: SoundRecognizer, sound: np.ndarray, recognition: Recognition, path: Path) -> None:
    """Draws a sound and what was recognized."""
    from shared.features import log_mel
    from tasks.phoneme_recognizer.plots import draw_recognition

    bands = np.asarray(log_mel(sound[None], recognizer.config.mels)[0])
    draw_recognition(bands, recognizer.posteriors(sound), recognizer.config.phones, recognition, path)


def listen(run: Run, options: Arguments) -> int:
    """Prints phones as they are heard on standard input."""
    from tasks.phoneme_recognizer.streaming import StreamRecognizer

    spell = ipa if options.ipa else arpabet
    recognizer = StreamRecognizer.load(run)
    results = Results(options.json, options.output)
    if sys.stdin is None:
        raise UserError("--live: standard input is closed")
    rest = b""
    while content := sys.stdin.buffer.read1(SAMPLE_RATE // 5):  # a tenth of a second, or less if there is no more yet
        content = rest + content
        whole = len(content) // 2 * 2
        rest = content[whole:]
        samples = np.frombuffer(content[:whole], "<i2").astype(np.float32) / 32_768
        for phone, second in recognizer.feed(samples):
            results.write({"phone": spell(phone), "second": round(second, 3)}, f"{second:8.3f}  {spell(phone)}")
    for phone, second in recognizer.finish():
        results.write({"phone": spell(phone), "second": round(second, 3)}, f"{second:8.3f}  {spell(phone)}")
    results.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
