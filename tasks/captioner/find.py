"""Finds photos by a sentence, or the sentences that fit a photo, and where in the photo each word is.

    python -m tasks.captioner.find "a dog runs through the snow" photos/
    python -m tasks.captioner.find "a dog runs through the snow" photos/ --recursive --top 20 --gallery found.html
    python -m tasks.captioner.find "two children on a beach" photos/ *.jpg --json --output found.jsonl
    python -m tasks.captioner.find photo.jpg captions.txt
    python -m tasks.captioner.find photo.jpg - < captions.txt

The first argument is a sentence or, if there is a file of that name, a photo; then the sentences are in text files, one
a line. The score is the cosine of the vectors of sentence and photo, -1 to 1: it orders what is found, and is no
probability. For the words with the greatest shares of the score it is said where they are. The vectors of photos are
kept in an index, and computed again only for photos that are new or have changed.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from shared.bounds import Bounds
from shared.cli import USAGE, ModelOptions, OutputOptions, Results, command, parse, print_error, say_loading
from shared.errors import UserError
from shared.files import MediaError
from shared.inputs import Input, find_inputs
from shared.media import IMAGES, read_image
from shared.outputs import check_outputs
from shared.text import check_readable, read_batches
from tasks.captioner.config import check_finder, find_run
from tasks.captioner.gallery import Gallery

if TYPE_CHECKING:
    import numpy as np

    from tasks.captioner.finding import FoundWord, Match, PhotoFinder

Found = tuple[str, "np.ndarray", "Match"]  # the name of a photo, its pixels, and the sentence in it
MATCHED = 100  # sentences with a photo at a time
THIRDS = ("top", "middle", "bottom"), ("left", "middle", "right")


@dataclass(frozen=True, kw_only=True)
class Arguments(ModelOptions, OutputOptions):
    query: tyro.conf.Positional[str]
    """A sentence, or a photo."""
    among: tyro.conf.Positional[tuple[str, ...]]
    """For a sentence: photos and folders of them. For a photo: text files of sentences, or - for standard input."""
    top: Annotated[int, Bounds(1, 10_000)] = 10
    """Number of photos, or of sentences, that are listed."""
    recursive: bool = False
    """Also search the subfolders of folders."""
    index: Path | None = None
    """File of the index of photos; default: one for each model, beside the prepared corpora."""
    gallery: Path | None = None
    """Write an HTML page of what is found, with the regions of the words."""


def as_record(image: "np.ndarray", match: "Match") -> dict[str, Any]:
    """The JSON values of a photo and a sentence; boxes are in pixels: left, top, right, bottom."""
    height, width = image.shape[:2]

    def box(word: "FoundWord") -> list[int]:
        top, left, bottom, right = word.region
        return [round(left * width), round(top * height), round(right * width), round(bottom * height)]

    words = [
        {"word": word.word, "known": word.is_known, "score": round(word.score, 4), "box": box(word)}
        for word in match.words
    ]
    return {"sentence": match.sentence, "score": round(match.score, 4), "words": words}


def as_text(found: str, match: "Match") -> str:
    """One line: score, what is found, and where the telling words are."""
    words = ", ".join(f"{word.word} {position(word)}" for word in match.telling)
    return f"{match.score:.3f}  {found}" + (f"  ({words})" if words else "")


def position(word: "FoundWord") -> str:
    """Where a word is, in words: "bottom left"."""
    top, left, bottom, right = word.region
    vertical, horizontal = (
        names[min(2, int(3 * (start + end) / 2))]
        for names, start, end in zip(THIRDS, (top, left), (bottom, right), strict=True)
    )
    return " ".join(dict.fromkeys((vertical, horizontal)))


@command
def main(arguments: list[str]) -> int:
    options = parse(Arguments, arguments, "tasks.captioner.find", __doc__)
    is_photo = is_file(options.query)
    if not options.among:
        expected = "text files of sentences, or -," if is_photo else "photos or folders of them"
        raise UserError(f"{options.query}: {expected} to search were expected after it")
    if not is_photo and Path(options.query).suffix.lower() in IMAGES.suffixes:
        raise UserError(f"{options.query}: neither a photo, for there is no such file, nor a sentence")
    inputs = [] if is_photo else find_inputs(IMAGES, options.among, options.recursive)
    if any(image.path is None for image in inputs):
        raise UserError("-: photos are not read from standard input here; files or folders of them were expected")
    run = find_run(options.model)
    check_finder(run)
    searched = [options.query, *options.among] if is_photo else [image.path for image in inputs]
    check_outputs(
        {"--output": [options.output], "--gallery": [options.gallery], "--index": [options.index]},
        {"a file that is searched": searched, "a file of the model": [run.path]},
    )
    if is_photo:
        for source in options.among:
            check_readable(source)

    say_loading("finder of photos")
    from tasks.captioner.finding import PhotoFinder

    failed: list[str] = []
    finder, gallery, count = PhotoFinder.load(str(run.path)), Gallery(), 0
    found = (
        sentences_of_photo(finder, options, failed) if is_photo else photos_of_sentence(finder, options, inputs, failed)
    )
    with Results(options.json, options.output) as results:
        for name, image, match in found:
            shown = match.sentence if is_photo else name
            results.write({"image": name, **as_record(image, match)}, as_text(shown, match))
            if options.gallery:
                gallery.add_match(name, image, match)
            count += 1
    if gallery.figures and options.gallery:
        gallery.write(options.gallery)
    return 0 if count and not failed else 1 if count else USAGE


def is_file(name: str) -> bool:
    """Whether a query is the name of a file."""
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # a name that is too long, or has a NUL character
        return False


def photos_of_sentence(
    finder: "PhotoFinder", options: Arguments, inputs: Sequence[Input], failed: list[str]
) -> Iterator[Found]:
    """The best photos for the sentence of the options, after the index is updated."""
    from datasets import prepared_folder
    from tasks.captioner.photo_index import PhotoIndex, absolute

    vector = finder.of_texts([options.query])[0]  # before photos are read, which may take long
    report_unknown(finder, options.query)
    kept = prepared_folder() / "captioner" / f"index-{finder.fingerprint}.safetensors"
    index = PhotoIndex(options.index or kept, finder)
    failed += index.update(inputs)
    names = {absolute(image.path): image.name for image in inputs if image.path and image.error is None}
    for path, _ in index.search(vector, options.top, names):
        try:
            image = read_image(Path(path))
        except MediaError as error:  # since the index was updated
            print_error(f"{names[path]} {error}")
            failed.append(names[path])
            continue
        yield names[path], image, finder.match(image, [options.query])[0]


def sentences_of_photo(finder: "PhotoFinder", options: Arguments, failed: list[str]) -> Iterator[Found]:
    """The best sentences of text files for the photo of the options."""
    import numpy as np

    try:
        image = read_image(Path(options.query))
    except MediaError as error:
        raise UserError(f"{options.query} {error}") from None
    sentences, scores, vector = [], [], finder.of_images([image])[0]
    for source in options.among:
        for batch in read_batches(source):
            usable = []
            for sentence in filter(str.strip, batch):
                try:
                    finder.encode(sentence)
                    usable.append(sentence)
                except UserError as error:
                    print_error(f"{source}: {error}")
                    failed.append(sentence)
            if usable:
                sentences += usable
                scores.append(finder.of_texts(usable) @ vector)
    if not sentences:
        raise UserError(f"{', '.join(options.among)}: no sentence to search; one a line was expected")
    best = np.argsort(-np.concatenate(scores), kind="stable")[: options.top]
    for start in range(0, len(best), MATCHED):
        for match in finder.match(image, [sentences[i] for i in best[start : start + MATCHED]]):
            yield options.query, image, match


def report_unknown(finder: "PhotoFinder", sentence: str) -> None:
    """State which words of the sentence the model does not know."""
    pairs = zip(finder.vocabulary.words(sentence), finder.encode(sentence), strict=True)
    if unknown := list(dict.fromkeys(word for word, i in pairs if i == finder.vocabulary.unknown_id)):
        print(f"unknown to the model, read as one unknown word: {', '.join(unknown)}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
