"""The model card of a phoneme recognizer."""

from shared.card import all_terms, write_card
from shared.runs import Run
from tasks.phoneme_recognizer.config import Config

TERMS = {
    "spoken_scenes": "Trained on captions of this project's scenes, spoken by espeak-ng. The weights carry its terms.",
    "spoken_manual": "Trained on sentences of Python's manual (PSF License), spoken by espeak-ng.",
    "spoken_tatoeba": "Trained on sentences of tatoeba.org (CC BY 2.0), spoken by espeak-ng.",
    "speechocean762": (
        "Trained on speechocean762 (Zhang et al. 2021), free for commercial and other use: English read aloud by"
        " speakers of Mandarin, half of them children."
    ),
    "english_speech": (
        "Trained on recordings of LibriSpeech (CC BY 4.0), VoxForge (GPL, version 3 or later), AN4 (Carnegie Mellon"
        " University, free with its notice), CMU ARCTIC (free), kathleen (CC0), LJSpeech (public domain), the Modified"
        " Rhyme Test of NIST (public domain) and Asterisk (CC BY-SA 3.0). `datasets/english_speech/README.md` has the"
        " sources."
    ),
    "timit": (
        "Trained on TIMIT (LDC93S1), licensed by the Linguistic Data Consortium. **Its licence decides** what may be"
        " done with the weights."
    ),
}

# Core test set, silence scored as a phone.
PUBLISHED = {
    "timit": {
        "CTC, 3 x 250 (Graves et al. 2013)": {"PER with silence": 0.186},
        "pretrained transducer (Graves et al. 2013)": {"PER with silence": 0.177},
        "CTC CRDNN (SpeechBrain)": {"PER with silence": 0.148},
    }
}

REMARKS = """\
- `PER`: substitutions, deletions and insertions as a fraction of the phones in the references; 39 classes, without
  silence unless the name says `with silence`.
- `PFER`: the same over articulatory features; a substitution counts by how many of 24 features differ (PanPhon).
- `PER interval`: 95 % confidence interval of the PER; speakers are drawn (bootstrap).
- `PER of` a group: that of its utterances alone. Native speakers have an accent of English, as the source states;
  children are below 18.
- `scored 8 or more`: the experts' accuracy of the utterance, 0 to 10; `with phones scored 1.6 or more`: the mean of
  their scores of its phones, 0 to 2, which corpora without scores of utterances have.
- `ECE`: expected calibration error, after calibration on dev.
- `boundary median ms`: median error of the starts of correct phones; `boundary F1`: all boundaries, within 20 ms.\
"""


def terms(run: Run) -> str:
    """The terms of the data that a run was trained on, also by way of the run that it started from."""
    corpora = run.read_config(Config).corpora
    own = (TERMS.get(name, f"Trained on {name}; its terms apply to the weights.") for name in corpora)
    return all_terms(run, "\n\n".join(own))


def write(run: Run) -> None:
    """Write the model card of a trained recognizer."""
    config = run.read_config(Config)
    directions = "both directions" if config.bidirectional else "one direction"
    write_card(
        run,
        title=f"Phoneme recognizer, trained on {' and '.join(config.corpora)}",
        summary=(
            f"{config.num_layers} {config.cell} layers of {config.units} units in {directions}, with connectionist"
            " temporal classification and a per-frame head: a sound in, phones with times and probabilities out."
            " See `tasks/phoneme_recognizer/README.md`."
        ),
        terms=terms(run),
        usage=(
            f"python -m tasks.phoneme_recognizer.recognize --model {run.name} speech.wav\n"
            f"python -m tasks.phoneme_recognizer.evaluate --model {run.name} --split dev\n"
            f"python -m tasks.phoneme_recognizer.export {run.name}"
        ),
        published=PUBLISHED.get(config.corpora[0], {}),
        remarks=REMARKS,
    )
