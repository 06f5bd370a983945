"""A pronouncing dictionary of a few words."""

import pytest

from datasets import cmudict

WORDS = """;;; a comment
ice AY1 S
it's IH1 T S
a AH0
a(2) EY1
cream K R IY1 M
well-known W EH1 L N OW1 N # as one
two T UW1
forty F AO1 R T IY0
"""


@pytest.fixture
def dictionary(tmp_path, monkeypatch):
    """Its file, where a copy of CMUdict is looked for."""
    (tmp_path / "data" / "cmudict").mkdir(parents=True)
    path = tmp_path / "data" / "cmudict" / "cmudict.dict"
    path.write_text(WORDS)
    monkeypatch.setenv("QUATRAIN_DATA", str(tmp_path / "data"))
    cmudict.load_dictionary.cache_clear()
    yield path
    cmudict.load_dictionary.cache_clear()
