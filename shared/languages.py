"""Codes and names of languages: "deu", "ger", "de-AT" and "German" are one language, "de"."""

import re

# ISO 639-1, the codes of ISO 639-3 and 639-2/B, names.
_LANGUAGES = """
af afr afrikaans | sq sqi alb albanian | am amh amharic | ar ara arb arabic | hy hye arm armenian | az aze azerbaijani
eu eus baq basque | be bel belarusian | bn ben bengali | bs bos bosnian | bg bul bulgarian | my mya bur burmese myanmar
ca cat catalan | zh zho chi cmn yue wuu lzh hak nan gan chinese mandarin cantonese | hr hrv croatian
cs ces cze czech | da dan danish | nl nld dut dutch | dz dzo dzongkha | en eng english | eo epo esperanto
et est estonian | fi fin finnish | fr fra fre french français | gl glg galician | ka kat geo georgian
de deu ger german deutsch | el ell gre greek | gu guj gujarati | he heb hebrew | hi hin hindi | hu hun hungarian
is isl ice icelandic | id ind indonesian | ga gle irish | it ita italian italiano | ja jpn japanese | kn kan kannada
kk kaz kazakh | km khm khmer | ko kor korean | ku kur kmr ckb kurdish | ky kir kyrgyz | lo lao | la lat latin
lv lav latvian | lt lit lithuanian | mk mkd mac macedonian | ms msa may zsm malay | ml mal malayalam | mt mlt maltese
mr mar marathi | mn mon khk mongolian | ne nep npi nepali | no nor nob nno nb nn norwegian | or ori ory odia
ps pus pashto | fa fas per pes persian farsi | pl pol polish | pt por portuguese português | pa pan punjabi
ro ron rum romanian | ru rus russian | sa san sanskrit | sd snd sindhi | si sin sinhala | sk slk slo slovak
sl slv slovenian | so som somali | es spa spanish español | sr srp serbian | sw swa swh swahili | sv swe swedish
tl tgl filipino tagalog | ta tam tamil | te tel telugu | th tha thai | bo bod tib tibetan | ti tir tigrinya
tr tur turkish | tk tuk turkmen | uk ukr ukrainian | ur urd urdu | ug uig uyghur | uz uzb uzbek | vi vie vietnamese
cy cym wel welsh | yi yid yiddish | zu zul zulu
"""
_ROWS = [row for words in re.split(r"[|\n]", _LANGUAGES) if (row := words.split())]
_CODES = {name: row[0] for row in _ROWS for name in row}
_LONG_CODES = {row[0]: row[1] for row in _ROWS if len(row) > 1 and len(row[1]) == 3}
_NAMES = {row[0]: next(name for name in row if len(name) > 3 or name == "lao") for row in _ROWS}


def primary_language(name: str) -> str:
    """The code of two letters of a language's code, tag or English name; another name in lower case, without a region.

    >>> primary_language("de-AT"), primary_language("GER"), primary_language("German"), primary_language("tlh")
    ('de', 'de', 'de', 'tlh')
    """
    tag = re.split(r"[-_]", name.strip().lower())[0]
    return _CODES.get(tag, tag)


def is_known(name: str) -> bool:
    """Whether this is a code, tag or name of a language of the list."""
    return primary_language(name) in _CODES


def language_code(name: str) -> str:
    """The code of three letters (ISO 639-3) of a language's code, tag or English name; others as `primary_language`.

    >>> language_code("de"), language_code("French"), language_code("tlh")
    ('deu', 'fra', 'tlh')
    """
    code = primary_language(name)
    return _LONG_CODES.get(code, code)


def language_name(name: str) -> str:
    """The English name of a language by its code or tag; others as they are.

    >>> language_name("deu"), language_name("tlh")
    ('German', 'tlh')
    """
    code = primary_language(name)
    return _NAMES[code].capitalize() if code in _NAMES else name
