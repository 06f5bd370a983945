"""Outputs of the released models, recorded once, to the last bit; see `test_golden.py`.

    python -m tests.golden captioner        # records one model's outputs, or all without a name

Numbers are hexadecimal, arrays are a SHA-256 of their float32 bytes. Other processors round sums differently, so a
record names its processor.
"""

import hashlib
import json
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np

from shared.machine import processor_fields

RECORD = Path(__file__).with_name("golden.json")
GERMAN = ["Ein Hund läuft über eine Wiese.", "Zwei Frauen kochen Suppe.", "", "Xyzzy!"]
ENGLISH = ["Two dogs play in the snow.", "A man in a blue shirt is standing on a ladder cleaning a window."]
FRENCH = ["Où est la gare ?", "Je voudrais un café et deux croissants."]
BLANKS = ["the ___ of the city", "it was ___ by the ___ in 1999 ."]
OPINIONS = ["a warm, funny and moving film", "An overlong mess.", ""]
TEXTS = ["the cat sat on the mat", "", "The river , which flows through <unk> , is long ."]


def processor() -> str:
    """Vendor, family and model of the processor."""
    fields = processor_fields()
    names = ("vendor_id", "cpu family", "model")
    return " ".join(fields[name] for name in names if name in fields) or platform.processor()


def make_image() -> np.ndarray:
    """Sky, grass, and something brown, uint8 `(180, 240, 3)`."""
    y, x = np.mgrid[:180, :240]
    sky = np.stack([90 + y // 4, 140 + y // 4, 220 - y // 8], -1)
    grass = np.stack([40 + x % 23, 120 + (x * 7 + y * 13) % 31, 40 + y % 17], -1)
    picture = np.where((y < 100)[..., None], sky, grass)
    picture = np.where((((x - 120) / 40) ** 2 + ((y - 110) / 25) ** 2 < 1)[..., None], [120, 70, 30], picture)
    return picture.astype(np.uint8)


def hexes(values: Any) -> list[str]:
    return [float(value).hex() for value in np.asarray(values, np.float64).ravel()]


def digest(array: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(array, np.float32).tobytes()).hexdigest()


def translator() -> dict[str, Any]:
    from tasks.translator.inference import PairScorer, Translator

    outputs: dict[str, Any] = {}
    models = {
        "multi30k-de-en": GERMAN, "multi30k-en-de": ENGLISH, "multi30k-en-fr": ENGLISH, "everyday-de-en": GERMAN,
        "everyday-en-de": ENGLISH, "everyday-en-fr": ENGLISH, "everyday-fr-en": FRENCH,
    }  # fmt: skip
    for name, sentences in models.items():
        outputs[name] = [
            [
                {
                    "text": found.text,
                    "log_prob": found.log_prob.hex(),
                    "score": found.score.hex(),
                    "tokens": found.tokens,
                    "probabilities": hexes(found.probabilities),
                    "attention": digest(found.attention),
                    "alignment": [list(pair) for pair in found.alignment],
                }
                for found in translations[:3]
            ]
            for translations in Translator.load(name, n_best=3, as_is=True)(sentences)
        ]
    pairs = [("Ein Hund.", "A dog."), ("Ein Hund läuft über eine Wiese.", "A dog runs.")]
    outputs["score"] = [
        {"tokens": score.tokens, "log_probs": hexes(score.log_probs), "attention": digest(score.attention)}
        for score in PairScorer.load("multi30k-de-en")(pairs)
    ]
    return outputs


def language_model() -> dict[str, Any]:
    from tasks.language_model.inference import BlankFiller, Sampling, TextGenerator, TextScorer

    outputs: dict[str, Any] = {}
    for name, model, carry in (
        ("score", "wikitext2", False), ("score carried", "wikitext2", True), ("score by subwords", "english", False)
    ):  # fmt: skip
        outputs[name] = [
            {"tokens": score.tokens, "log_probs": hexes(score.log_probs), "unknown": score.unknown}
            for score in TextScorer.load(model, carry=carry)(TEXTS)
        ]
    generator = TextGenerator.load("wikitext2")
    generator.read("The river")
    drawn = list(generator.draw(20, 2, Sampling(temperature=0.8, top_k=50, top_p=0.95), 3))
    outputs["generate"] = [
        {
            "tokens": [int(tokens[i]) for tokens, _ in drawn],
            "log_probs": hexes([log_probs[i] for _, log_probs in drawn]),
        }
        for i in range(2)
    ]
    filler = BlankFiller.load("wikitext2_fill")
    outputs["fill"] = [
        [[[word, probability.hex()] for word, probability in words] for words in filler(text).blanks] for text in BLANKS
    ]
    return outputs


def phoneme_recognizer() -> dict[str, Any]:
    from tasks.phoneme_recognizer.export import example_sounds
    from tasks.phoneme_recognizer.inference import Recognition, SoundRecognizer

    def described(recognition: Recognition) -> dict[str, Any]:
        phones = [
            [phone.phone, *(x.hex() for x in (phone.start, phone.end, phone.probability))]
            for phone in recognition.phones
        ]
        return {"phones": phones, "log_prob": recognition.log_prob.hex()}

    recognizer = SoundRecognizer.load("english", n_best=2)
    sound = example_sounds()[1]  # like speech: in noise the recognizer finds no phones
    return {
        "recognize": [described(found) for found in recognizer([sound])[0][:2]],
        "align": [described(recognizer.align(sound, ["s", "m", "ao", "l"]))],
        "posteriors": digest(recognizer.posteriors(sound)),
    }


def captioner() -> dict[str, Any]:
    from tasks.captioner.inference import ImageCaptioner

    image = make_image()
    images = [image, np.ascontiguousarray(image[::-1, ::-1][:100])]
    return {
        "caption": [
            [
                {
                    "text": caption.text,
                    "tokens": caption.tokens,
                    "log_prob": caption.log_prob.hex(),
                    "attention": digest(caption.attention),
                    "sentinel": hexes(caption.sentinel),
                }
                for caption in captions[:4]
            ]
            for captions in ImageCaptioner.load("flickr8k")(images)
        ]
    }


def classifier() -> dict[str, Any]:
    from tasks.language_model.classification import TextClassifier

    answers = TextClassifier.load("sst2")(OPINIONS)
    return {"classify": [{label: p.hex() for label, p in answer.probabilities.items()} for answer in answers]}


MODELS = {
    function.__name__: function for function in (captioner, classifier, language_model, phoneme_recognizer, translator)
}


def main(names: list[str]) -> None:
    """Records the outputs of the named models, or of all."""
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    for name in names or MODELS:
        record[name] = {"processor": processor(), "outputs": MODELS[name]()}
    RECORD.write_text(json.dumps(record, ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
