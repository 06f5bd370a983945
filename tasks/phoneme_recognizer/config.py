"""The phoneme recognizer's configuration: every number of a run, with its reason."""

from dataclasses import dataclass, replace
from typing import Literal

from shared.errors import UserError, expect
from shared.phones import SETS, SILENCES

TASK = "phoneme_recognizer"
MAX_BEAM = 100  # far beyond what helps
RELEASED = "speechocean762"  # the run that the commands use unless told otherwise


@dataclass(frozen=True, kw_only=True)
class Config:
    """One training of the recognizer; the defaults are those of `spoken_scenes`."""

    corpus: str = "spoken_scenes"
    """What to train on: spoken_scenes, spoken_manual, spoken_tatoeba, speechocean762, timit, or a folder of sounds with
    transcripts. Several are joined by +; the first is the one that is measured."""
    beside: float = 1.0
    """Share of the other corpora that is learned from beside the first."""
    begin: str = ""
    """A trained run whose weights training begins with, and which finds times in corpora that have none."""
    classes: Literal[61, 48, 39] = 39
    """Set of phones that is learned; always 39 are scored (Lee and Hon 1989)."""

    mels: int = 64
    """Bands of the spectrum."""
    normalisation: Literal["utterance", "corpus"] = "utterance"
    """Over what each band is brought to mean 0 and deviation 1; over an utterance it cannot be in a stream."""
    front_channels: int = 8
    """Maps of each convolution over time and bands; each halves the bands, each but the first the frames."""
    pace: Literal[20, 40] = 40
    """Milliseconds from one step of the LSTMs to the next; with 40 all takes half as long."""
    cell: Literal["simple_rnn", "lstm", "gru"] = "lstm"
    """What the layers are made of."""
    bidirectional: bool = True
    """Each layer reads in both directions; else the recognizer can listen to a stream."""
    units: int = 128
    """Width of a layer, of one direction."""
    num_layers: int = 2
    """Layers one above the other."""

    dropout: float = 0.1
    """Of the units between layers, the same for all steps of an utterance."""
    frame_weight: float = 0.5
    """Of the loss that tells which phone each frame of 10 ms is, where times are known, beside that of CTC."""
    frames_first: int = 200
    """Steps in which frames alone are learned from, if at all; without them CTC is long in saying anything."""
    consistency: float = 0.0
    """Of the loss by which an utterance must be told alike when heard twice, each time with other stripes blanked and
    other units dropped (CR-CTC; Yao et al. 2024); twice the work of a step."""
    augmented: float = 0.5
    """Share of utterances that are made noisy, faster or slower; the others stay as they are."""
    least_snr: float = 5.0
    """Decibels: noise is drawn from here to 25 above."""
    speed: float = 0.1
    """Share by which an utterance may be played faster or slower."""
    cropped: float = 0.0
    """Share of its silence that may be cut away before and after such an utterance, where times are known."""
    tract: float = 0.0
    """Share by which, in training, all frequencies may lie higher or lower, as with another vocal tract (Jaitly and
    Hinton 2013)."""
    masked_bands: int = 8
    """In training two stripes of at most so many bands are blanked (SpecAugment; Park et al. 2019)."""
    masked_frames: int = 10
    """And two of at most so many frames of 10 ms."""

    beam: int = 10
    """Width of the prefix search for phones, once trained; 0: what the best path spells."""
    ngram_order: int = 5
    """Phones in a row that are counted in the training corpus for that search."""
    ngram_weight: float = 0.8
    """In it, of the logarithm of how probable each phone is after those before it."""
    phone_bonus: float = 1.5
    """And of each phone that is told, for that logarithm speaks against all of them."""

    batch_size: int = 8
    """Utterances in a batch."""
    epochs: int = 2
    """At most."""
    learning_rate: float = 3e-3
    """Adam's, at its highest."""
    warmup_steps: int = 100
    """Steps in which the rate rises."""
    schedule: Literal["cosine", "plateau"] = "cosine"
    """`cosine` spends all epochs; `plateau` halves the rate when the development error stalls."""
    patience: int = 10
    """Epochs without a lower development error after which training stops."""
    weight_average: float = 0.99
    """Momentum of the moving average of weights that is evaluated and kept."""
    clip_norm: float = 1.0
    """Global norm to which gradients are clipped."""
    seed: int = 1
    """Decides weights, dropout, noise and order."""

    def __post_init__(self):
        expect("at least 1", self, "mels front_channels units num_layers ngram_order batch_size epochs patience")
        expect("above 0", self, "learning_rate clip_norm")
        expect("0 or more", self, "frame_weight frames_first consistency beam ngram_weight phone_bonus")
        expect("0 or more", self, "masked_bands masked_frames warmup_steps seed")
        expect("from 0 to below 1", self, "dropout speed tract weight_average")
        expect("from 0 to 1", self, "augmented cropped beside")
        if not all(self.corpora):
            raise UserError(f"corpus {self.corpus!r}: a name or a path was expected, or several joined by +")

    @property
    def corpora(self) -> list[str]:
        """The first one is measured."""
        return self.corpus.split("+")

    @property
    def frames(self) -> int:
        """Of 10 ms, that one step of the LSTMs tells of."""
        return self.pace // 10

    @property
    def phones(self) -> tuple[str, ...]:
        """What is told apart, in the order of ids from 1 on; 0 is silence, and what CTC has between labels."""
        return tuple(phone for phone in SETS[self.classes] if phone not in SILENCES)


SPOKEN_SCENES = Config()

# Many words, in no order that could be learned by heart: a beginning for people's speech.
SPOKEN_MANUAL = replace(
    SPOKEN_SCENES,
    corpus="spoken_manual+spoken_scenes",
    beside=0.4,
    front_channels=32,
    units=224,
    num_layers=3,
    dropout=0.2,
    augmented=0.7,
    least_snr=10.0,
    speed=0.25,
    masked_bands=12,
    masked_frames=20,
    beam=0,
    epochs=4,
    learning_rate=2e-3,
    warmup_steps=200,
)

PRESETS = {
    "spoken_scenes": SPOKEN_SCENES,
    "spoken_manual": SPOKEN_MANUAL,
    # People, few and hard to understand; without all that is drawn, each of them would be learned by heart.
    "speechocean762": replace(
        SPOKEN_MANUAL,
        corpus="speechocean762+spoken_manual",
        beside=0.1,
        begin="spoken_manual",
        dropout=0.25,
        frames_first=0,
        consistency=0.2,
        augmented=0.8,
        speed=0.2,
        cropped=1.0,
        tract=0.1,
        masked_frames=25,
        beam=20,
        ngram_weight=0.6,
        phone_bonus=2.5,
        epochs=28,
        learning_rate=1.5e-3,
        warmup_steps=300,
        weight_average=0.998,
    ),
    # The recipe above on the corpus that published figures are of.
    "timit": replace(
        SPOKEN_SCENES,
        corpus="timit",
        front_channels=32,
        pace=20,
        units=256,
        num_layers=4,
        dropout=0.25,
        consistency=0.2,
        augmented=0.8,
        least_snr=10.0,
        speed=0.15,
        masked_bands=12,
        masked_frames=25,
        beam=0,
        epochs=40,
        learning_rate=2e-3,
        warmup_steps=300,
        weight_average=0.998,
    ),
    # Reads forwards alone, with what is known beforehand, so that it can listen while somebody speaks.
    "streaming": replace(
        SPOKEN_SCENES,
        normalisation="corpus",
        front_channels=16,
        pace=20,
        bidirectional=False,
        units=256,
        beam=0,
        epochs=6,
    ),
}
