"""Configuration of the phoneme recognizer: the settings of a run, the presets, and finding a run."""

import re
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal, Self

from shared.bounds import (
    BeamOrBestPath,
    Bounds,
    CountOrZero,
    DropoutRate,
    Fraction,
    Layers,
    Units,
    Weight,
    check_product,
    check_recurrence,
)
from shared.errors import UserError
from shared.recipe import Recipe
from shared.runs import Run, RunError

TASK = "phoneme_recognizer"
RELEASED = "english"  # the run that commands use by default
SCORER = "scorer"  # the name of the weights that score pronunciation
RELEASED_FILES = ("weights.safetensors", "ngrams.safetensors", f"{SCORER}.safetensors")  # besides config, metrics, ...


@dataclass(frozen=True, kw_only=True)
class Config(Recipe):
    """Settings of one training run; the defaults are those of the preset `spoken_scenes`."""

    corpus: str = "spoken_scenes"
    """Training corpus: spoken_scenes, spoken_manual, spoken_tatoeba, speechocean762, english_speech, timit, or a folder
    or table of sounds with transcripts. Several are joined by +; evaluation uses the first. NAME*0.1 is a tenth."""
    dev_corpus: str = ""
    """Corpus, folder or table for development, or several joined by +; default: a part of the training corpus, which is
    then not trained on."""
    test_corpus: str = ""
    """The same for the test."""
    dictionary: str = ""
    """File of pronunciations of your own, as in CMUdict, for folders and tables."""
    auxiliary_fraction: Fraction = 1.0
    """Fraction of each corpus after the first that is trained on, unless its name has one."""
    classes: Literal[61, 48, 39] = 39
    """Phone set of the labels; evaluation always uses 39 (Lee and Hon 1989)."""

    mels: Annotated[int, Bounds(1, 256)] = 64
    """Number of mel bands."""
    normalisation: Literal["speech", "running", "utterance", "corpus"] = "speech"
    """Of the mel bands: by the statistics of an utterance's loud frames, or relative to its loudest frame so far, which
    streaming needs. Silence changes neither. Older runs have the statistics of all frames of an utterance or corpus."""
    front_channels: Annotated[int, Bounds(1, 1000)] = 8
    """Channels of each convolution. Each halves the bands; each but the first halves the frames."""
    step_ms: Literal[20, 40] = 40
    """Milliseconds per step of the recurrent layers; 40 takes half the time of 20."""
    cell: Literal["simple_rnn", "lstm", "gru"] = "lstm"
    """Cell of the recurrent layers."""
    bidirectional: bool = True
    """Whether each recurrent layer reads in both directions; streaming needs one direction."""
    units: Units = 128
    """Units of a recurrent layer, per direction."""
    num_layers: Layers = 2
    """Number of recurrent layers."""

    dropout: DropoutRate = 0.1
    """Dropout between layers, with the same mask at all steps of an utterance."""
    frame_weight: Weight = 0.5
    """Weight of the per-frame phone loss, beside CTC; used where times are known."""
    frame_only_steps: CountOrZero = 200
    """Initial steps that train on the per-frame loss alone; without them CTC outputs only blanks for a long time."""
    consistency_weight: Weight = 0.0
    """Weight of the divergence between two views of each utterance, which differ in masks and dropout (CR-CTC; Yao et
    al. 2024). Above 0, a step does twice the work."""
    augment_probability: Fraction = 0.5
    """Probability that an utterance is cropped, resampled, scaled and mixed with noise."""
    min_snr_db: Annotated[float, Bounds(-100, 100)] = 5.0
    """Minimum signal-to-noise ratio of an augmented utterance in dB; the maximum is 25 dB higher."""
    speed_range: Annotated[float, Bounds(0, 0.9)] = 0.1
    """Maximum relative change of an augmented utterance's speed."""
    max_crop: Fraction = 0.0
    """Maximum fraction of an augmented utterance's leading and trailing silence that is cut; used where times are
    known."""
    vocal_tract_range: Annotated[float, Bounds(0, 0.9)] = 0.0
    """Maximum relative shift of all frequencies, as by another vocal tract (Jaitly and Hinton 2013)."""
    max_silence: Annotated[float, Bounds(0, 60)] = 1.0
    """Maximum seconds of silence added to an augmented utterance: before, after and, where times are known, inside."""
    reverberation_probability: Fraction = 0.0
    """Probability that an augmented utterance is placed in a room (a model of Polack 1988)."""
    telephone_probability: Fraction = 0.0
    """Probability that an augmented utterance passes a telephone line of 8,000 Hz."""
    no_speech_fraction: Fraction = 0.05
    """Fraction of utterances that are replaced by silence, noise, music or signals, without phones."""
    frequency_mask_width: Annotated[int, Bounds(0, 256)] = 8
    """Maximum width, in mel bands, of each of the two SpecAugment frequency masks (Park et al. 2019)."""
    time_mask_width: Annotated[int, Bounds(0, 10_000)] = 10
    """Maximum width, in frames of 10 ms, of each of the two SpecAugment time masks."""

    beam: BeamOrBestPath = 10
    """Beam width of the prefix search after training; 0 selects the best path."""
    ngram_order: Annotated[int, Bounds(1, 10)] = 5
    """Order of the phone n-grams, counted in the training corpus, that the search uses."""
    ngram_min_count: Annotated[int, Bounds(1, 1000)] = 1
    """Least number of occurrences of a context of the n-grams; rarer ones count as their last phones. Above 1, the run
    is smaller."""
    ngram_weight: Weight = 0.8
    """Weight of the n-gram log-probability in the search."""
    phone_bonus: Weight = 1.5
    """Score added per phone in the search, against the n-grams' preference for few phones."""

    batch_size: int = 8
    epochs: int = 3
    patience: int = 10
    weight_average: float = 0.99

    RENAMED: ClassVar[dict[str, str]] = {
        "beside": "auxiliary_fraction", "begin": "initial_run", "pace": "step_ms", "frames_first": "frame_only_steps",
        "consistency": "consistency_weight", "augmented": "augment_probability", "least_snr": "min_snr_db",
        "speed": "speed_range", "cropped": "max_crop", "tract": "vocal_tract_range",
        "masked_bands": "frequency_mask_width", "masked_frames": "time_mask_width",
    }  # fmt: skip
    """Former field names, as in the config.json of older runs, and their current names."""

    @property
    def inherited(self) -> tuple[str, ...]:
        names = "classes", "mels", "front_channels", "step_ms", "cell", "bidirectional", "units", "num_layers"
        return (*names, "frame_weight")  # without the frame head, CTC's outputs are others

    def starting_from(self, initial: Self) -> Self:
        # Weights for statistics of an utterance serve for those of its speech. Its CTC has learned more than blanks.
        normalisation = "speech" if initial.normalisation == "utterance" else initial.normalisation
        return replace(super().starting_from(initial), normalisation=normalisation, frame_only_steps=0)

    def __post_init__(self):
        super().__post_init__()
        check_recurrence(self.num_layers, self.units)
        width = ("mels", self.mels), ("front_channels", self.front_channels)
        check_product("values of a frame", 20_000, *width)
        if not all(self.corpora):
            raise UserError(f"corpus {self.corpus!r}: a name or a path was expected, or several joined by +")
        for name in ("dev_corpus", "test_corpus"):
            parts = getattr(self, name).split("+")
            if (len(parts) > 1 and not all(parts)) or any(split_fraction(part)[1] is not None for part in parts):
                raise UserError(f"{name} {getattr(self, name)!r}: whole corpora, joined by +, were expected")
        if outside := [name for name, share in zip(self.corpora, self.fractions, strict=True) if not 0 <= share <= 1]:
            raise UserError(f"corpus {self.corpus!r}: a fraction from 0 to 1 was expected after {outside[0]}*")

    @property
    def corpora(self) -> list[str]:
        """Names of the training corpora; the first is evaluated."""
        return [split_fraction(part)[0] for part in self.corpus.split("+")]

    @property
    def fractions(self) -> list[float]:
        """The fraction of each training corpus that is trained on."""
        shares = [split_fraction(part)[1] for part in self.corpus.split("+")]
        default = [1.0] + [self.auxiliary_fraction] * (len(shares) - 1)
        return [own if share is None else share for own, share in zip(default, shares, strict=True)]

    @property
    def frames(self) -> int:
        """Number of 10 ms frames per step of the recurrent layers."""
        return self.step_ms // 10


def split_fraction(part: str) -> tuple[str, float | None]:
    """The name of a corpus and its fraction from NAME*FRACTION; None if there is none."""
    found = re.fullmatch(r"(.*)\*(\d+\.?\d*|\.\d+)", part)
    return (found[1], float(found[2])) if found else (part, None)


def find_run(model: str | None = None) -> Run:
    """The run of a name or folder, by default the released one, else the newest; raises RunError if there is none."""
    return Run.find(model, TASK, RELEASED)


def check_scorer(run: Run) -> None:
    """Raise RunError if a run has no scorer of pronunciation."""
    if not (run.path / f"{SCORER}.safetensors").exists():
        command = f"python -m tasks.{TASK}.train_scorer --model {run.reference}"
        raise RunError(f"{run.path} has no scorer of pronunciation; train it with: {command}")


SPOKEN_SCENES = Config()

# A large vocabulary in varied sentences: the initial run for people's speech.
SPOKEN_MANUAL = replace(
    SPOKEN_SCENES, corpus="spoken_manual+spoken_scenes", auxiliary_fraction=0.4,
    front_channels=32, units=224, num_layers=3, dropout=0.2,
    augment_probability=0.7, min_snr_db=10.0, speed_range=0.25, frequency_mask_width=12, time_mask_width=20,
    beam=0, epochs=4, learning_rate=2e-3, warmup_steps=200,
)  # fmt: skip

# Few speakers, hard to understand: without this much augmentation the model overfits to each of them.
SPEECHOCEAN762 = replace(
    SPOKEN_MANUAL, corpus="speechocean762+spoken_manual", auxiliary_fraction=0.1, initial_run="spoken_manual",
    dropout=0.25, frame_only_steps=0, consistency_weight=0.2,
    augment_probability=0.8, speed_range=0.2, max_crop=1.0, vocal_tract_range=0.1, time_mask_width=25,
    beam=20, ngram_weight=0.6, phone_bonus=2.5,
    epochs=28, learning_rate=1.5e-3, warmup_steps=300, weight_average=0.998,
)  # fmt: skip

# Many people, in silence, noise, rooms and on telephones, and sounds without speech: for a user's own recordings.
ENGLISH = replace(
    SPEECHOCEAN762, corpus="speechocean762+english_speech+spoken_manual*0.1", auxiliary_fraction=1.0,
    dev_corpus="speechocean762+english_speech", initial_run="speechocean762",
    consistency_weight=0.0, min_snr_db=5.0, max_silence=1.5, reverberation_probability=0.25,
    telephone_probability=0.15, no_speech_fraction=0.06,
    ngram_min_count=4, ngram_weight=0.5, phone_bonus=1.5, epochs=9,
)  # fmt: skip

# The same recipe on the corpus of the published results.
TIMIT = replace(
    SPOKEN_SCENES, corpus="timit", front_channels=32, step_ms=20, units=256, num_layers=4,
    dropout=0.25, consistency_weight=0.2,
    augment_probability=0.8, min_snr_db=10.0, speed_range=0.15, frequency_mask_width=12, time_mask_width=25,
    beam=0, epochs=40, learning_rate=2e-3, warmup_steps=300, weight_average=0.998,
)  # fmt: skip

# One direction, and the level so far: recognizes a stream while it arrives.
STREAMING = replace(
    SPOKEN_SCENES, normalisation="running", front_channels=16, step_ms=20, bidirectional=False, units=256,
    beam=0, epochs=6,
)  # fmt: skip

PRESETS = {
    "spoken_scenes": SPOKEN_SCENES, "spoken_manual": SPOKEN_MANUAL, "speechocean762": SPEECHOCEAN762,
    "english": ENGLISH, "timit": TIMIT, "streaming": STREAMING,
}  # fmt: skip
