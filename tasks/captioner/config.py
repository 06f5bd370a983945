"""The captioner's configuration: every number of a run, with its reason."""

from dataclasses import dataclass, fields, replace
from typing import Annotated, ClassVar, Literal

from shared.bounds import (
    Beam,
    Bounds,
    Count,
    CountOrZero,
    DropoutRate,
    LearningRate,
    MaxLength,
    Units,
    check_product,
    check_recurrence,
)
from shared.errors import FieldError
from shared.recipe import DistillingRecipe, Recipe
from shared.runs import Run, RunError

TASK = "captioner"
CORPORA = ("scenes", "flickr8k", "flickr30k", "coco")  # those that have a name
RELEASED = "flickr8k"  # the default run of all commands
FINDER = "finder"  # the name of the weights that find photos by sentences
WEIGHTS = "weights.safetensors", "encoder.safetensors", f"{FINDER}.safetensors"
RELEASED_FILES = ("vocabulary.json", *WEIGHTS, "calibration.json")
STRIDES = {"cnn": 8, "mobilenet_v2": 32}  # pixels of a cell of the grid, by encoder


@dataclass(frozen=True, kw_only=True)
class Config(DistillingRecipe):
    """Configuration of a captioner and its training; the defaults are those of `scenes`."""

    corpus: str = "scenes"
    """Training corpus: scenes, flickr8k, flickr30k, coco, a folder of photos with captions, or a file of captions."""
    dev_corpus: str = ""
    """Corpus, folder or file for development; default: a part of the training corpus, which is then not trained on."""
    test_corpus: str = ""
    """The same for the test."""
    image_size: Annotated[int, Bounds(8, 512)] = 96
    """Height and width of the encoder's input in pixels; other images are resized to this square, without cropping."""
    encoder: Literal["cnn", "mobilenet_v2"] = "cnn"
    """`cnn` first learns to detect objects in scenes; `mobilenet_v2`, with ImageNet weights, to predict words."""
    encoder_words: Annotated[int, Bounds(1, 20_000)] = 1024
    """Number of words, the most frequent ones, that the encoder `mobilenet_v2` predicts."""
    ridge_penalty: Annotated[float, Bounds(0, 1_000_000, above=True)] = 2.0
    """L2 penalty of that ridge regression; of values from 0.1 to 30 the best on photos outside its training data."""
    encoder_epochs: Count = 2
    """Epochs of object detection; 96 % of the test scenes, 89 % of those with new pairs, are then fully correct."""
    encoder_batch_size: Annotated[int, Bounds(1, 1000)] = 16
    """Images per batch in object detection."""
    encoder_learning_rate: LearningRate = 4e-3
    """Peak learning rate of Adam in object detection."""
    encoder_warmup_steps: CountOrZero = 50
    """Steps of linear warm-up in object detection."""
    mirror: bool = False
    """Also train on mirrored images; wrong where captions say left and right."""

    min_count: Count = 1
    """Words with fewer occurrences in the training captions become unknown; below 40,000 words fewer suffice."""
    max_length: MaxLength = 32
    """Maximum number of words of a caption, in training and in search."""

    units: Units = 192
    """Width of embedding, LSTMs and attention."""
    embedding_stddev: Annotated[float, Bounds(0, 100, above=True)] = 1.0
    """Initial standard deviation of word embeddings. At 0.03, 4 epochs are too few for the relations of scenes."""
    sum_pooling: bool = True
    """Pool the grid by its sum, which allows counting objects, instead of its mean."""
    language_lstm: bool = True
    """Add a second LSTM over the attended contexts; captions that relate objects to each other need it."""
    dropout: DropoutRate = 0.0
    """Dropout rate before the output layer."""
    label_smoothing: DropoutRate = 0.0
    """Fraction of the target probability that is spread over all words; the captions of scenes have no noise."""

    epochs: CountOrZero = 3
    """Maximum number of epochs of cross-entropy training; 0 for a run of --from that is trained for its reward only."""
    warmup_steps: int = 200  # Adam's second moments are inaccurate at first
    weight_average: float = 0.99  # about 1 / (1 - momentum) steps long
    clip_norm: float = 5.0
    reward_epochs: CountOrZero = 0
    """Maximum number of epochs of self-critical training after cross-entropy training; see `self_critical.py`."""
    reward_samples: Annotated[int, Bounds(2, 100)] = 5
    """Captions per image; the baseline of each is the mean reward of the others."""
    reward_captions: Literal["samples", "beam"] = "samples"
    """Independent samples, or the captions that a beam search finds."""
    reward_learning_rate: LearningRate = 3e-5
    """Learning rate of self-critical training. Policy gradients are noisy: 60 steps on samples of 12 photos at 2e-4
    made the captions of a search shorter and worse, although the reward of samples rose."""

    beam: Beam = 3
    """Beam width. By probability alone, 3 to 5 are best on Flickr8k and 20 is worse; with the weights below, 8."""
    length_penalty: Annotated[float, Bounds(0, 100)] = 0.0
    """Exponent of the length penalty in beam search; higher values favour longer captions."""
    finder_weight: Annotated[float, Bounds(0, 100)] = 0.0
    """Weight of the finder's score of image and caption in the order of the captions found; see `ranking.py`."""
    consensus_weight: Annotated[float, Bounds(0, 100)] = 0.0
    """Weight of what a caption has in common with the others found; see `ranking.py`."""
    refuse_repeats: bool = True
    """No phrase directly after itself, nor after itself and a word such as "and"; people's captions have none."""

    RENAMED: ClassVar[dict[str, str]] = {
        "words": "encoder_words", "word_penalty": "ridge_penalty",
        "word_scale": "embedding_stddev", "counts": "sum_pooling",
    }  # fmt: skip
    """Former names of fields, as the config.json of older runs has them, and their current names."""
    PROLONGING: ClassVar[tuple[str, ...]] = (*Recipe.PROLONGING, "reward_epochs")

    @property
    def inherited(self) -> tuple[str, ...]:
        encoder = (field.name for field in fields(self) if field.name.startswith("encoder"))  # it is taken over
        return (*encoder, "image_size", "ridge_penalty", "units", "embedding_stddev", "sum_pooling", "language_lstm")

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of an image's grid."""
        side = self.image_size // STRIDES[self.encoder]
        return side, side

    def __post_init__(self):
        super().__post_init__()
        if self.encoder == "cnn" and self.corpus != "scenes":
            raise FieldError("encoder", self.encoder, f"mobilenet_v2 was expected for photos (corpus {self.corpus!r})")
        for name in ("dev_corpus", "test_corpus"):
            if self.corpus == "scenes" and (value := getattr(self, name)):
                raise FieldError(name, value, "none was expected: scenes are measured by what is drawn")
        stride = STRIDES[self.encoder]
        if self.image_size % stride:
            raise FieldError("image_size", self.image_size, f"a multiple of {stride} was expected ({self.encoder})")
        if not self.epochs and not (self.initial_run and self.reward_epochs):
            raise FieldError("epochs", 0, "1 or more was expected; 0 is for --from RUN with --reward-epochs")
        if not self.epochs and self.teachers:
            raise FieldError("teachers", self.teachers, "none was expected: teachers are imitated in --epochs, here 0")
        check_recurrence(2, self.units)
        cells = ("cells", (self.image_size // stride) ** 2)
        lengths = ("beam", self.beam), ("max_length", self.max_length)
        check_product("attention weights of an image", 2_000_000, *lengths, cells)
        pixels = ("image_size", self.image_size), ("image_size", self.image_size)
        check_product("pixels of a batch", 10_000_000, ("encoder_batch_size", self.encoder_batch_size), *pixels)


SCENES = Config()

FLICKR8K = replace(
    SCENES,
    corpus="flickr8k",
    image_size=224,  # the training size of MobileNetV2; gives a grid of 7 x 7
    encoder="mobilenet_v2",
    mirror=True,
    min_count=5,  # a vocabulary of 2,500 words, as in the literature
    max_length=24,  # longer than 99 % of the captions
    embedding_stddev=0.03,  # larger embeddings take the weight of the image away
    sum_pooling=False,
    language_lstm=False,
    units=512,
    dropout=0.5,  # the model overfits 30,000 captions early
    epochs=5,
    learning_rate=7e-4,
    warmup_steps=100,
    patience=2,
    weight_average=0.9,
    seed=2,  # the better of two; seeds differ by 0.01 CIDEr-D
    beam=8,
    length_penalty=1.2,  # without it, captions are one word too short
    finder_weight=2.5,  # this and the next, with a finder: CIDEr-D 0.568 in place of 0.523 on the development split
    consensus_weight=4.0,
)

FLICKR8K_SCST = replace(
    FLICKR8K,
    initial_run="flickr8k",  # the run of that preset, or the released one
    epochs=0,
    reward_epochs=12,
    reward_captions="beam",  # what is rewarded is what a search would say
    batch_size=160,  # the captions of 32 photos, whose gradient is less noisy than that of 12
    weight_average=0.98,
    patience=3,
)

PRESETS = {
    "scenes": SCENES,
    "flickr8k": FLICKR8K,
    "flickr8k_scst": FLICKR8K_SCST,  # self-critical training; any run with captions of photos by --from
    "flickr30k": replace(FLICKR8K, corpus="flickr30k", mirror=False, epochs=8),  # 3 GB of grids; more words to learn
    "coco": replace(FLICKR8K, corpus="coco", mirror=False, encoder_words=512, epochs=4),  # 6 GB of grids
    "photos": replace(FLICKR8K, corpus="", seed=1),  # --corpus names them
}


def find_run(model: str | None = None) -> Run:
    """The run of a name or folder; default: the released run, else the newest."""
    return Run.find(model, TASK, RELEASED)


def has_finder(run: Run) -> bool:
    """Whether a run finds photos by sentences."""
    return (run.path / f"{FINDER}.safetensors").exists()


def check_finder(run: Run) -> None:
    """Raise RunError if it does not."""
    if not has_finder(run):
        command = f"python -m tasks.{TASK}.train_finder --model {run.reference}"
        raise RunError(f"{run.path} has no finder of photos; train it with: {command}")
