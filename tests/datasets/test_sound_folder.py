"""A folder of sounds with transcripts, and the pronunciation dictionary."""

import os

import numpy as np
import pytest
import soundfile

from datasets import CorpusError, cmudict, sound_folder
from datasets.cmudict import pronounce
from datasets.sound_folder import SoundFolder, fingerprint

WORDS = """;;; a comment
ice AY1 S
it's IH1 T S
a AH0
a(2) EY1
cream K R IY1 M
well-known W EH1 L N OW1 N # as one
"""


@pytest.fixture
def dictionary(tmp_path, monkeypatch):
    (tmp_path / "data" / "cmudict").mkdir(parents=True)
    (tmp_path / "data" / "cmudict" / "cmudict.dict").write_text(WORDS)
    monkeypatch.setenv("QUATRAIN_DATA", str(tmp_path / "data"))
    cmudict.load_dictionary.cache_clear()
    yield
    cmudict.load_dictionary.cache_clear()


@pytest.fixture
def folder(tmp_path, dictionary):
    folder = tmp_path / "sounds"
    (folder / "more").mkdir(parents=True)
    for index in range(21):
        path = folder / ("more" if index % 2 else "") / f"{index:02}.wav"
        soundfile.write(path, np.full(800, index / 100), 16_000)
        path.with_suffix(".txt").write_text("Ice\ncream!" if index else "ice zyx and zyx")
    return folder


def test_words_become_phones(dictionary):
    assert pronounce("A well-known ice-cream, it\u2019s!") == (
        ["ah", "w", "eh", "l", "n", "ow", "n", "ay", "s", "k", "r", "iy", "m", "ih", "t", "s"],
        [],
    )
    assert pronounce("zyx Ice") == (["ay", "s"], ["zyx"])
    assert pronounce("2 ice in the 2nd") == (["ay", "s"], ["2", "in", "the", "2nd"])
    assert pronounce("") == ([], [])


def test_a_missing_dictionary_is_an_error_with_its_url(monkeypatch):
    cmudict.load_dictionary.cache_clear()
    monkeypatch.delenv("QUATRAIN_DATA", raising=False)
    with pytest.raises(CorpusError, match=r"is not in \$QUATRAIN_DATA/cmudict; get it from https://\S+"):
        pronounce("ice")


def test_utterances_with_unknown_words_are_skipped_and_reported_once(folder, capsys):
    splits = {split: SoundFolder(folder, split) for split in ("train", "dev", "test")}
    assert capsys.readouterr().err == f"{folder}: skipped 1 utterances; not in the dictionary: zyx, and\n"
    assert {split: len(records) for split, records in splits.items()} == {"train": 16, "dev": 2, "test": 2}
    names = [record["name"] for records in splits.values() for record in records]
    assert len(set(names)) == 20
    record = splits["dev"][0]
    assert record["phones"] == ["ay", "s", "k", "r", "iy", "m"]
    assert record["text"] == "Ice cream!"
    assert record["audio"].dtype == np.int16
    assert len(record["audio"]) == 800


def test_transcripts_in_a_table(folder):
    for path in folder.rglob("*.txt"):
        path.unlink()
    lines = [f"{index:02}.wav\tit's a" if index % 2 else f"{index:02}\tice" for index in range(20)]
    (folder / "transcripts.tsv").write_text("\n".join(lines))
    assert [record["phones"] for record in SoundFolder(folder, "test")] == [["ay", "s"], ["ih", "t", "s", "ah"]]
    assert sum(len(SoundFolder(folder, split)) for split in ("train", "dev", "test")) == 20
    assert len(SoundFolder(folder, "all")) == 20


def test_what_does_not_belong_together_is_counted_and_named(folder, capsys):
    for path in folder.rglob("*.txt"):
        path.unlink()
    (folder / "more" / "02.wav").write_bytes((folder / "02.wav").read_bytes())
    lines = [f"{index:02}.wav\tice" for index in range(2, 12)]
    lines += ["05.wav\ta", "06\ta", "99.wav\tice", "zyx\tice", "12.wav ice", "", "13.wav"]
    (folder / "transcripts.tsv").write_text("\r\n".join(lines))
    records = SoundFolder(folder, "all")
    assert capsys.readouterr().err.splitlines() == [
        f"{folder}: 2 lines of transcripts.tsv without a tab: line 15, line 17",
        f"{folder}: 1 names repeated in transcripts.tsv, the last line counts: 05.wav in line 11",
        f"{folder}: 11 sounds without a transcript: 00.wav, 12.wav, 14.wav, 16.wav, 18.wav and 6 more",
        f"{folder}: 2 transcripts without a sound: 99.wav, zyx",
        f"{folder}: 1 transcripts of a sound that has another one: 06",
        f"{folder}: 1 transcripts of several sounds: 02.wav",
    ]
    assert len(records) == 11
    assert [record["text"] for record in records if record["name"] == "05"] == ["a"]


def test_text_files_and_sounds_that_are_alone_are_named(folder, capsys):
    (folder / "02.txt").unlink()
    (folder / "more" / "03.wav").unlink()
    (folder / "._04.wav").write_bytes(b"of another system")
    assert len(SoundFolder(folder, "all")) == 18
    assert capsys.readouterr().err.splitlines()[:2] == [
        f"{folder}: 1 sounds without a transcript: 02.wav",
        f"{folder}: 1 transcripts without a sound: more/03.txt",
    ]


def test_only_line_feeds_end_a_line_of_the_table(folder):
    inner = "ice\u2028a\u2029a\x85a\va\fa\x1ca\x1da\x1ea\ra"
    (folder / "transcripts.tsv").write_bytes(f"02.wav\t{inner}\n04.wav\tit's\r\n06.wav\ta".encode())
    texts = {record["name"]: record["text"] for record in SoundFolder(folder, "all")}
    assert texts == {"02": "ice" + 9 * " a", "04": "it's", "06": "a"}


def test_a_path_in_the_table_is_preferred_to_a_name(folder):
    (folder / "07.wav").write_bytes((folder / "06.wav").read_bytes())
    (folder / "transcripts.tsv").write_text("\ufeff07.wav\tice\nmore/07.wav\ta\n", encoding="utf-8")
    assert [record["phones"] for record in SoundFolder(folder, "all")] == [["ay", "s"], ["ah"]]


def test_an_unreadable_sound_is_reported_and_skipped(folder, capsys, monkeypatch):
    (folder / "02.wav").write_bytes(b"no sound")
    with pytest.raises(CorpusError, match="more than 1% of 20 sounds are unreadable"):
        SoundFolder(folder, "all")
    capsys.readouterr()
    monkeypatch.setattr(sound_folder, "MAX_BAD", 0.1)
    assert len(SoundFolder(folder, "all")) == 19
    assert f"skipped {folder / '02.wav'}: is not a sound file that can be read" in capsys.readouterr().err


def test_the_fingerprint_changes_with_a_transcript(folder):
    before = fingerprint(folder)
    assert fingerprint(folder) == before
    (folder / "02.txt").write_text("it's")
    assert fingerprint(folder) != before


def test_the_fingerprint_changes_with_a_sample(folder):
    path = folder / "02.wav"
    before, stat, content = fingerprint(folder), path.stat(), bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_size == stat.st_size
    assert fingerprint(folder) != before


@pytest.mark.parametrize("phone", ["QQ", "AH3", "A0H", "SIL", "0"])
def test_a_phone_that_does_not_exist_is_an_error_with_file_and_line(dictionary, tmp_path, phone):
    path = tmp_path / "data" / "cmudict" / "cmudict.dict"
    path.write_text(f"{WORDS}dream D R {phone} M\n")
    with pytest.raises(CorpusError) as caught:
        pronounce("ice")
    assert str(caught.value).startswith(f"{path}: line 8: dream has the phone {phone}, which is unknown; one of ")


def test_unusable_folders_are_refused(tmp_path, dictionary):
    with pytest.raises(CorpusError, match="neither a corpus nor a folder"):
        SoundFolder(tmp_path / "nowhere", "train")
    with pytest.raises(CorpusError, match="no sound file with a transcript"):
        SoundFolder(tmp_path, "train")
    soundfile.write(tmp_path / "a.wav", np.zeros(800), 16_000)
    (tmp_path / "a.txt").write_text("ice")
    with pytest.raises(CorpusError, match="too few utterances for a dev split"):
        SoundFolder(tmp_path, "dev")
