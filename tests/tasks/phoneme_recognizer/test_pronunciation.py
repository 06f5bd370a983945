"""Scores of pronunciation: what the recognizer finds about phones, the scorer's training, and the command."""

import io
import json
import shutil
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import soundfile

from datasets.speechocean762.expert_scores import ExpertScores
from shared.audio import SAMPLE_RATE
from shared.phones import SpokenWord
from shared.runs import Run
from tasks.phoneme_recognizer import evaluate, inference, pronunciation, recognize, scorer_training, train_scorer
from tasks.phoneme_recognizer.data import read_split
from tasks.phoneme_recognizer.expert_scores import JudgedSplit
from tests.tasks.phoneme_recognizer.conftest import CONFIG, LETTERS, VOCABULARY, say, sound

pytestmark = pytest.mark.any_backend


def judged(seed: int, count: int) -> JudgedSplit:
    """Tones as phones: those of a text in which every fifth letter is another one than is said, and scored 0."""
    rng = np.random.default_rng(seed)
    records, label_ids, scores = [], [], []
    for index in range(count):
        said = "".join(rng.choice(list("aism"), 6))
        wrong = rng.random(6) < 0.2
        others = [rng.choice([letter for letter in "aism" if letter != own]) for own in said]
        text = np.where(wrong, others, list(said))
        phones = [LETTERS[letter] for letter in text]
        of_phones = np.where(wrong, 0.0, 2.0).astype(np.float32)
        label_ids.append(VOCABULARY.encode(phones))
        means = {"of_words": of_phones.reshape(2, 3).mean(axis=1), "of_utterance": float(of_phones.mean())}
        own = {"phones": tuple(phones), "of_phones": of_phones, "word_lengths": (3, 3), "are_derived": True}
        scores.append(ExpertScores(**own, **means))
        samples = say(said, 10 * seed + index).samples
        records.append({"audio": samples, "phones": phones, "speaker": str(index % 4)})
    split = read_split(CONFIG, records)
    return JudgedSplit(split.records, split.utterances, scores, label_ids)


@pytest.fixture(scope="module")
def scored(trained, tones) -> Run:
    """A copy of the trained run with a scorer, which the command has trained."""
    shutil.copytree(trained.run.path, tones / "scored")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            scorer_training, "load_judged", lambda split, *_: judged(*{"train": (1, 40), "dev": (2, 8)}[split])
        )
        for name, value in {
            "VIEWS": 2,
            "EPOCHS": 10,
            "BATCH_SIZE": 8,
            "WARMUP_STEPS": 5,
            "LEARNING_RATE": 1e-2,
        }.items():
            patch.setattr(scorer_training, name, value)
        with redirect_stdout(io.StringIO()) as output:
            assert train_scorer.main(["--model", "scored"]) == 0
    assert "phone PCC" in output.getvalue()
    run = Run(tones / "scored")
    assert "phone PCC" in run.load_metrics()["speechocean762 dev scores"]
    assert "speechocean762 dev scores" in (run.path / "README.md").read_text()
    return run


@pytest.fixture(scope="module")
def scorer(scored):
    loaded = pronunciation.PronunciationScorer.load("scored")
    return loaded.recognizer, loaded


@pytest.fixture
def warm(monkeypatch, scorer):
    """Makes the command use one recognizer and scorer in all tests, because loading takes most of the time."""
    monkeypatch.setattr(inference.SoundRecognizer, "load", lambda *_: scorer[0])
    monkeypatch.setattr(pronunciation.PronunciationScorer, "of", lambda *_: scorer[1])


def words(*texts: str) -> list[SpokenWord]:
    return [SpokenWord(text, (tuple(LETTERS[letter] for letter in text),)) for text in texts]


def test_right_phones_score_high_and_wrong_ones_low(scorer):
    recognizer, score = scorer
    right = score(sound("aims"), recognizer.align_words(sound("aims"), words("ai", "ms")))
    assert min(phone.score for phone in right.phones) > 50
    assert all(phone.said is phone.inserted is None for phone in right.phones)
    assert right.words == pytest.approx([np.mean([x.score for x in right.phones[i : i + 2]]) for i in (0, 2)])
    assert right.score == pytest.approx(np.mean([x.score for x in right.phones]))
    wrong = score(sound("aims"), recognizer.align_words(sound("aims"), words("as", "ms")))
    assert [phone.score < 50 for phone in wrong.phones] == [False, True, False, False]
    assert wrong.phones[1].said == "iy"
    assert wrong.phones[1].inserted is None  # the same sound is not counted twice
    assert wrong.phones[1].goodness < right.phones[1].goodness < 0.01


def test_insertions_and_omissions_are_found(scorer):
    recognizer, score = scorer
    inserted = score(sound("aims"), recognizer.align_words(sound("aims"), words("ams")))
    assert [phone.inserted for phone in inserted.phones] == ["iy", None, None]
    before = score(sound("aims"), recognizer.align_words(sound("aims"), words("ims")))
    assert [(phone.inserted_before, phone.inserted) for phone in before.phones] == [("aa", None), *[(None, None)] * 2]
    omitted = score(sound("ams"), recognizer.align_words(sound("ams"), words("aims")))
    assert omitted.phones[1].said == "" or omitted.phones[1].score < omitted.phones[0].score


def test_the_best_pronunciation_of_a_word_is_scored(scorer):
    recognizer, score = scorer
    variants = [SpokenWord("word", (("m", "m"), ("aa", "iy")))]
    aligned = recognizer.align_words(sound("ai"), variants)
    assert min(phone.score for phone in score(sound("ai"), aligned).phones) > 50


def test_a_long_sound_is_scored_in_pieces(scorer, monkeypatch):
    recognizer, score = scorer
    samples, texts = sound("aims sima"), words("aims", "sima")
    aligned = recognizer.align_words(samples, texts)
    whole = score(samples, aligned)
    limit = int(aligned.words[1].start * SAMPLE_RATE) + SAMPLE_RATE // 4
    for module, name, value in (
        (inference, "MAX_PIECE", limit),
        (inference, "MARGIN", 800),
        (pronunciation, "MAX_PIECE", limit),
    ):
        monkeypatch.setattr(module, name, value)
    in_pieces = score(samples, aligned)
    assert len(in_pieces.phones) == 8
    assert min(phone.score for phone in whole.phones) > 50
    # The network is bidirectional: a phone of a piece lacks what the other piece has.
    assert sum(phone.score > 50 for phone in in_pieces.phones) >= 6


def test_the_same_seed_gives_the_same_scorer(trained):
    import keras

    from tasks.phoneme_recognizer.scorer import build_scorer, feature_count

    rng, vocab = np.random.default_rng(0), len(VOCABULARY)
    examples = [
        scorer_training.Judged(
            rng.normal(size=(n, feature_count(vocab))).astype(np.float32),
            rng.integers(1, vocab, n).astype(np.int32),
            rng.uniform(0, 2, n).astype(np.float32),
        )
        for n in (3, 5, 4)
    ]

    def fitted():
        keras.utils.set_random_seed(3)
        scorer = build_scorer(vocab)
        scorer_training.fit(scorer, examples, seed=3)
        inputs = {"features": examples[0].features[None], "label_ids": examples[0].label_ids[None]}
        return np.asarray(scorer(inputs))

    first = fitted()
    np.testing.assert_array_equal(first, fitted())
    assert ((first > 0) & (first < 2)).all()


def test_the_command_writes_scores(warm, tmp_path, capsys):
    path = tmp_path / "a.wav"
    soundfile.write(path, say("aims").samples, SAMPLE_RATE)
    options = [str(path), "--model", "scored", "--score"]
    grid = tmp_path / "a.TextGrid"
    assert recognize.main([*options, "--align", "[aa s m s]", "--json", "--textgrid", str(grid)]) == 0
    (best,) = json.loads(capsys.readouterr().out)["recognitions"]
    assert best["score"] == pytest.approx(np.mean([phone["score"] for phone in best["phones"]]), abs=0.1)
    assert best["phones"][1]["said"] == "iy"
    assert "said" not in best["phones"][0]
    assert 'name = "scores"' in grid.read_text()
    assert "said iy" in grid.read_text()
    assert recognize.main([*options, "--align", "[aa s m s]"]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.endswith(f"  score {best['score']:.0f}")
    assert recognize.main([*options, "--align", "[iy m s]"]) == 0
    assert capsys.readouterr().out.splitlines()[1].endswith("iy  aa inserted before it")
    assert lines[1].split()[2:] == [f"{best['phones'][1]['score']:.0f}", "s", "said", "iy"]


def test_what_cannot_be_scored_is_named(trained, scored, tmp_path, capsys):
    path = tmp_path / "a.wav"
    soundfile.write(path, say("aims").samples, SAMPLE_RATE)
    assert recognize.main([str(path), "--score"]) == 2
    assert "--score is for a text" in capsys.readouterr().err
    assert recognize.main([str(path), "--model", "tiny", "--align", "[aa]", "--score"]) == 2
    assert "no scorer of pronunciation; train it with" in capsys.readouterr().err
    assert evaluate.main(["--model", "scored", "--scores"]) == 2
    assert "spoken_scenes has no experts' scores" in capsys.readouterr().err
    damaged = Path(shutil.copytree(scored.path, tmp_path / "damaged"))
    weights = scored.load_weights("scorer")
    Run(damaged).save_weights({**weights, "mean": weights["mean"][:-1]}, "scorer")
    assert recognize.main([str(path), "--model", str(damaged), "--align", "[aa]", "--score"]) == 2
    assert "scorer.safetensors: the weights do not fit the model: mean" in capsys.readouterr().err
