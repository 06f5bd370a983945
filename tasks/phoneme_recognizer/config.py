"""The phoneme recognizer's configuration: every number of a run, with its reason."""

from dataclasses import dataclass, replace
from typing import Literal

from shared.errors import UserError
from shared.phones import SETS, SILENCES

TASK = "phoneme_recognizer"
RELEASED = "speechocean762"  # the run that the commands use unless told otherwise


@dataclass(frozen=True, kw_only=True)
class Config:
    """One training of the recognizer; the defaults are those of `spoken_scenes`."""

    corpus: str = "spoken_scenes"
    """What to train on: spoken_scenes, speechocean762, timit, or the path of a folder of sound files with transcripts.
    Several are joined by +; the first is the one that is measured."""
    classes: Literal[61, 48, 39] = 39
    """Set of phones that is learned; always 39 are scored (Lee and Hon 1989)."""

    mels: int = 64
    """Bands of the spectrum."""
    normalisation: Literal["utterance", "corpus"] = "utterance"
    """Whose mean and deviation each band is rid of; of an utterance they are known at its end, so not in a stream."""
    front_units: int = 128
    """Width of the two convolutions over time, the second of which halves the frames."""
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
    augmented: float = 0.5
    """Share of utterances that are made noisy, faster or slower; the others stay as they are."""
    least_snr: float = 5.0
    """Decibels: noise is drawn from here to 25 above."""
    speed: float = 0.1
    """By which share an utterance may be faster or slower."""
    masked_bands: int = 8
    """In training two stripes of at most so many bands are blanked (SpecAugment; Park et al. 2019)."""
    masked_frames: int = 10
    """And two of at most so many frames of 10 ms."""

    beam: int = 0
    """Of prefix search, once trained; 0 spells the best path."""
    trigram_weight: float = 0.3
    """Of the logarithm of what three phones in a row are like, in that search."""

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
        positive = ("mels", "front_units", "units", "num_layers", "batch_size", "epochs", "patience")
        for name in positive:
            if getattr(self, name) < 1:
                raise UserError(f"{name} {getattr(self, name)}: at least 1 was expected")
        for name in ("learning_rate", "clip_norm"):
            if not getattr(self, name) > 0:
                raise UserError(f"{name} {getattr(self, name)}: above 0 was expected")
        for name in (
            "frame_weight",
            "frames_first",
            "beam",
            "trigram_weight",
            "masked_bands",
            "masked_frames",
            "warmup_steps",
            "seed",
        ):
            if getattr(self, name) < 0:
                raise UserError(f"{name} {getattr(self, name)}: 0 or more was expected")
        for name in ("dropout", "speed", "weight_average"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name} {getattr(self, name)}: from 0 to below 1 was expected")
        if not 0 <= self.augmented <= 1:
            raise UserError(f"augmented {self.augmented}: from 0 to 1 was expected")
        if not all(self.corpora):
            raise UserError(f"corpus {self.corpus!r}: a name or a path was expected, or several joined by +")

    @property
    def corpora(self) -> list[str]:
        """The first one is measured."""
        return self.corpus.split("+")

    @property
    def phones(self) -> tuple[str, ...]:
        """What is told apart, in the order of ids from 1 on; 0 is silence, and what CTC has between labels."""
        return tuple(phone for phone in SETS[self.classes] if phone not in SILENCES)


SPOKEN_SCENES = Config()

PRESETS = {
    "spoken_scenes": SPOKEN_SCENES,
    # People, few and hard to understand; beside them the scenes, from which the model learns when a phone begins.
    "speechocean762": replace(
        SPOKEN_SCENES,
        corpus="speechocean762+spoken_scenes",
        front_units=192,
        units=224,
        num_layers=3,
        dropout=0.3,
        augmented=0.7,
        least_snr=10.0,
        masked_bands=12,
        masked_frames=20,
        batch_size=16,
        epochs=24,
        learning_rate=2e-3,
        warmup_steps=300,
        weight_average=0.998,
    ),
    # The recipe above on the corpus that published figures are of.
    "timit": replace(
        SPOKEN_SCENES,
        corpus="timit",
        front_units=192,
        units=256,
        num_layers=4,
        dropout=0.3,
        augmented=0.7,
        least_snr=10.0,
        masked_bands=12,
        masked_frames=20,
        batch_size=8,
        epochs=50,
        learning_rate=2e-3,
        warmup_steps=300,
        weight_average=0.998,
    ),
    # Reads forwards alone, with what is known beforehand, so that it can listen while somebody speaks.
    "streaming": replace(SPOKEN_SCENES, epochs=6, normalisation="corpus", bidirectional=False, units=256),
}
