"""Recognizes phones in sounds, with times and probabilities.

    python -m tasks.phoneme_recognizer.recognize speech.wav
    python -m tasks.phoneme_recognizer.recognize speech.wav --textgrid speech.TextGrid --plot speech.png
    python -m tasks.phoneme_recognizer.recognize recordings/ --json --output phones.jsonl
    python -m tasks.phoneme_recognizer.recognize speech.wav --align "a small red circle"
    python -m tasks.phoneme_recognizer.recognize speech.wav --align "[s m ao l]" --ipa
    python -m tasks.phoneme_recognizer.recognize recordings/ --transcripts --textgrid recordings.TextGrid
    cat speech.flac | python -m tasks.phoneme_recognizer.recognize -
    arecord -q -t raw -f S16_LE -r 16000 | python -m tasks.phoneme_recognizer.recognize --live --model RUN

WAV, FLAC, Ogg Vorbis and Opus, MP3, AIFF, AU and NIST SPHERE, of any rate, of up to 4 hours. A probability is that of
the phone having been said where it was found, and nothing else. With `--align` the phones are given, by words or in
brackets, with `--transcripts` by a text file beside each sound; then it is a score of how well each was pronounced. A
sound that cannot be read is named on standard error; the others are recognized all the same.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from shared.audio import SAMPLE_RATE, SOUNDS, read_sound
from shared.cli import USAGE, Results, check_number, command, complain, parse
from shared.errors import UserError
from shared.inputs import PICTURES, Input, Reader, check_outputs, find_inputs, numbered
from shared.phones import fold
from shared.runs import Run, write_bytes
from tasks.phoneme_recognizer.config import MAX_BEAM, RELEASED, TASK, Config
from tasks.phoneme_recognizer.formats import arpabet, as_ctm, as_record, as_text, as_textgrid, ipa
from tasks.phoneme_recognizer.recognition import Recognition, SoundRecognizer

READER = Reader(
    kind=SOUNDS,
    read=read_sound,
    size=len,
    limit=300 * SAMPLE_RATE,  # samples in memory at a time, plus one file
    most=1000,
)
DRAWN = 600 * SAMPLE_RATE  # samples that are drawn, at most: of more, nothing is to be seen


@dataclass(frozen=True, kw_only=True)
class Arguments:
    sounds: tyro.conf.Positional[tuple[str, ...]]
    """Sound files, folders of them, or - for one sound on standard input."""
    model: str | None = None
    """Run or folder; by default the released model, else the newest run."""
    beam: int | None = None
    """Of prefix search with what phones are like after others; by default the run's own, 0: the best path."""
    n_best: int = 1
    """Hypotheses for each sound, in the order of the search, which weighs what phones are like after others too."""
    align: str | None = None
    """Words, or phones in brackets, that were said: tells when, and how well."""
    transcripts: bool = False
    """As --align, of each sound what the text file of its name beside it says: a.txt for a.wav."""
    ipa: bool = False
    """In letters of the International Phonetic Association, not ARPAbet."""
    brief: bool = False
    """One line for each sound, without times."""
    textgrid: Path | None = None
    """Write phones and silences for Praat; for several inputs, files numbered in their order."""
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


def phones_of(words: str, config: Config) -> list[str]:
    """The phones of what was said, words or phones in brackets.

    Raises:
        UserError: something is no phone, or a word that the dictionary lacks.
    """
    from datasets.cmudict import pronounce

    if words.strip().startswith("["):
        phones = words.strip().strip("[]").split()
    else:
        phones, missing = pronounce(words)
        if missing:
            raise UserError(f"the dictionary lacks {', '.join(missing)}; phones may be given in brackets")
    try:
        folded = [fold(phone, config.classes) for phone in phones]
    except ValueError:
        raise UserError(f"{words}: phones of ARPAbet or TIMIT were expected, such as [s m ao l]") from None
    return [phone for phone in folded if phone in config.phones]


def transcript_of(path: Path | None) -> str:
    """What the text file beside a sound says; UserError when there is none."""
    beside = None if path is None else path.with_suffix(".txt")
    if beside is None or not beside.is_file():
        raise UserError(f"has no transcript{f': there is no {beside}' if beside else ''}")
    return beside.read_text(encoding="utf-8", errors="replace")


def said_in(options: Arguments, inputs: Sequence[Input], config: Config) -> Callable[[str], list[str]] | None:
    """A function from the name of a sound to the phones that were said, raising UserError, if that is known at all."""
    if options.align is not None:
        try:
            phones = phones_of(options.align, config)
        except UserError as error:
            raise UserError(f"--align: {error}") from None
        return lambda name: phones
    if options.transcripts:
        paths = {name: path for name, path, _ in inputs}
        return lambda name: phones_of(transcript_of(paths[name]), config)
    return None


def check(options: Arguments, inputs: Sequence[Input], outputs: Iterable[Path | None]) -> None:
    """UserError for whatever can be known to be wrong before a model is loaded."""
    kept = {name: getattr(options, name) for name in ("live", "model", "ipa", "json", "output")}
    if options.live and options != Arguments(sounds=(), **kept):
        raise UserError("--live reads standard input alone, and goes with --model, --ipa, --json and --output")
    if not options.live and not options.sounds:
        raise UserError("no sounds given; name files, folders, or - for standard input")
    check_number("--beam", options.beam, 0, MAX_BEAM)
    check_number("--n-best", options.n_best, 1, options.beam or MAX_BEAM, "the beam")
    if (options.align is not None or options.transcripts) and options.n_best > 1:
        raise UserError("an alignment tells of one sequence of phones; --n-best does not go with it")
    if options.align is not None and options.transcripts:
        raise UserError("--align and --transcripts both tell what was said; one was expected")
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
    said = said_in(options, inputs, run.read_config(Config))

    failed: list[str] = []
    recognizer = results = None
    ctm, count = [], 0
    try:
        for batch in READER.batches(inputs, failed):
            # Loaded when there is something to hear; an older output is replaced when there is a newer one.
            recognizer = recognizer or SoundRecognizer.load(str(run.path), options.beam, options.n_best)
            results = results or Results(options.json, options.output)
            for name, sound, recognitions in recognized(recognizer, batch, said, failed):
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
            write_bytes(options.ctm, "".join(ctm).encode("utf-8", "backslashreplace"))
    return 0 if not failed else 1 if count else USAGE


def recognized(
    recognizer: SoundRecognizer,
    batch: list[tuple[str, np.ndarray]],
    said: Callable[[str], list[str]] | None,
    failed: list[str],
) -> Iterator[tuple[str, np.ndarray, list[Recognition]]]:
    """Name, samples and recognitions of each sound; with `said` of those phones, where they fit."""
    if said is None:
        found = recognizer([sound for _, sound in batch])
        yield from ((name, sound, best) for (name, sound), best in zip(batch, found, strict=True))
        return
    for name, sound in batch:
        try:
            yield name, sound, [recognizer.align(sound, said(name))]
        except UserError as error:
            complain(f"{name} {error}")
            failed.append(name)


def draw(recognizer: SoundRecognizer, sound: np.ndarray, recognition: Recognition, path: Path) -> None:
    """Draws a sound and what was recognized, unless it is too long to see anything."""
    if len(sound) > DRAWN:
        complain(f"{path} is not drawn: the sound lasts more than {DRAWN // SAMPLE_RATE} s; --textgrid may serve")
        return
    from shared.features import log_mel
    from tasks.phoneme_recognizer.plots import draw_recognition

    bands = np.asarray(log_mel(sound[None], recognizer.config.mels)[0])
    draw_recognition(bands, recognizer.posteriors(sound), recognizer.config.phones, recognition, path)


def listen(run: Run, options: Arguments) -> int:
    """Prints phones as they are heard on standard input, until it ends or Ctrl-C."""
    spell = ipa if options.ipa else arpabet
    from tasks.phoneme_recognizer.streaming import StreamRecognizer

    recognizer = StreamRecognizer.load(run)
    results = Results(options.json, options.output)

    def write(heard: list[tuple[str, float]]) -> None:
        for phone, second in heard:
            results.write({"phone": spell(phone), "second": round(second, 3)}, f"{second:8.3f}  {spell(phone)}")

    try:
        for samples in read_live():
            write(recognizer.feed(samples))
    except KeyboardInterrupt:  # how one stops listening
        pass
    write(recognizer.finish())
    results.close()
    return 0


def read_live() -> Iterator[np.ndarray]:
    """The samples on standard input, as they come."""
    if sys.stdin is None:
        raise UserError("--live: standard input is closed")
    rest = b""
    while content := sys.stdin.buffer.read1(SAMPLE_RATE // 5):  # a tenth of a second, or less if there is no more yet
        content = rest + content
        whole = len(content) // 2 * 2
        rest = content[whole:]
        yield np.frombuffer(content[:whole], "<i2").astype(np.float32) / 32_768


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
