"""What the machine has: the ImageNet weights in Keras' cache."""

import os
from pathlib import Path


def imagenet_folder() -> Path:
    """The folder where Keras keeps pretrained weights."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models"


def has_imagenet_weights() -> bool:
    """Whether the weights of MobileNetV2, the captioner's encoder, are in Keras' cache; else Keras fetches them."""
    return any(imagenet_folder().glob("mobilenet_v2*"))
