"""Sentence pairs in one file, in every format, and what is refused."""

import gzip

import pytest

from datasets import CorpusError
from datasets.pair_files import read_pair_file

PAIRS = [("A dog.", "Ein Hund."), ('He said "no".', "Er sagte, er wolle nicht; nein.")]

TSV = 'A dog.\tEin Hund.\tCC-BY 2.0 (France)\n\nHe said "no".\tEr sagte, er wolle nicht; nein.\tCC-BY\n'
WITH_IDS = '1276\tA dog.\t77\tEin Hund.\n1277\tHe said "no".\t78\tEr sagte, er wolle nicht; nein.\n'
FROM_A_TABLE = 'de\ten\nEin Hund.\tA dog.\nEr sagte, er wolle nicht; nein.\t"He said ""no""."\n'
CSV = 'A dog.,Ein Hund.\n"He said ""no"".","Er sagte, er wolle nicht; nein."\n'
SEMICOLONS = 'id;German;English\r\n1;Ein Hund.;A dog.\r\n2;"Er sagte, er wolle nicht; nein.";"He said ""no""."\r\n'
TRANSLATION = """{"translation": {"de": "Ein Hund.", "en": "A dog."}}
{"translation": {"de": "Er sagte, er wolle nicht; nein.", "en": "He said \\"no\\"."}}
"""
NAMED = """[{"id": 1, "source": "A dog.", "target": "Ein Hund."},
 {"id": 2, "source": "He said \\"no\\".", "target": "Er sagte, er wolle nicht; nein."}]"""
LISTS = '["A dog.", "Ein Hund."]\n["He said \\"no\\".", "Er sagte, er wolle nicht; nein."]\n'
TMX = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE tmx SYSTEM "tmx14.dtd">
<tmx version="1.4"><header srclang="de" note="ignored"/><body>
<tu><note>no text</note><tuv xml:lang="de-DE">
 <seg><bpt i="1">{b}</bpt>Ein <hi>Hund</hi>.<ept i="1">{/b}</ept></seg></tuv>
 <tuv xml:lang="fr"><seg>Un chien.</seg></tuv><tuv xml:lang="EN-us"><seg>A dog.</seg></tuv></tu>
<tu><tuv xml:lang="fr"><seg>Seul.</seg></tuv></tu>
<tu><tuv lang="en"><seg>He said &quot;no&quot;.</seg></tuv>
 <tuv lang="de"><seg>Er sagte, er wolle nicht; nein.</seg></tuv></tu>
</body></tmx>"""

FORMATS = {
    "tsv": TSV, "with ids": WITH_IDS, "from a table": FROM_A_TABLE, "csv": CSV, "semicolons": SEMICOLONS,
    "translation": TRANSLATION, "named": NAMED, "lists": LISTS, "tmx": TMX,
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_plain_and_compressed(name, tmp_path):
    path = tmp_path / "pairs"
    for content in (FORMATS[name].encode(), gzip.compress(FORMATS[name].encode())):
        path.write_bytes(content)
        assert read_pair_file(path, "en", "deu") == PAIRS


def test_named_languages_choose_the_direction(tmp_path):
    path = tmp_path / "pairs"
    for name in ("from a table", "semicolons", "translation", "tmx"):
        path.write_text(FORMATS[name])
        assert read_pair_file(path, "de", "en") == [pair[::-1] for pair in PAIRS]
    path.write_text(TMX)
    assert read_pair_file(path, "fr", "en-GB") == [("Un chien.", "A dog.")]


BOMB = """<!DOCTYPE tmx [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<tmx><body><tu><tuv lang="en"><seg>&b;</seg></tuv><tuv lang="de"><seg>b</seg></tuv></tu></body></tmx>"""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (" \n", "is empty"),
        ("one\ntwo\nthree\n", "3 of 3 lines, first line 1, hold no sentence and translation"),
        ("de,en\nHallo, Welt,Hello, world\nJa, gut,Yes, well\n", "2 of 2 lines, first line 2,"),
        ("1\tone\n2\ttwo\n", "column 1 has only numbers; two columns of sentences were expected"),
        (",\n,\n", "has only empty columns"),
        ("a\tb\nc\n", "1 of 2 lines, first line 2,"),
        ('{"a": "x", "b": "y", "c": "z"}', "has a, b, c; en and de, or source and target, expected"),
        ('{"en": 1, "de": "y"}', "1 of 1 lines"),
        ("{not json", "line 1 is not JSON"),
        ("english,french\na,b\n", "has the languages english, french; --source and --target name en and de"),
        (BOMB, "declares the entity a"),
        ('<!DOCTYPE tmx [<!ENTITY x SYSTEM "file:///etc/passwd">]><tmx>&x;</tmx>', "declares the entity x"),
        ("<html><body/></html>", "XML of another kind"),
        (TMX[:400], "not well-formed XML"),
        (TMX.replace("de", "es").replace('"EN-us"', '"es"'), "no unit has en and de; its languages are"),
    ],
)
def test_what_is_refused(content, message, tmp_path):
    (tmp_path / "pairs").write_text(content)
    with pytest.raises(CorpusError, match=message) as caught:
        read_pair_file(tmp_path / "pairs", "en", "de")
    assert "\n" not in str(caught.value)


def test_few_lines_without_a_pair_are_skipped_and_reported(tmp_path, capsys):
    (tmp_path / "pairs").write_text("".join(f"word {i}\tx\n" for i in range(150)) + "alone\n")
    assert len(read_pair_file(tmp_path / "pairs", "en", "de")) == 150
    assert "1 lines hold no pair and are skipped, first line 151" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content",
    [
        "Hallo, Welt;Hello, world\nJa, gut;Yes, well\n",  # as many commas in each line
        "Hallo, Welt;Hello, world\nJa, gut;Yes, well\nNein, nein;No\n",
        '1,"Hallo, Welt","Hello, world"\n2,"Ja, gut","Yes, well"\n',
        'id,satz,phrase\n1,"Hallo, Welt","Hello, world"\n2,"Ja, gut","Yes, well"\n',
        "1.2345\tHallo, Welt\tHello, world\n1.1\tJa, gut\tYes, well\n",  # a score first, as of mined pairs
    ],
)
def test_columns_of_text_are_found(content, tmp_path):
    (tmp_path / "pairs").write_text(content)
    pairs = read_pair_file(tmp_path / "pairs", "de", "en")
    assert pairs[:2] == [("Hallo, Welt", "Hello, world"), ("Ja, gut", "Yes, well")]


@pytest.mark.parametrize(
    ("line", "more"),
    [("Hello, world,Hallo, Welt\n", 0), ('"Yes, he said,Ja\nNo,Nein\n"Well, no","Nun, nein"\n', 2)],
    ids=["commas without quotes", "a lone quote"],
)
def test_rows_of_csv_that_may_be_read_wrongly_are_bad(line, more, tmp_path, capsys):
    good = "".join(f"one {i},eins {i}\n" for i in range(400))
    (tmp_path / "pairs").write_text(good + line + "last,letzte\n")
    pairs = read_pair_file(tmp_path / "pairs", "en", "de")
    assert (len(pairs), pairs[-1]) == (401 + more, ("last", "letzte"))
    assert "1 lines hold no pair and are skipped, first line 401" in capsys.readouterr().err
    (tmp_path / "pairs").write_text(good + line * 5)
    with pytest.raises(CorpusError, match=f"5 of {405 + 5 * more} lines, first line 401"):
        read_pair_file(tmp_path / "pairs", "en", "de")


def test_cells_and_texts_of_several_lines(tmp_path):
    (tmp_path / "pairs").write_text('en|de\n"A\n dog."|Ein Hund.\nA cat.|"Eine Katze,\nso."\n')
    assert read_pair_file(tmp_path / "pairs", "en", "de") == [("A dog.", "Ein Hund."), ("A cat.", "Eine Katze, so.")]
    (tmp_path / "pairs").write_text('{"en": "A\\r\\ndog.", "de": " Ein\\u00a0Hund.\\n"}')
    assert read_pair_file(tmp_path / "pairs", "en", "de") == [("A dog.", "Ein\xa0Hund.")]


def test_tmx_with_entities_of_another_file_and_units_that_lack_a_language(tmp_path, capsys):
    seg = "Ein <hi>Hund</hi>."
    (tmp_path / "pairs").write_text(TMX.replace(seg, "Ein&nbsp;H&uuml;ndchen &x;."))
    assert read_pair_file(tmp_path / "pairs", "en", "de")[0] == ("A dog.", "Ein\xa0Hündchen &x;.")
    assert "1 of 3 units lack a sentence in en and de and are skipped" in capsys.readouterr().err
    (tmp_path / "pairs").write_text(TMX.replace("A dog.", " "))
    assert read_pair_file(tmp_path / "pairs", "en", "de") == PAIRS[1:]
    assert "2 of 3 units lack" in capsys.readouterr().err
