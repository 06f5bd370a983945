"""Speech of a text, where the engine is installed."""

import io
import wave

import numpy as np
import pytest

from datasets.speech import CorpusError, check_engine
from shared.errors import UserError
from tasks.serve.speech import VOICES, SpeakRequest, synthesize, wav


@pytest.fixture(autouse=True)
def engine():
    try:
        check_engine()
    except CorpusError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("language", VOICES)
def test_each_language_has_a_voice(language):
    samples = synthesize(SpeakRequest(text="Anna, 21.", language=language))
    assert samples.dtype == np.int16
    assert 8_000 < len(samples) < 40_000  # 0.5 to 2.5 s
    assert np.abs(samples).max() > 1_000


def test_a_slower_rate_takes_longer():
    slow, fast = (len(synthesize(SpeakRequest(text="one two three", rate=rate))) for rate in (80, 240))
    assert slow > 1.5 * fast


def test_a_text_without_words_is_refused():
    with pytest.raises(UserError, match="nothing that can be spoken"):
        synthesize(SpeakRequest(text=" "))


def test_the_file_has_the_samples():
    samples = np.array([0, 1, -32_768, 32_767], np.int16)
    with wave.open(io.BytesIO(wav(samples))) as file:
        assert file.getparams()[:4] == (1, 2, 16_000, 4)
        assert np.frombuffer(file.readframes(4), "<i2").tolist() == samples.tolist()
