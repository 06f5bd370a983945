"""The command `recognize`: input formats, output formats, and errors."""

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

from datasets.cmudict import load_dictionary
from shared.audio import SAMPLE_RATE
from tasks.phoneme_recognizer import recognize
from tasks.phoneme_recognizer.inference import SoundRecognizer
from tasks.phoneme_recognizer.recognize import main
from tests.tasks.phoneme_recognizer.conftest import say, sound

pytestmark = pytest.mark.any_backend

TEXTS = {"a.wav": "aims", "b.flac": "si am", "c.ogg": "misa"}


@pytest.fixture
def warm(monkeypatch, recognizer):
    """Makes the command use one recognizer in all tests, because loading takes most of the time."""
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


def test_text_has_phones_with_times_and_probabilities(warm, folder, capsys):
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


def test_json_of_a_folder_and_brief_text_in_ipa(warm, folder, capsys):
    code, out, _ = run(capsys, folder, "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [Path(line["sound"]).name for line in lines] == list(TEXTS)
    for line, text in zip(lines, TEXTS.values(), strict=True):
        (best,) = line["recognitions"]
        brief = run(capsys, line["sound"], "--brief")[1]
        assert [phone["phone"] for phone in best["phones"]] == brief.removeprefix(f"{line['sound']}: ").split()
        assert len(best["phones"]) > 2
        assert line["speech"] is True
        assert line["seconds"] == pytest.approx(len(say(text).samples) / SAMPLE_RATE, abs=1e-3)
        assert best["phones"][0].keys() == {"phone", "start", "end", "probability"}
    assert run(capsys, folder / "a.wav", "--brief", "--ipa")[1] == f"{folder / 'a.wav'}: \u0251 i m s\n"


def test_standard_input(warm, folder, capsys, monkeypatch):
    content = (folder / "b.flac").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert run(capsys, "-", "--brief")[1] == "-: s iy aa m\n"


def test_textgrid_ctm_and_plot(warm, folder, tmp_path, capsys):
    (folder / "aa.wav").write_bytes(b"no sound")  # its names are those of no other sound
    grids, ctm_file, plots = tmp_path / "grids", tmp_path / "x.ctm", tmp_path / "plots"
    code, _, _ = run(capsys, folder, "--textgrid", grids, "--ctm", ctm_file, "--plot", plots)
    assert code == 1
    assert {path.name for path in grids.iterdir()} == {"a.TextGrid", "b.TextGrid", "c.TextGrid"}
    assert {path.name for path in plots.iterdir()} == {"a.png", "b.png", "c.png"}
    grid = (grids / "b.TextGrid").read_text()
    edges = [float(edge) for edge in re.findall(r"^ {12}xm(?:in|ax) = (.*)$", grid, re.MULTILINE)]
    assert edges[1:-1:2] == edges[2::2]  # each starts where the one before ends
    assert (edges[0], edges[-1]) == (0, pytest.approx(len(say("si am").samples) / SAMPLE_RATE, abs=1e-5))
    assert int(re.search(r"intervals: size = (\d+)", grid)[1]) == len(edges) // 2
    assert re.findall(r'text = "(\w+)"', grid) == ["s", "iy", "aa", "m"]
    ctm = [line.split() for line in ctm_file.read_text().splitlines()]
    assert [line[4] for line in ctm if line[0].endswith("a.wav")] == ["aa", "iy", "m", "s"]
    assert all(line[1] == "1" and float(line[3]) > 0 and 0 <= float(line[5]) <= 1 for line in ctm)


def test_outputs_of_several_sounds_are_named_after_them(warm, folder, tmp_path, capsys):
    (folder / "more").mkdir()
    for name in ("a.flac", "more/a.wav"):
        soundfile.write(folder / name, sound("ai"), SAMPLE_RATE)
    assert run(capsys, folder, "--recursive", "--textgrid", tmp_path / "grids")[0] == 0
    found = {str(path.relative_to(tmp_path / "grids")) for path in (tmp_path / "grids").rglob("*.TextGrid")}
    assert found == {"a.wav.TextGrid", "a.flac.TextGrid", "b.TextGrid", "c.TextGrid", "more/a.TextGrid"}
    _, _, err = run(capsys, folder, "--textgrid", tmp_path / "x.TextGrid")
    expected = f"error: --textgrid {tmp_path}/x.TextGrid: a folder was expected, for 4 files named after the inputs"
    assert err.splitlines()[-1] == expected
    twice = folder / "a.wav", folder / "more/a.wav"
    assert "two inputs are named a.wav" in run(capsys, *twice, "--textgrid", tmp_path / "grids")[2]


def test_a_name_that_is_not_unicode_and_a_sound_too_long_to_draw(warm, folder, tmp_path, capsys, monkeypatch):
    name = os.fsdecode(os.fsencode(str(folder)) + b"/\xff.wav")
    shutil.copy(folder / "a.wav", name)
    monkeypatch.setattr(recognize, "MAX_DRAWN", 100)
    code, _, err = run(capsys, name, "--ctm", tmp_path / "x.ctm", "--plot", tmp_path / "x.png")
    assert code == 0
    assert len((tmp_path / "x.ctm").read_bytes().splitlines()) == 4
    assert re.fullmatch(r"error: .*x\.png is not drawn: the sound is longer than 0 s; use --textgrid\n", err)


def test_alignment_scores_given_phones(warm, folder, capsys):
    _, out, _ = run(capsys, folder / "a.wav", "--align", "[aa iy m s]", "--json")
    right_output, right = out, json.loads(out)["recognitions"][0]
    _, out, _ = run(capsys, folder / "a.wav", "--align", "[aa s m s]", "--json")
    wrong = json.loads(out)["recognitions"][0]
    assert [phone["phone"] for phone in wrong["phones"]] == ["aa", "s", "m", "s"]
    assert wrong["phones"][1]["probability"] < 0.1 < 0.5 < right["phones"][1]["probability"]
    assert wrong["log_prob"] < right["log_prob"]
    assert run(capsys, folder / "a.wav", "--align", "[AA1 IY0 M S]", "--json")[1] == right_output
    assert "has no phones to be aligned with" in run(capsys, folder / "a.wav", "--align", "[]")[2]
    expected = "error: --align: [aa xx]: phones of ARPAbet or TIMIT were expected, such as [s m ao l]\n"
    assert run(capsys, folder / "a.wav", "--align", "[aa xx]")[2] == expected
    code, _, err = run(capsys, folder / "a.wav", "--align", f"[{'aa iy ' * 60}]")
    assert code == 2
    assert re.fullmatch(r"error: .*a\.wav lasts 0\.\d\d s, too short for 120 phones\n", err)


@pytest.fixture
def words(tmp_path, monkeypatch):
    """A copy of CMUdict of three words, one of which has two pronunciations."""
    load_dictionary.cache_clear()
    monkeypatch.setenv("QUATRAIN_DATA", str(tmp_path))
    (tmp_path / "cmudict").mkdir()
    path = tmp_path / "cmudict" / "cmudict.dict"
    path.write_text("aim EY1 M\nis IH1 Z # a comment\nis(2) S\nis(3) IY S\nam's AA1 M S\n")
    yield path
    load_dictionary.cache_clear()


def test_words_need_a_dictionary(warm, words, folder, capsys):
    out = run(capsys, folder / "a.wav", "--align", "Am's is", "--brief")[1]
    assert out.startswith(f"{folder / 'a.wav'}: aa m s ")
    err = run(capsys, folder / "a.wav", "--align", "zyx")[2]
    assert err == "error: --align: is without a pronunciation: zyx; --dictionary gives them\n"
    code, out, err = run(capsys, folder / "a.wav", "--align", "Am's zyx", "--brief")
    assert (code, out) == (0, f"{folder / 'a.wav'}: aa m s\n")
    assert err == "error: --align: left out, without a pronunciation: zyx; --dictionary gives them\n"
    words.unlink()
    load_dictionary.cache_clear()
    assert "cmudict.dict is not in" in run(capsys, folder / "a.wav", "--align", "ice aim")[2]


def test_the_pronunciation_that_fits_the_sound_is_taken(warm, words, folder, capsys):
    """Of `is`, which is ih z, s or iy s, the sounds s and iy s have one each."""
    for text, phones in {"am s": "aa m s", "am is": "aa m iy s"}.items():
        soundfile.write(folder / "d.wav", sound(text), SAMPLE_RATE)
        own = folder / "own.dict"
        own.write_text("am AA M\n")
        out = run(capsys, folder / "d.wav", "--align", "am is", "--brief", "--dictionary", own)[1]
        assert out == f"{folder / 'd.wav'}: {phones}\n"


def test_words_have_times_and_tiers(warm, words, folder, tmp_path, capsys):
    speech = say("am  is")
    soundfile.write(folder / "d.wav", speech.samples, SAMPLE_RATE)
    (folder / "own.dict").write_text("am AA M\n")
    grid, ctm = tmp_path / "d.TextGrid", tmp_path / "d.ctm"
    arguments = folder / "d.wav", "--align", "Am is.", "--dictionary", folder / "own.dict"
    _, out, _ = run(capsys, *arguments, "--json", "--textgrid", grid, "--ctm", ctm)
    (best,) = json.loads(out)["recognitions"]
    first, second = best["words"]
    assert [(word["word"], word["phones"]) for word in best["words"]] == [("Am", ["aa", "m"]), ("is", ["iy", "s"])]
    said = [(start, end) for phone, start, end in zip(*speech[1:], strict=True) if phone != "sil"]
    expected = [said[0][0], said[1][1], said[2][0], said[3][1]]
    found = [first["start"], first["end"], second["start"], second["end"]]
    np.testing.assert_allclose(found, np.array(expected) / SAMPLE_RATE, atol=0.03)
    assert first["probability"] == pytest.approx(
        np.mean([phone["probability"] for phone in best["phones"][:2]]), abs=1e-4
    )
    assert re.findall(r'name = "(\w+)"|text = "(\w*)"', grid.read_text()) == [
        (name, text)
        for name, texts in {"words": ["", "Am", "", "is", ""], "phones": ["", "aa", "m", "", "iy", "s", ""]}.items()
        for name, text in [(name, ""), *(("", text) for text in texts)]
    ]
    lines = [line.split() for line in ctm.read_text().splitlines()]
    assert [line[4] for line in lines] == ["Am", "is"]
    np.testing.assert_allclose([float(line[2]) for line in lines], [first["start"], second["start"]], atol=1e-3)
    run(capsys, *arguments, "--ctm", ctm, "--ctm-tier", "phones")
    assert [line.split()[4] for line in ctm.read_text().splitlines()] == ["aa", "m", "iy", "s"]
    lines = run(capsys, *arguments)[1].splitlines()
    assert [line.split()[-1] for line in lines[1:]] == ["Am", "aa", "m", "is", "iy", "s"]


def test_a_transcript_of_part_of_the_sound_has_the_times_of_that_part(warm, folder, capsys):
    speech = say("ia sm  ai")
    soundfile.write(folder / "d.wav", speech.samples, SAMPLE_RATE)
    _, out, _ = run(capsys, folder / "d.wav", "--align", "[s m]", "--json")
    assert "speech" not in json.loads(out)  # the phones were given
    (best,) = json.loads(out)["recognitions"]
    said = {phone: (start, end) for phone, start, end in zip(*speech[1:], strict=True)}
    for phone in best["phones"]:
        expected = np.array(said[phone["phone"]]) / SAMPLE_RATE
        np.testing.assert_allclose([phone["start"], phone["end"]], expected, atol=0.04)
        assert phone["probability"] > 0.5


def test_transcripts_are_aligned_with_their_sounds(warm, spoken_words, capsys):
    (spoken_words / "01.txt").unlink()
    (spoken_words / "02.txt").write_text("zyx")
    (spoken_words / "03.txt").rename(spoken_words / "03.lab")
    code, out, err = run(capsys, spoken_words, "--transcripts", "--brief")
    assert code == 1
    lines = [line.rpartition("/")[2] for line in out.splitlines()]
    assert len(lines) == 18
    assert lines[:2] == ["00.wav: aa iy s m", "03.wav: aa s m iy"]
    first, second = (line.rpartition("/")[2] for line in err.splitlines())
    assert first == "01.txt, and no table of its folder names it"
    assert second == "02.wav is without a pronunciation: zyx; --dictionary gives them"


def test_transcripts_in_a_table_are_aligned_too(warm, spoken_words, capsys):
    texts = {path.stem: path.read_text() for path in spoken_words.glob("*.txt")}
    for path in spoken_words.glob("*.txt"):
        path.unlink()
    (spoken_words / "metadata.csv").write_text("".join(f"{name}.wav|{text}\n" for name, text in texts.items()))
    code, out, _ = run(capsys, spoken_words / "00.wav", spoken_words / "19.wav", "--transcripts", "--brief")
    assert (code, [line.rpartition("/")[2] for line in out.splitlines()]) == (
        0, ["00.wav: aa iy s m", "19.wav: m aa s iy"]
    )  # fmt: skip


def test_unreadable_files_are_reported_and_skipped(warm, folder, capsys):
    (folder / "d.wav").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "e.wav").write_bytes(b"")
    whole = (folder / "a.wav").read_bytes()
    (folder / "f.wav").write_bytes(whole[: len(whole) // 2])
    code, out, err = run(capsys, folder, folder / "nowhere.wav", "--brief")
    assert code == 1
    assert len(out.splitlines()) == 3
    reported = [line.removeprefix(f"error: {folder}/").split()[0] for line in err.splitlines()]
    assert reported == ["d.wav", "e.wav", "f.wav", "nowhere.wav"]


def test_rates_channels_and_sample_formats(warm, folder, capsys):
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


def test_one_channel_of_a_call(warm, folder, tmp_path, capsys):
    first, second = sound("aims"), sound("si am")
    length = max(len(first), len(second))
    both = np.stack([np.pad(each, (0, length - len(each))) for each in (first, second)], axis=1)
    soundfile.write(folder / "call.wav", both, SAMPLE_RATE)
    for channel, phones in enumerate(["aa iy m s", "s iy aa m"], start=1):
        ctm = tmp_path / "call.ctm"
        code, out, _ = run(capsys, folder / "call.wav", "--brief", "--channel", channel, "--ctm", ctm)
        assert (code, out) == (0, f"{folder / 'call.wav'}: {phones}\n")
        assert {line.split()[1] for line in ctm.read_text().splitlines()} == {str(channel)}
    code, _, err = run(capsys, folder / "call.wav", "--channel", 3)
    assert (code, err) == (2, f"error: {folder / 'call.wav'} has 2 channels, so there is no channel 3\n")


def test_samples_without_a_header(warm, tmp_path, capsys, monkeypatch):
    content = (sound("aims") * 32_767).astype(">i2").tobytes()
    (tmp_path / "a.raw").write_bytes(content)
    (tmp_path / "b.wav").write_bytes(b"no sound")  # a folder is searched for other suffixes
    arguments = ("--rate", SAMPLE_RATE, "--encoding", "s16be", "--brief")
    assert run(capsys, tmp_path, *arguments)[:2] == (0, f"{tmp_path / 'a.raw'}: aa iy m s\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert run(capsys, "-", *arguments)[1] == "-: aa iy m s\n"
    code, _, err = run(capsys, tmp_path / "a.raw")
    assert code == 2
    assert re.fullmatch(r"error: .*a\.raw is not a sound file that can be read; .* --rate for .*\n", err)


def test_a_file_that_cannot_be_decoded_leaves_the_others(warm, folder, capsys):
    huge = sound("aims").copy()
    huge[100] = 1e29
    soundfile.write(folder / "huge.wav", huge, SAMPLE_RATE, subtype="FLOAT")
    soundfile.write(folder / "gsm.wav", sound("aims"), SAMPLE_RATE, subtype="GSM610")
    code, out, err = run(capsys, folder, "--brief")
    assert (code, len(out.splitlines()), err.count("\n")) == (1, 4, 1)
    assert "huge.wav holds 1e+29 at 0.006 s; samples from -1 to 1 were expected" in err


@pytest.mark.parametrize("samples", [1, 399, 400, 5000])
def test_silent_and_very_short_sounds_have_a_result(warm, folder, capsys, samples):
    soundfile.write(folder / "silence.wav", np.zeros(samples), SAMPLE_RATE)
    code, out, err = run(capsys, folder / "silence.wav")
    assert (code, err) == (0, "")
    assert out.startswith(f"{folder / 'silence.wav'}: ")


def test_samples_that_are_not_finite_are_refused(warm, folder, capsys):
    samples = sound("a")
    samples[100] = np.nan
    soundfile.write(folder / "nan.wav", samples, SAMPLE_RATE, subtype="FLOAT")
    code, _, err = run(capsys, folder / "nan.wav")
    assert code == 2
    assert err.endswith("nan.wav holds nan at 0.006 s; finite samples were expected\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no sounds given"),
        (["x.wav", "--beam", "-1"], "--beam -1: a number from 0 to 100"),
        (["x.wav", "--beam", "2", "--n-best", "3"], "--n-best 3: a number from 1 to 2"),
        (["x.wav", "--align", "a", "--n-best", "2"], "--n-best does not go with it"),
        (["x.wav", "--align", "a", "--transcripts"], "--align and --transcripts both give the phones"),
        (
            ["x.wav", "--textgrid", "x.txt"],
            "--textgrid x.txt: a name that ends in .TextGrid, or a folder, was",
        ),
        (["x.wav", "--ctm-tier", "words"], "--ctm-tier words is for words; --align or --transcripts was expected"),
        (["x.wav", "--dictionary", "x.dict"], "--dictionary is for words; --align or --transcripts was expected"),
        (["x.wav", "--live"], "--live reads standard input alone"),
        (["--live", "--beam", "3"], "--live reads standard input alone"),
        (["x.raw", "--rate", "999"], "--rate 999: a number from 1,000 to 768,000 was expected"),
        (["x.raw", "--rate", "8000", "--channels", "0"], "--channels 0: a number from 1 to 1,024 was expected"),
        (["x.raw", "--rate", "8000", "--encoding", "s12le"], "--encoding s12le: one of s8, u8, s16le, "),
        (
            ["x.raw", "--rate", "8000", "--channel", "2"],
            "--channel 2: a number from 1 to 1, --channels, was expected",
        ),
        (["--live", "--channels", "2", "--channel", "3"], "--channel 3: a number from 1 to 2, --channels,"),
        (["x.wav", "--channel", "0"], "--channel 0: a number from 1 to 1,024"),
        (["x.raw", "--encoding", "s16le"], "--channels and --encoding describe samples without a header; --rate was"),
        (["x.wav", "--output", "no/where.txt"], "there is no folder no"),
    ],
)
def test_wrong_options_are_refused_before_a_model_is_loaded(arguments, message, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error


def test_live_recognition_refuses_a_bidirectional_model(trained, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert main(["--live", "--model", "tiny"]) == 2
    assert "the model needs the whole sound" in capsys.readouterr().err
