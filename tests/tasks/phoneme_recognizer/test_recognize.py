"""The command line: sounds of every kind, forms of output, and what is said of bad input."""

import io
import json
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from shared.audio import SAMPLE_RATE
from shared.runs import Run
from tasks.phoneme_recognizer import recognition, recognize, streaming
from tasks.phoneme_recognizer.recognition import Phone, Recognition, SoundRecognizer, batches, cut
from tasks.phoneme_recognizer.recognize import main
from tests.tasks.phoneme_recognizer.conftest import say, sound

TEXTS = {"a.wav": "aims", "b.flac": "si am", "c.ogg": "misa"}


@pytest.fixture(scope="module")
def recognizer(trained):
    return SoundRecognizer.load("tiny")


@pytest.fixture
def warm(monkeypatch, recognizer):
    """Makes the command line use one recognizer in all tests, since loading takes most of the time."""
    monkeypatch.setattr(SoundRecognizer, "load", lambda *_: recognizer)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "sounds"
    folder.mkdir()
    for name, text in TEXTS.items():
        soundfile.write(folder / name, say(text).samples, SAMPLE_RATE)
    return folder


def run(capsys, *arguments) -> tuple[int, str, str]:
    code = main([*map(str, arguments), "--model", "tiny"])
    output = capsys.readouterr()
    return code, output.out, output.err


def test_phones_with_times_and_probabilities(warm, folder, capsys):
    code, out, err = run(capsys, folder / "a.wav")
    assert (code, err) == (0, "")
    first, *lines = out.splitlines()
    assert first == f"{folder / 'a.wav'}: aa iy m s"
    assert len(lines) == 4
    for line in lines:
        start, end, probability, phone = line.split()
        assert 0 < float(start) < float(end)
        assert re.fullmatch(r"\d+%", probability)
        assert phone in ("aa", "iy", "m", "s")


def test_a_folder_in_json_and_brief_and_ipa(warm, folder, capsys):
    code, out, _ = run(capsys, folder, "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [Path(line["sound"]).name for line in lines] == list(TEXTS)
    for line, text in zip(lines, TEXTS.values(), strict=True):
        (best,) = line["recognitions"]
        assert len(best["phones"]) == len(text.replace(" ", ""))
        assert line["seconds"] == pytest.approx(len(say(text).samples) / SAMPLE_RATE, abs=1e-3)
        assert best["phones"][0].keys() == {"phone", "start", "end", "probability"}
    assert run(capsys, folder / "a.wav", "--brief", "--ipa")[1] == f"{folder / 'a.wav'}: \u0251 i m s\n"


def test_standard_input(warm, folder, capsys, monkeypatch):
    content = (folder / "b.flac").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert run(capsys, "-", "--brief")[1] == "-: s iy aa m\n"


def test_textgrid_ctm_and_plot(warm, folder, tmp_path, capsys):
    files = tmp_path / "x.TextGrid", tmp_path / "x.ctm", tmp_path / "x.png"
    code, _, _ = run(capsys, folder, "--textgrid", files[0], "--ctm", files[1], "--plot", files[2])
    assert code == 0
    assert {path.name for path in tmp_path.glob("x*")} == {
        "x-1.TextGrid", "x-2.TextGrid", "x-3.TextGrid", "x.ctm", "x-1.png", "x-2.png", "x-3.png",
    }  # fmt: skip
    grid = (tmp_path / "x-2.TextGrid").read_text()
    edges = [float(edge) for edge in re.findall(r"^ {12}xm(?:in|ax) = (.*)$", grid, re.MULTILINE)]
    assert edges[1:-1:2] == edges[2::2]  # each begins where the one before ends
    assert (edges[0], edges[-1]) == (0, pytest.approx(len(say("si am").samples) / SAMPLE_RATE, abs=1e-5))
    assert int(re.search(r"intervals: size = (\d+)", grid)[1]) == len(edges) // 2
    assert re.findall(r'text = "(\w+)"', grid) == ["s", "iy", "aa", "m"]
    ctm = [line.split() for line in files[1].read_text().splitlines()]
    assert [line[4] for line in ctm if line[0].endswith("a.wav")] == ["aa", "iy", "m", "s"]
    assert all(line[1] == "1" and float(line[3]) > 0 and 0 <= float(line[5]) <= 1 for line in ctm)


def test_a_name_that_is_no_unicode_and_a_sound_too_long_to_be_drawn(warm, folder, tmp_path, capsys, monkeypatch):
    name = os.fsdecode(os.fsencode(str(folder)) + b"/\xff.wav")
    shutil.copy(folder / "a.wav", name)
    monkeypatch.setattr(recognize, "DRAWN", 100)
    code, _, err = run(capsys, name, "--ctm", tmp_path / "x.ctm", "--plot", tmp_path / "x.png")
    assert code == 0
    assert len((tmp_path / "x.ctm").read_bytes().splitlines()) == 4
    assert re.fullmatch(r"error: .*x\.png is not drawn: the sound lasts more than 0 s; --textgrid may serve\n", err)


def test_alignment_tells_when_and_how_well(warm, folder, capsys):
    _, out, _ = run(capsys, folder / "a.wav", "--align", "[aa iy m s]", "--json")
    told_right, right = out, json.loads(out)["recognitions"][0]
    _, out, _ = run(capsys, folder / "a.wav", "--align", "[aa s m s]", "--json")
    wrong = json.loads(out)["recognitions"][0]
    assert [phone["phone"] for phone in wrong["phones"]] == ["aa", "s", "m", "s"]
    assert wrong["phones"][1]["probability"] < 0.1 < 0.5 < right["phones"][1]["probability"]
    assert wrong["log_prob"] < right["log_prob"]
    assert run(capsys, folder / "a.wav", "--align", "[AA1 IY0 M S]", "--json")[1] == told_right
    assert "has no phones to be aligned with" in run(capsys, folder / "a.wav", "--align", "[]")[2]
    told = "error: --align: [aa xx]: phones of ARPAbet or TIMIT were expected, such as [s m ao l]\n"
    assert run(capsys, folder / "a.wav", "--align", "[aa xx]")[2] == told
    code, _, err = run(capsys, folder / "a.wav", "--align", f"[{'aa iy ' * 60}]")
    assert code == 2
    assert re.fullmatch(r"error: .*a\.wav lasts 0\.\d\d s, too short for 120 phones\n", err)


def test_words_need_a_dictionary(warm, folder, tmp_path, capsys, monkeypatch):
    from datasets import cmudict

    cmudict.load_dictionary.cache_clear()
    monkeypatch.setenv("QUATRAIN_DATA", str(tmp_path))
    assert "cmudict.dict, which is not there" in run(capsys, folder / "a.wav", "--align", "ice aim")[2]
    (tmp_path / "cmudict").mkdir()
    (tmp_path / "cmudict" / "cmudict.dict").write_text("aim EY1 M\nis IH1 Z # a comment\nis(2) S\nam's AA1 M S\n")
    _, out, _ = run(capsys, folder / "a.wav", "--align", "Am's is", "--brief")
    assert out.endswith(": aa m s ih z\n")
    err = run(capsys, folder / "a.wav", "--align", "aim zyx")[2]
    assert err == "error: --align: the dictionary lacks zyx; phones may be given in brackets\n"
    cmudict.load_dictionary.cache_clear()


def test_transcripts_beside_the_sounds(warm, spoken_words, capsys):
    (spoken_words / "01.txt").unlink()
    (spoken_words / "02.txt").write_text("zyx")
    code, out, err = run(capsys, spoken_words, "--transcripts", "--brief")
    assert code == 1
    lines = [line.rpartition("/")[2] for line in out.splitlines()]
    assert len(lines) == 18
    assert lines[:2] == ["00.wav: aa iy s m", "03.wav: aa s m iy"]
    first, second = (line.rpartition("/")[2] for line in err.splitlines())
    assert (first, err.count("has no transcript: there is no")) == ("01.txt", 1)
    assert second == "02.wav the dictionary lacks zyx; phones may be given in brackets"


def test_a_bad_file_costs_the_others_nothing(warm, folder, capsys):
    (folder / "d.wav").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "e.wav").write_bytes(b"")
    whole = (folder / "a.wav").read_bytes()
    (folder / "f.wav").write_bytes(whole[: len(whole) // 2])
    code, out, err = run(capsys, folder, folder / "nowhere.wav", "--brief")
    assert code == 1
    assert len(out.splitlines()) == 3
    told = [line.removeprefix(f"error: {folder}/").split()[0] for line in err.splitlines()]
    assert told == ["d.wav", "e.wav", "f.wav", "nowhere.wav"]


def test_sounds_of_every_kind(warm, folder, capsys):
    samples = sound("aims")
    kinds = {
        "8khz.wav": (samples[::2], 8_000, "PCM_16"),
        "stereo.wav": (np.stack([samples, samples], axis=1), SAMPLE_RATE, "PCM_16"),
        "24bit.wav": (samples, SAMPLE_RATE, "PCM_24"),
        "float.wav": (samples, SAMPLE_RATE, "FLOAT"),
    }
    for name, (content, rate, subtype) in kinds.items():
        soundfile.write(folder / name, content, rate, subtype=subtype)
        phones = run(capsys, folder / name, "--brief")[1].split(": ")[1].split()
        assert {"aa", "iy", "m", "s"} & set(phones), name


@pytest.mark.parametrize("samples", [1, 399, 400, 5000])
def test_silence_and_hardly_anything_is_silence(warm, folder, capsys, samples):
    soundfile.write(folder / "silence.wav", np.zeros(samples), SAMPLE_RATE)
    code, out, err = run(capsys, folder / "silence.wav")
    assert (code, err) == (0, "")
    assert out.startswith(f"{folder / 'silence.wav'}: ")


def test_numbers_that_are_none(warm, folder, capsys):
    samples = sound("a")
    samples[100] = np.nan
    soundfile.write(folder / "nan.wav", samples, SAMPLE_RATE, subtype="FLOAT")
    code, _, err = run(capsys, folder / "nan.wav")
    assert code == 2
    assert err.endswith("nan.wav holds nan at 0.006 s; finite samples were expected\n")


def test_a_long_sound_is_cut_where_it_is_quiet(recognizer, monkeypatch):
    monkeypatch.setattr(recognition, "PIECE", 3 * SAMPLE_RATE)
    monkeypatch.setattr(recognition, "SEARCHED", 2 * SAMPLE_RATE)
    text = "aims  misa  siam  asim  mais"
    samples = sound(text)
    pieces = list(cut(samples))
    assert len(pieces) > 1
    np.testing.assert_array_equal(np.concatenate([piece for _, piece in pieces]), samples)
    assert all(at % 160 == 0 and len(piece) <= 3 * SAMPLE_RATE for at, piece in pieces)
    (best,), short = recognizer([samples, sound("ai")])[0], recognizer([sound("ai")])[0][0]
    assert best.seconds == len(samples) / SAMPLE_RATE
    assert len(best.phones) == pytest.approx(len(text.replace(" ", "")), abs=2)
    starts = [phone.start for phone in best.phones]
    assert starts == sorted(starts)
    assert starts[-1] > 2.5
    assert recognizer.posteriors(samples).shape == (1 + (len(samples) - 400) // 160, 39)
    together = recognizer([samples, sound("ai")])[1][0]
    assert [phone.phone for phone in together.phones] == [phone.phone for phone in short.phones]


def test_batches_hold_what_fits_and_every_sound_once():
    lengths = [5, 40 * SAMPLE_RATE, 7, 30 * SAMPLE_RATE, 31 * SAMPLE_RATE]
    assert list(batches(lengths)) == [[0, 2], [3], [4], [1]]
    assert list(batches([])) == []


def test_silence_is_what_lies_between():
    phones = [Phone("b", 0.1, 0.2, 0.9), Phone("zh", 0.2, 0.3, 0.9), Phone("ao", 0.4, 0.5, 0.9)]
    found = Recognition(phones=phones, log_prob=-1.0, seconds=0.6)
    assert [span.phone for span in found.with_silence()] == ["sil", "b", "zh", "sil", "ao", "sil"]
    assert found.scored() == ["b", "sh", "aa"]
    assert found.scored(silence=True) == ["sil", "b", "sh", "sil", "aa", "sil"]
    np.testing.assert_allclose(found.boundaries(), [0.1, 0.2, 0.3, 0.4, 0.5])
    # Times are rounded to 32 bits: no silence of a millionth of a second is told.
    rounded = [Phone("b", 0.0, float(np.float32(0.3)), 1.0), Phone("s", 0.3, float(np.float32(0.7)), 1.0)]
    whole = Recognition(phones=rounded, log_prob=0.0, seconds=0.7)
    assert [span.phone for span in whole.with_silence()] == ["b", "s"]
    nothing = Recognition(phones=[], log_prob=0.0, seconds=1.0)
    assert [span.phone for span in nothing.with_silence()] == ["sil"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "no sounds given"),
        (["x.wav", "--beam", "-1"], "--beam -1: a number from 0 to 100"),
        (["x.wav", "--beam", "2", "--n-best", "3"], "--n-best 3: a number from 1 to 2"),
        (["x.wav", "--align", "a", "--n-best", "2"], "--n-best does not go with it"),
        (["x.wav", "--align", "a", "--transcripts"], "--align and --transcripts both tell what was said"),
        (["x.wav", "--textgrid", "x.txt"], "--textgrid x.txt: a name that ends in .TextGrid was expected"),
        (["x.wav", "--live"], "--live reads standard input alone"),
        (["--live", "--beam", "3"], "--live reads standard input alone"),
        (["x.wav", "--output", "no/where.txt"], "there is no folder no"),
    ],
)
def test_what_cannot_be_done_is_told_before_a_model_is_loaded(arguments, told, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert told in error


def test_a_model_that_reads_both_ways_cannot_listen(trained, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert main(["--live", "--model", "tiny"]) == 2
    assert "the model needs the whole sound" in capsys.readouterr().err


def test_listening_ends_with_the_last_phones_when_interrupted(monkeypatch, capsys):
    """What was heard before Ctrl-C is told."""
    fed = []

    class Recognizer:
        def feed(self, samples):
            fed.append(len(samples))
            return [("aa", 0.25)]

        def finish(self):
            return [("s", 0.5)]

    class Stopped(io.BytesIO):
        def read1(self, size=-1):
            if content := super().read1(size):
                return content
            raise KeyboardInterrupt

    monkeypatch.setattr(streaming.StreamRecognizer, "load", lambda run: Recognizer())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Stopped(bytes(7001))))
    assert recognize.listen(Run(Path("none")), recognize.Arguments(sounds=(), live=True)) == 0
    assert capsys.readouterr().out == 3 * "   0.250  aa\n" + "   0.500  s\n"
    assert sum(fed) == 3500  # the odd byte is no sample
