"""The captioner's configuration: every number of a run, with its reason."""

from dataclasses import dataclass, replace
from typing import Literal

from shared.errors import expect

TASK = "captioner"
RELEASED = "flickr8k"  # the run that the commands use unless told otherwise


@dataclass(frozen=True, kw_only=True)
class Config:
    """One training of the captioner; the defaults are those of `scenes`."""

    corpus: Literal["scenes", "flickr8k"] = "scenes"
    """What to train on."""
    image_size: int = 96
    """Pixels on each side; other pictures are squeezed to it, so that the grid covers all of them."""
    encoder: Literal["cnn", "mobilenet_v2"] = "cnn"
    """`cnn` first learns the objects of the scenes; `mobilenet_v2`, with ImageNet weights, the words of captions."""
    words: int = 1024
    """The most frequent words, of which `mobilenet_v2` learns where in a photo they belong."""
    word_penalty: float = 2.0
    """Of the squared weights in that regression; among 0.1 to 30 the best for photos that it was not fitted to."""
    encoder_epochs: int = 2
    """In which `cnn` learns the objects; 96 % of the test scenes are then seen rightly, 89 % with new pairs."""
    encoder_batch_size: int = 16
    """Images in a batch of these epochs."""
    encoder_learning_rate: float = 4e-3
    """Adam's, at its highest, in these epochs."""
    encoder_warmup_steps: int = 50
    """Steps in which that rate rises."""
    mirror: bool = False
    """Train on mirrored pictures too; never where captions say left and right."""

    min_count: int = 1
    """Words seen less often in training become unknown."""
    max_length: int = 32
    """Words of a caption, at most, in training and in search."""

    units: int = 192
    """Width of embedding, LSTMs and attention."""
    word_scale: float = 1.0
    """Standard deviation of the word embeddings at first. At 0.03 four epochs did not teach the relations of scenes."""
    counts: bool = True
    """The summary is the sum over the grid, by which objects can be counted, in place of the mean."""
    language_lstm: bool = True
    """A second LSTM that remembers what was looked at; captions that tell how objects stand to each other need it."""
    dropout: float = 0.0
    """Of the units before the softmax."""
    label_smoothing: float = 0.0
    """Share of the probability spread over all words; the scenes are free of noise and need none."""

    batch_size: int = 64
    """Captions in a batch."""
    epochs: int = 3
    """At most."""
    learning_rate: float = 3e-3
    """Adam's, at its highest."""
    warmup_steps: int = 200
    """Steps in which the rate rises; Adam's second moments are poor before."""
    schedule: Literal["cosine", "plateau"] = "cosine"
    """`cosine` spends all epochs; `plateau` halves the rate when development CIDEr-D stalls."""
    patience: int = 5
    """Epochs without a better development CIDEr-D after which training stops."""
    weight_average: float = 0.99
    """Momentum of the moving average of weights that is evaluated and kept; about 1/(1 - momentum) steps long."""
    reward_epochs: int = 0
    """Epochs of self-critical training after these, at most; 0 is none. See `self_critical.py`."""
    reward_samples: int = 5
    """Captions sampled for each image; each is judged against the mean of the others."""
    reward_learning_rate: float = 3e-5
    """Adam's, in self-critical training: policy gradients are noisy, and 1e-4 made captions of photos worse."""
    clip_norm: float = 5.0
    """Global norm to which gradients are clipped."""
    seed: int = 1
    """Decides weights, dropout and the order of batches."""

    beam: int = 3
    """Hypotheses kept in search; 3 to 5 are best on Flickr8k, 20 are worse."""
    length_penalty: float = 0.0
    """Exponent that favours longer captions in search."""

    def __post_init__(self):
        expect("at least 1", self, "image_size words encoder_epochs encoder_batch_size min_count max_length units")
        expect("at least 1", self, "batch_size epochs patience reward_samples beam")
        expect("from 0 to below 1", self, "dropout label_smoothing weight_average")


SCENES = Config()

PRESETS = {
    "scenes": SCENES,
    "flickr8k": replace(
        SCENES,
        corpus="flickr8k",
        image_size=224,  # what MobileNetV2 was trained on: a grid of 7 x 7
        encoder="mobilenet_v2",
        mirror=True,
        min_count=5,  # 2,500 words, as the literature
        max_length=24,  # 99 % of the captions are shorter
        word_scale=0.03,  # words that are louder at first take more of the caption from the image
        counts=False,
        language_lstm=False,
        units=512,
        dropout=0.5,  # 30,000 captions overfit soon
        epochs=5,
        learning_rate=7e-4,
        warmup_steps=100,
        patience=2,
        weight_average=0.9,
        seed=2,  # the better of two; seeds differ by 0.01 CIDEr-D
        beam=4,
        length_penalty=1.3,  # without, captions are a word too short
    ),
}
