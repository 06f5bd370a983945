"""The captioner's configuration: every number of a run, with its reason."""

from dataclasses import dataclass, replace
from typing import Literal

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
    """`cnn` first learns the objects of the scenes; `mobilenet_v2` has ImageNet weights, and its grids are cached."""
    encoder_epochs: int = 1
    """In which `cnn` learns the objects; 99 % of the scenes are then seen without an error."""
    encoder_learning_rate: float = 4e-3
    """Adam's, at its highest, in these epochs."""
    mirror: bool = False
    """Train on mirrored pictures too; never where captions say left and right."""

    min_count: int = 1
    """Words seen less often in training become unknown."""
    max_length: int = 32
    """Words of a caption, at most, in training and in search."""

    decoder: Literal["two_lstms", "two_looks"] = "two_lstms"
    """A second LSTM over what was looked at, or a second look: see `model.py`."""
    units: int = 192
    """Width of embedding, LSTM, attention and output."""
    dropout: float = 0.0
    """Of the decoder's inputs and outputs."""
    grid_dropout: float = 0.0
    """Of the grid's channels."""
    label_smoothing: float = 0.0
    """Share of the probability spread over all words; the scenes are free of noise and need none."""

    batch_images: int = 16
    """Images in a batch."""
    captions_per_image: int = 3
    """References of an image in a batch, drawn anew each time; the grid is computed once for all of them."""
    epochs: int = 8
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
    reward_learning_rate: float = 1e-4
    """Adam's, in self-critical training: policy gradients are noisy."""
    clip_norm: float = 5.0
    """Global norm to which gradients are clipped."""
    seed: int = 1
    """Decides weights, dropout and the order of batches."""

    beam: int = 3
    """Hypotheses kept in search; 3 to 5 are best on Flickr8k, 20 are worse."""
    length_penalty: float = 0.0
    """Exponent that favours longer captions in search."""


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
        decoder="two_looks",
        units=512,
        dropout=0.5,  # 30,000 captions overfit soon
        label_smoothing=0.1,
        captions_per_image=5,
        epochs=8,
        learning_rate=1e-3,
        warmup_steps=400,
        weight_average=0.997,
        beam=5,
        length_penalty=1.0,  # half a point of BLEU-4 on development
    ),
}
