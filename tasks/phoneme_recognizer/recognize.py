"""Recognizes phones in sounds, with times and probabilities.

    python -m tasks.phoneme_recognizer.recognize speech.wav
    python -m tasks.phoneme_recognizer.recognize speech.wav --textgrid speech.TextGrid --plot speech.png
    python -m tasks.phoneme_recognizer.recognize recordings/ --json --output phones.jsonl
    python -m tasks.phoneme_recognizer.recognize speech.wav --align "a small red circle"
    python -m tasks.phoneme_recognizer.recognize speech.wav --align "[s m ao l]" --ipa
    python -m tasks.phoneme_recognizer.recognize recordings/ --recursive --transcripts --textgrid grids
    python -m tasks.phoneme_recognizer.recognize recordings/ --transcripts --dictionary names.dict --ctm words.ctm
    python -m tasks.phoneme_recognizer.recognize speech.wav --align "a small red circle" --score
    cat speech.flac | python -m tasks.phoneme_recognizer.recognize -
    python -m tasks.phoneme_recognizer.recognize call.wav --channel 2
    python -m tasks.phoneme_recognizer.recognize call.raw --rate 8000 --encoding mulaw
    arecord -q -t raw -f S16_LE -r 16000 | python -m tasks.phoneme_recognizer.recognize --live --model RUN

Reads WAV, FLAC, Ogg Vorbis and Opus, MP3, AIFF, AU and NIST SPHERE, of any rate, of up to 4 hours; by ffmpeg, where it
is installed, m4a, AAC, WebM, AMR and Windows Media; with --rate, samples without a header. A probability is that of the
phone, and no other, in its segment. --align gives the phones, as words or in brackets; --transcripts reads the words
from a text file beside each sound, or from a table of them. The probability of a word is the mean of its phones. Of the
pronunciations of a word the one that fits is taken: those of --dictionary, else of CMUdict, else of its spelling.
--score says how well each phone, each word and the whole was pronounced: 100 is right, 50 a heavy accent, 0 wrong or
missing; below 50 also what was said instead. JSON objects have sound, seconds, speech (whether any phone was found;
not of alignments), and recognitions, each with log_prob, phones and, for words, words; scored ones have score too.
Unreadable sounds are reported on standard error and skipped.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from shared.audio import (
    ENCODINGS,
    HEADERLESS_SOUNDS,
    MAX_CHANNELS,
    MAX_RATE,
    MIN_RATE,
    SAMPLE_RATE,
    SOUNDS,
    Headerless,
    read_sound,
)
from shared.bounds import MAX_BEAM, Beam, Bounds
from shared.cli import (
    USAGE,
    ModelOptions,
    OutputOptions,
    Results,
    RuntimeOptions,
    check_n_best,
    command,
    parse,
    print_error,
    say_loading,
)
from shared.errors import UserError
from shared.inputs import Input, Reader, find_inputs
from shared.outputs import PICTURES, Output, check_outputs, named_paths, writable, write_output
from shared.runs import Run
from tasks.phoneme_recognizer.config import Config, check_scorer, find_run
from tasks.phoneme_recognizer.formats import Spelling, as_ctm, as_record, as_text, as_textgrid, ipa
from tasks.phoneme_recognizer.transcripts import TextOf, texts_to_align

if TYPE_CHECKING:
    import numpy as np

    from tasks.phoneme_recognizer.inference import Recognition, SoundRecognizer
    from tasks.phoneme_recognizer.pronunciation import Pronunciation, PronunciationScorer
    from tasks.phoneme_recognizer.streaming import Peak

MAX_SAMPLES = 300 * SAMPLE_RATE  # in memory at a time, plus one file
MAX_DRAWN = 600 * SAMPLE_RATE  # samples; plots of longer sounds would show nothing


@dataclass(frozen=True, kw_only=True)
class Arguments(ModelOptions, RuntimeOptions, OutputOptions):
    sounds: tyro.conf.Positional[tuple[str, ...]]
    """Sound files, folders of them, or - for one sound on standard input."""
    recursive: bool = False
    """Search the subfolders of folders too."""
    beam: Annotated[int | None, Bounds(0, MAX_BEAM)] = None
    """Beam width of the prefix search, 0 for the best path; default: the value in the run's config."""
    n_best: Beam = 1
    """Number of hypotheses for each sound, ordered by the score of the search."""
    align: str | None = None
    """Words, or phones in brackets, to align with each sound."""
    transcripts: bool = False
    """Align each sound with its transcript: a.txt or a.lab beside a.wav, or a table of its folder."""
    score: bool = False
    """Score the pronunciation of --align or --transcripts from 0 to 100, and write what was said instead."""
    dictionary: Path | None = None
    """Pronunciations of your own, as in CMUdict: a word and its phones a line."""
    ipa: bool = False
    """Write the International Phonetic Alphabet instead of ARPAbet."""
    brief: bool = False
    """Write one line for each sound, without times."""
    textgrid: Path | None = None
    """Write words, phones and silences for Praat: a file, or for several sounds a folder of files named after them."""
    ctm: Path | None = None
    """Write lines of file, channel, start, duration, word (without words: phone) and probability."""
    ctm_tier: Literal["words", "phones"] | None = None
    """What --ctm writes; default: words if they are known, else phones."""
    plot: Path | None = None
    """Draw waveform, spectrum, posteriors, words and phones: a file, or for several sounds a folder."""
    channel: Annotated[int | None, Bounds(1, MAX_CHANNELS)] = None
    """The channel to recognize, from 1; default: the mean of all channels."""
    rate: Annotated[int | None, Bounds(MIN_RATE, MAX_RATE)] = None
    """Read samples without a header, at this rate in Hz."""
    channels: Annotated[int | None, Bounds(1, MAX_CHANNELS)] = None
    """Number of channels of samples without a header; default: 1."""
    encoding: str | None = None
    """Encoding of samples without a header, by ffmpeg's name, such as s16be, f32le, u8, mulaw; default: s16le."""
    live: bool = False
    """Read samples without a header (default: 16,000 Hz) from standard input; print phones as they are recognized."""

    @property
    def headerless(self) -> Headerless | None:
        """How the samples are encoded, if they have no header."""
        if self.rate is None and not self.live:
            return None
        given = {"rate": self.rate, "channels": self.channels, "encoding": self.encoding}
        return Headerless(**{name: value for name, value in given.items() if value is not None})


def check(options: Arguments) -> None:
    """Raise UserError for options that are wrong whatever the model is."""
    names = ("live", "model", "runtime", "ipa", "json", "output", "channel", "rate", "channels", "encoding")
    if options.live and options != Arguments(sounds=(), **{name: getattr(options, name) for name in names}):
        raise UserError(f"--live reads standard input alone, and goes with {', '.join(f'--{n}' for n in names[1:])}")
    if not options.live and not options.sounds:
        raise UserError("no sounds given; name files, folders, or - for standard input")
    check_n_best(options.n_best, options.beam)
    check_samples(options)
    if (options.align is not None or options.transcripts) and options.n_best > 1:
        raise UserError("an alignment has one hypothesis; --n-best does not go with it")
    if options.align is not None and options.transcripts:
        raise UserError("--align and --transcripts both give the phones; one was expected")
    if options.align is None and not options.transcripts and options.score:
        raise UserError("--score is for a text; --align or --transcripts was expected with it")
    if options.align is None and not options.transcripts and (options.dictionary or options.ctm_tier == "words"):
        option = "--dictionary" if options.dictionary else "--ctm-tier words"
        raise UserError(f"{option} is for words; --align or --transcripts was expected with it")


def check_samples(options: Arguments) -> None:
    """Raise UserError for options of samples without a header that do not fit together."""
    headerless = options.headerless
    if headerless is None and (options.channels is not None or options.encoding is not None):
        raise UserError("--channels and --encoding describe samples without a header; --rate was expected with them")
    if headerless and headerless.encoding not in ENCODINGS:
        raise UserError(f"--encoding {headerless.encoding}: one of {', '.join(ENCODINGS)} was expected")
    if headerless and options.channel is not None and options.channel > headerless.channels:
        raise UserError(
            f"--channel {options.channel}: a number from 1 to {headerless.channels}, --channels, was expected"
        )


@command
def main(arguments: list[str]) -> int:
    options = parse(Arguments, arguments, "tasks.phoneme_recognizer.recognize", __doc__)
    check(options)
    runtime = options.runtime_for({"--live": options.live, "--score": options.score, "--plot": options.plot})
    kind = HEADERLESS_SOUNDS if options.headerless else SOUNDS
    inputs = find_inputs(kind, options.sounds, options.recursive)
    names = [own_name(sound, options.sounds) for sound in inputs]
    of_inputs = [sound.name for sound in inputs]
    drawn = {
        option: dict(zip(of_inputs, named_paths(option, path, names, suffixes), strict=True))
        for option, path, suffixes in (
            ("--textgrid", options.textgrid, (".TextGrid",)),
            ("--plot", options.plot, PICTURES),
        )
        if path
    }
    run = find_run(options.model)
    if options.score:
        check_scorer(run)
    paths = [sound.path for sound in inputs if sound.path]
    folders = {"--textgrid": options.textgrid, "--plot": options.plot}
    check_outputs(
        {
            "--output": [options.output],
            "--ctm": [options.ctm],
            **{option: writable(folders[option] or Path(), files.values()) for option, files in drawn.items()},
        },
        {
            "one of the sounds to recognize": paths,
            "one of the transcripts": [path.with_suffix(".txt") for path in paths] if options.transcripts else (),
            "the dictionary": [options.dictionary],
            "a file of the model": [run.path],
        },
    )
    if options.live:
        return recognize_live(str(run.path), options)
    text_of = texts_to_align(
        options.align, options.transcripts, options.dictionary, inputs, run.read_config(Config).classes
    )

    read = partial(read_sound, channel=options.channel, headerless=options.headerless)
    reader = Reader(kind=kind, read=read, size=len, max_size=MAX_SAMPLES, max_items=1000)
    spell = ipa if options.ipa else str
    failed: list[str] = []
    recognizer, scorer, count = None, None, 0
    with ExitStack() as stack:  # closes the outputs, so that an interrupted command keeps the results so far
        results = stack.enter_context(Results(options.json, options.output))
        ctm = stack.enter_context(Output(options.ctm)) if options.ctm else None
        for batch in reader.batches(inputs, failed):
            from tasks.phoneme_recognizer.inference import SoundRecognizer

            # Loaded only if a sound can be read.
            if recognizer is None:
                say_loading("recognizer")
            recognizer = recognizer or SoundRecognizer.load(str(run.path), options.beam, options.n_best, runtime)
            scorer = scorer or (scorer_of(recognizer, run) if options.score else None)
            for name, sound, recognitions, scores in recognize(recognizer, scorer, batch, text_of, failed):
                best = recognitions[0]
                text = as_text(name, recognitions, spell, options.brief, scores)
                record = as_record(name, recognitions, spell, scores, is_aligned=text_of is not None)
                results.write(record, text)
                if ctm:
                    by_words = options.ctm_tier == "words" or (options.ctm_tier is None and bool(best.words))
                    lines = as_ctm(name, best, spell, options.channel or 1, by_words)
                    ctm.write(lines.encode("utf-8", "backslashreplace"))
                if path := drawn.get("--textgrid", {}).get(name):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_output(path, as_textgrid(best, spell, scores).encode())
                if path := drawn.get("--plot", {}).get(name):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    draw(recognizer, sound, best, spell, path)
                count += 1
    return 0 if not failed else 1 if count else USAGE


def scorer_of(recognizer: "SoundRecognizer", run: Run) -> "PronunciationScorer":
    """The scorer of the recognizer's run."""
    from tasks.phoneme_recognizer.pronunciation import PronunciationScorer

    return PronunciationScorer.of(recognizer, run)


def own_name(sound: Input, given: Sequence[str]) -> Path:
    """The name of a sound, with its subfolders below the folder that the command line names."""
    if sound.path is None:
        return Path("stdin")
    for name in given:
        if sound.path != Path(name) and sound.path.is_relative_to(name):
            return sound.path.relative_to(name)
    return Path(sound.path.name)


def recognize(
    recognizer: "SoundRecognizer",
    scorer: "PronunciationScorer | None",
    batch: "list[tuple[str, np.ndarray]]",
    text_of: TextOf | None,
    failed: list[str],
) -> "Iterator[tuple[str, np.ndarray, list[Recognition], Pronunciation | None]]":
    """Name, samples and hypotheses of each sound; with `text_of`, the alignment of its text if it fits.

    With `scorer` also how the text was pronounced.
    """
    if text_of is None:
        recognitions = recognizer([sound for _, sound in batch])
        yield from ((name, sound, best, None) for (name, sound), best in zip(batch, recognitions, strict=True))
        return
    for name, sound in batch:
        text = text_of(name)
        try:
            if text.error:
                raise text.error
            aligned = recognizer.align_words(sound, text.words) if text.words else recognizer.align(sound, text.phones)
            yield name, sound, [aligned], scorer(sound, aligned) if scorer else None
        except UserError as error:
            print_error(f"{name} {error}")
            failed.append(name)


def draw(
    recognizer: "SoundRecognizer", sound: "np.ndarray", recognition: "Recognition", spell: Spelling, path: Path
) -> None:
    """Draw a sound and its recognition, unless it is longer than `MAX_DRAWN`."""
    if len(sound) > MAX_DRAWN:
        print_error(f"{path} is not drawn: the sound is longer than {MAX_DRAWN // SAMPLE_RATE} s; use --textgrid")
        return
    import numpy as np

    from shared.features import log_mel
    from tasks.phoneme_recognizer.plots import draw_recognition

    bands = np.asarray(log_mel(sound[None], recognizer.config.mels)[0])
    table = [spell(phone) for phone in recognizer.vocabulary.table]
    draw_recognition(sound, bands, recognizer.posteriors(sound), table, recognition, path, spell)


def recognize_live(model: str, options: Arguments) -> int:
    """Print phones from standard input as they are recognized, until it ends or Ctrl-C."""
    from tasks.phoneme_recognizer.streaming import StreamRecognizer, listen

    spell = ipa if options.ipa else str
    say_loading("recognizer")
    recognizer = StreamRecognizer.load(model)
    with Results(options.json, options.output) as results:

        def write(peaks: "list[Peak]") -> None:
            for phone, second in peaks:
                results.write({"phone": spell(phone), "second": round(second, 3)}, f"{second:8.3f}  {spell(phone)}")

        listen(recognizer, write, options.headerless, options.channel)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
