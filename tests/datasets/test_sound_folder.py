"""A folder of sounds with transcripts, and the pronunciation dictionary."""

import gzip
import os

import numpy as np
import pytest
import soundfile

from datasets import CorpusError, sound_folder, sound_layouts
from datasets.sound_folder import SoundFolder, assign_splits, fingerprint
from datasets.sound_layouts import Recording, find_recordings, transcripts_of


@pytest.fixture
def folder(tmp_path, dictionary):
    folder = tmp_path / "sounds"
    (folder / "more").mkdir(parents=True)
    for index in range(21):
        path = folder / ("more" if index % 2 else "") / f"{index:02}.wav"
        soundfile.write(path, np.full(800, index / 100), 16_000)
        path.with_suffix(".txt").write_text("Ice\ncream!" if index else "ice zyx and zyx")
    return folder


def test_utterances_with_unknown_words_are_skipped_and_reported_once(folder, capsys):
    splits = {split: SoundFolder(folder, split) for split in ("train", "dev", "test")}
    assert capsys.readouterr().err == f"{folder}: skipped 1 utterance; not in the dictionary: zyx, and\n"
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
        f"{folder}: 2 lines of transcripts.tsv without a transcript: line 15, line 17",
        f"{folder}: 1 name repeated in transcripts.tsv, the last line counts: 05.wav in line 11",
        f"{folder}: 11 sounds without a transcript: 00.wav, 12.wav, 14.wav, 16.wav, 18.wav and 6 more",
        f"{folder}: 2 transcripts without a sound: 99.wav, zyx",
        f"{folder}: 1 transcript of a sound that has another one: 06",
        f"{folder}: 1 transcript of several sounds: 02.wav",
    ]
    assert len(records) == 11
    assert [record["text"] for record in records if record["name"] == "05"] == ["a"]


def test_text_files_and_sounds_that_are_alone_are_named(folder, capsys):
    (folder / "02.txt").unlink()
    (folder / "more" / "03.wav").unlink()
    (folder / "._04.wav").write_bytes(b"of another system")
    assert len(SoundFolder(folder, "all")) == 18
    assert capsys.readouterr().err.splitlines()[:2] == [
        f"{folder}: 1 sound without a transcript: 02.wav",
        f"{folder}: 1 transcript without a sound: more/03.txt",
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


def test_unusable_folders_are_refused(tmp_path, dictionary):
    with pytest.raises(CorpusError, match="neither a corpus nor a folder"):
        SoundFolder(tmp_path / "nowhere", "train")
    with pytest.raises(CorpusError, match="no sound file with a transcript"):
        SoundFolder(tmp_path, "train")
    soundfile.write(tmp_path / "a.wav", np.zeros(800), 16_000)
    (tmp_path / "a.txt").write_text("ice")
    with pytest.raises(CorpusError, match="too few utterances for a dev split"):
        SoundFolder(tmp_path, "dev")


# --- layouts --------------------------------------------------------------------------------------------------------


def write_sounds(folder, *names):
    """Sounds of 0.05 s whose samples are their index in tenths."""
    for index, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.full(800, index / 10), 16_000)


def texts_of(source, **changes):
    return {recording.name: recording.text for recording in find_recordings(source, **changes)}


def test_a_kaldi_data_folder(tmp_path, dictionary):
    write_sounds(tmp_path, "corpus/one.wav", "corpus/two.flac")
    folder = tmp_path / "data" / "train"
    folder.mkdir(parents=True)
    (folder / "wav.scp").write_text("r1 corpus/one.wav\nr2 ../../corpus/two.flac\n")
    (folder / "text").write_text("u1 ice\nu2 cream\nu3 a\nu9 ice\n")
    (folder / "segments").write_text("u1 r1 0 0.02\nu2 r2 0.02 -1\nu3 r1 0.02 0.05\nu4 r1 0.01 0.05\n")
    (folder / "utt2spk").write_text("u1 s1\nu2 s2\nu3 s1\n")
    lines = []
    found = find_recordings(folder, lines.append)
    assert [(each.name, each.text, each.start, each.end, each.speaker) for each in found] == [
        ("u1", "ice", 0, 0.02, "s1"), ("u2", "cream", 0.02, None, "s2"), ("u3", "a", 0.02, 0.05, "s1"),
    ]  # fmt: skip
    assert lines == [
        f"{folder}: 1 utterance without a transcript in text: u4",
        f"{folder}: 1 transcript in text without a sound: u9",
    ]
    records = {record["name"]: record for record in SoundFolder(folder, "all")}
    assert {name: len(record["audio"]) for name, record in records.items()} == {"u1": 320, "u2": 480, "u3": 480}
    assert records["u2"]["audio"][0] == round(0.1 * 32_767)


def test_the_splits_of_several_kaldi_folders(tmp_path):
    for name in ("train", "dev", "test"):
        write_sounds(tmp_path, f"{name}/{name}.wav")
        (tmp_path / name / "wav.scp").write_text(f"u-{name} {name}.wav\n")
        (tmp_path / name / "text").write_text(f"u-{name} ice\n")
    assert {each.name: each.split for each in find_recordings(tmp_path)} == {
        "u-dev": "dev", "u-test": "test", "u-train": "train"
    }  # fmt: skip


@pytest.mark.parametrize(
    "entry", ["sph2pipe -f wav a.sph |", "touch {ran} |", "cat a.wav | sox - -t wav - |", "| a.wav"]
)
def test_a_command_in_wav_scp_is_refused_and_not_run(tmp_path, entry):
    write_sounds(tmp_path, "a.wav")
    entry = entry.format(ran=tmp_path / "ran")
    (tmp_path / "wav.scp").write_text(f"u1 {entry}\n")
    (tmp_path / "text").write_text("u1 ice\n")
    with pytest.raises(
        CorpusError, match=r"wav\.scp: u1 is a command \(.*which is not run; the name of a file was expected"
    ):
        find_recordings(tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("wav.scp", "u1 b.wav", "wav.scp: u1: there is no sound file b.wav"),
        ("wav.scp", "u1 a.ark:17", "wav.scp: u1 is part of an archive"),
        ("wav.scp", "u1 a.wav\nu1 a.wav", "line 2: u1 occurs twice"),
        ("segments", "u1 u1 0.5", "segments: u1: a recording, a start and an end in seconds were expected"),
        ("segments", "u1 u1 0.5 0.5", r"segments: u1: from 0\.5 to 0\.5 s; an end after the start"),
        ("segments", "u1 u1 0 nan", "segments: u1: from 0 to nan s; an end after the start"),
        ("segments", "u1 u1 inf inf", "segments: u1: from inf to inf s; an end after the start"),
        ("segments", "u1 r9 0 1", "segments: u1 is of r9, which wav.scp does not have"),
    ],
)
def test_damaged_kaldi_folders_are_refused(tmp_path, name, content, message):
    write_sounds(tmp_path, "a.wav")
    for file, text in {"wav.scp": "u1 a.wav", "text": "u1 ice", name: content}.items():
        (tmp_path / file).write_text(text)
    with pytest.raises(CorpusError, match=message):
        find_recordings(tmp_path)


def test_librispeech(tmp_path):
    root = tmp_path / "LibriSpeech"
    write_sounds(root, "train-clean-100/19/198/19-198-0000.flac", "dev-clean/84/121/84-121-0000.flac")
    (root / "SPEAKERS.TXT").write_text("19 | F")
    (root / "train-clean-100/19/198/19-198.trans.txt").write_text("19-198-0000 ICE CREAM\n19-198-0001 ICE\n")
    (root / "dev-clean/84/121/84-121.trans.txt").write_text("84-121-0000 A\n")
    lines = []
    assert [each._replace(path=None) for each in find_recordings(root, lines.append)] == [
        Recording("84-121-0000", None, "A", speaker="84", split="dev"),
        Recording("19-198-0000", None, "ICE CREAM", speaker="19", split="train"),
    ]
    (line,) = lines
    assert line.endswith("19-198.trans.txt: 1 transcript without a sound: 19-198-0001")


def test_common_voice(tmp_path):
    write_sounds(tmp_path, *(f"clips/cv_{index}.mp3.wav" for index in range(4)))
    for index in range(4):
        (tmp_path / f"clips/cv_{index}.mp3.wav").rename(tmp_path / f"clips/cv_{index}.mp3")
    header = "client_id\tpath\tsentence_id\tsentence\tup_votes\n"
    for split, index in {"train": 0, "dev": 1, "test": 2, "invalidated": 3}.items():
        row = f's{index}\tcv_{index}.mp3\tx\t"Ice, she said\t2\n'
        (tmp_path / f"{split}.tsv").write_text(header + row)
    found = find_recordings(tmp_path)
    assert {(each.name, each.text, each.speaker, each.split) for each in found} == {
        ("cv_0", '"Ice, she said', "s0", "train"), ("cv_1", '"Ice, she said', "s1", "dev"),
        ("cv_2", '"Ice, she said', "s2", "test"),
    }  # fmt: skip
    assert texts_of(tmp_path / "invalidated.tsv") == {"cv_3": '"Ice, she said'}
    assert transcripts_of([tmp_path / "clips/cv_2.mp3"]) == {tmp_path / "clips/cv_2.mp3": '"Ice, she said'}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metadata.csv", 'file_name,transcription\nwavs/a.wav,"Ice, cream"\nwavs/b.wav,A\n'),
        ("metadata.csv", "a|Ice, cream\nb|A\n"),
        ("mine.csv", '"b.wav";"A"\r\n"a.wav";"Ice, cream"\r\n'),
        ("train.csv", 'wav_filename,wav_filesize,transcript\n/home/x/a.wav,7,"Ice, cream"\nwavs/b.wav,7,A\n'),
        ("all.tsv", "text\tfile\nIce, cream\twavs\\a.wav\nA\t./wavs/b.wav\n"),
        ("manifest.json", '{"audio_filepath": "wavs/a.wav", "duration": 1, "text": "Ice, cream"}\n'
                          '{"audio_filepath": "wavs/b.wav", "duration": 1, "text": "A"}\n'),
    ],
)  # fmt: skip
def test_tables_of_sounds_and_transcripts(tmp_path, name, content):
    write_sounds(tmp_path, "wavs/a.wav", "wavs/b.wav")
    (tmp_path / name).write_bytes(content.encode())
    lines = []
    assert texts_of(tmp_path / name) == {"a": "Ice, cream", "b": "A"}
    assert texts_of(tmp_path, report=lines.append) == {"a": "Ice, cream", "b": "A"}
    assert lines == []


def test_parts_of_a_sound_in_a_manifest_and_a_compressed_table(tmp_path):
    write_sounds(tmp_path, "a.wav")
    write_sounds(tmp_path, "b.wav")
    row = '{"audio_filepath": "%s.wav", "text": "%s", "offset": %s, "duration": 0.02}\n'
    with gzip.open(tmp_path / "manifest.json.gz", "wt") as file:
        file.write(row % ("a", "a", 0) + row % ("a", "ice", 0.02) + row % ("a", "cream", 0.04) + row % ("b", "it's", 0))
    lines = []
    assert [(each.name, each.text, each.start, each.end) for each in find_recordings(tmp_path, lines.append)] == [
        ("a-1", "a", 0.0, 0.02), ("a-2", "ice", 0.02, 0.04), ("a-3", "cream", 0.04, 0.06), ("b", "it's", 0.0, None)
    ]  # fmt: skip
    assert lines == []


@pytest.mark.parametrize("times", ["-1", "NaN", "1e999", '0, "duration": 0', '1, "duration": NaN'])
def test_times_of_a_manifest_that_are_none_are_refused(tmp_path, times):
    write_sounds(tmp_path, "a.wav")
    (tmp_path / "manifest.json").write_text(f'{{"file": "a.wav", "text": "ice", "offset": {times}}}\n')
    with pytest.raises(CorpusError, match="json: line 1: an offset and a duration in seconds were expected"):
        find_recordings(tmp_path)


@pytest.mark.parametrize(
    "content", ['a.wav,"ice\nb.wav,cream\n', 'a.wav,ice"\nb.wav,"cream\n', 'a.wav,"ice" s\nb.wav,cream\n']
)
def test_a_lone_quotation_mark_belongs_to_its_transcript(tmp_path, content):
    write_sounds(tmp_path, "a.wav", "b.wav")
    (tmp_path / "transcripts.csv").write_text(content)
    expected = dict(line.replace(".wav", "").split(",") for line in content.splitlines())
    assert texts_of(tmp_path / "transcripts.csv") == expected


def test_commas_of_a_transcript_in_the_last_column(tmp_path):
    write_sounds(tmp_path, "a.wav", "b.wav")
    (tmp_path / "transcripts.csv").write_text("file,speaker,text\na.wav,s1,Ice, or cream, please\nb.wav,s2,A\n")
    assert texts_of(tmp_path / "transcripts.csv") == {"a": "Ice, or cream, please", "b": "A"}


@pytest.mark.parametrize("table", {"expenses.csv": "day,sum\nmonday,7\n", "package.json": '{\n  "a": 1\n}\n'}.items())
def test_a_table_about_something_else_is_no_obstacle(tmp_path, table):
    folder = tmp_path / "sounds"
    folder.mkdir()
    write_sounds(folder, "a.wav", "b.wav")
    (folder / "a.txt").write_text("ice")
    for parent in (folder, tmp_path):
        (parent / table[0]).write_text(table[1])
    lines = []
    assert texts_of(folder, report=lines.append) == {"a": "ice"}
    assert lines == [f"{folder}: 1 sound without a transcript: b.wav"]
    assert transcripts_of([folder / "a.wav", folder / "b.wav"]) == {folder / "a.wav": "ice"}


def test_a_table_above_other_sounds_gives_no_transcripts(tmp_path, monkeypatch):
    """The folder above those of the sounds may be large: only the given sounds are looked up."""
    for name in ("clips", "new"):
        (tmp_path / name).mkdir()
        write_sounds(tmp_path / name, f"{name}.wav")
    (tmp_path / "metadata.csv").write_text("path,text\nclips/clips.wav,ice\n")
    monkeypatch.setattr(sound_layouts, "list_folder", None)
    assert transcripts_of([tmp_path / "new" / "new.wav"]) == {}
    assert list(transcripts_of([tmp_path / "clips" / "clips.wav"]).values()) == ["ice"]


def test_a_table_whose_columns_are_unknown_is_refused(tmp_path):
    write_sounds(tmp_path, "a.wav")
    (tmp_path / "data.csv").write_text("who,what,when\nx,y,z\n")
    with pytest.raises(CorpusError, match=r"no sound of its 2 lines is in .*; columns path \(or file"):
        find_recordings(tmp_path / "data.csv")


def test_splits_are_those_of_the_corpus_else_by_speaker_else_by_order():
    def recordings(*pairs):
        return [Recording(str(i), None, "", speaker=speaker, split=split) for i, (speaker, split) in enumerate(pairs)]

    assert assign_splits(recordings(*[("", "")] * 11)) == [*["train"] * 8, "test", "dev", "train"]
    by_speaker = assign_splits(recordings(*[(f"s{index // 2}", "") for index in range(22)]))
    assert by_speaker == [*["train"] * 16, "test", "test", "dev", "dev", "train", "train"]
    given = assign_splits(recordings(*[("", "train")] * 10, ("", "dev")))
    assert given == [*["train"] * 8, "test", "train", "dev"]  # no tenth for dev, which the corpus has
