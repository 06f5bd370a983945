"""Metrics of translations: BLEU and chrF by sacreBLEU, what is copied, and the alignment error rate."""

import json
import math
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from shared.errors import UserError
from shared.languages import primary_language

if TYPE_CHECKING:
    from sacrebleu.metrics import BLEU

    from tasks.translator.synthetic import Case

RESAMPLES = 1000  # of the bootstrap
LENGTHS = (1, 8, 12, 16, 24)  # words of a sentence at which the buckets start
TOKENIZERS = ("13a", "intl", "zh", "ja-mecab", "ko-mecab", "char", "none")  # of sacreBLEU that need no download

# Languages with a tokenizer of their own: those that write no space between words, and those whose sentences end in
# other characters than the full stop, which 13a does not split off. All others have 13a, as in most publications.
_OF_LANGUAGE = {"zh": "zh", "ja": "ja-mecab", "ko": "ko-mecab"}
_OF_LANGUAGE |= dict.fromkeys(("th", "lo", "km", "my", "bo", "dz"), "char")
_OF_LANGUAGE |= dict.fromkeys(
    ("am", "ar", "bn", "fa", "hi", "hy", "mr", "ne", "or", "pa", "ps", "sa", "sd", "ti", "ug", "ur"), "intl"
)
_OF_SCRIPT = {"CJK": "zh", "HIRAGANA": "ja-mecab", "KATAKANA": "ja-mecab", "HANGUL": "ko-mecab"}
_OF_SCRIPT |= dict.fromkeys(("THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN", "JAVANESE", "BALINESE", "TAI"), "char")
_OF_SCRIPT |= dict.fromkeys(("ARABIC", "DEVANAGARI", "BENGALI", "GURMUKHI", "ORIYA", "ETHIOPIC", "ARMENIAN"), "intl")


def bleu_tokenizer(language: str, references: Sequence[str]) -> str:
    """The name of sacreBLEU's tokenizer for references in a language, by its code or, for others, by their script."""
    if tokenizer := _OF_LANGUAGE.get(primary_language(language)):
        return tokenizer
    letters = Counter(character for text in references for character in text if character.isalpha())
    scripts: Counter[str] = Counter()
    for letter, count in letters.items():
        scripts[_OF_SCRIPT.get(unicodedata.name(letter, "").split(" ")[0].split("-")[0], "13a")] += count
    if scripts["ja-mecab"] * 20 > letters.total():  # Japanese has many of the characters of Chinese
        return "ja-mecab"
    return scripts.most_common(1)[0][0] if scripts else "13a"


class Bleu:
    """BLEU for a target language.

    Args:
        language: its code.
        references: the references of what is scored.
        tokenizer: one of `TOKENIZERS`; default: that of the language, see `bleu_tokenizer`.
        lowercase: compare in lower case.

    Raises UserError if the tokenizer that is asked for is not installed. That of a language is replaced by `char` then,
    which the signature says.
    """

    def __init__(
        self, language: str, references: Sequence[str], tokenizer: str | None = None, lowercase: bool = False
    ) -> None:
        self.references, self._remark = [list(references)], ""
        self.tokenizer = tokenizer or bleu_tokenizer(language, references)
        try:
            self._bleu = _bleu(self.tokenizer, lowercase)
        except RuntimeError:  # of sacreBLEU, in several lines
            needed = f"{self.tokenizer} is not installed: pip install 'sacrebleu[{self.tokenizer[:2]}]'"
            if tokenizer:
                raise UserError(f"--bleu-tokenizer {needed}, or another one, was expected") from None
            self.tokenizer, self._remark = "char", f" ({needed})"
            self._bleu = _bleu(self.tokenizer, lowercase)

    def score(self, outputs: Sequence[str]) -> float:
        """Corpus BLEU in percent."""
        return self._bleu.corpus_score(list(outputs), self.references).score

    def interval(self, outputs: Sequence[str]) -> tuple[float, float]:
        """Mean and half width of the 95 % interval of `score`, by bootstrap; zeros if nothing matches."""
        score = self._bleu.corpus_score(list(outputs), self.references, n_bootstrap=RESAMPLES)
        values = json.loads(score.format(width=12, signature=str(self._bleu.get_signature()), is_json=True))
        return values.get("confidence_mean", 0.0), values.get("confidence_var", 0.0)

    @property
    def signature(self) -> str:
        """That of sacreBLEU, after a scoring; with a remark if another tokenizer was expected."""
        return f"{self._bleu.get_signature()}{self._remark}"


def _bleu(tokenizer: str, lowercase: bool) -> "BLEU":
    from sacrebleu.metrics import BLEU

    return BLEU(tokenize=tokenizer, lowercase=lowercase, force=True)


def moses_tokenised(texts: Sequence[str], language: str) -> list[str]:
    """The texts in lower case, with normalised punctuation, as tokens of Moses between spaces.

    So are the texts of Multi30k's results prepared (Elliott et al. 2017): `lowercase.perl`,
    `normalize-punctuation.perl`, `tokenizer.perl`, here those of sacremoses.
    """
    from sacremoses import MosesPunctNormalizer, MosesTokenizer

    code = primary_language(language) or "en"
    normalise, tokenizer = MosesPunctNormalizer(code, perl_parity=True).normalize, MosesTokenizer(code)
    return [" ".join(tokenizer.tokenize(normalise(text.lower()))) for text in texts]


def translation_scores(
    outputs: Sequence[str],
    references: Sequence[str],
    sources: Sequence[str] | None = None,
    language: str = "",
    tokenizer: str | None = None,
) -> dict[str, Any]:
    """The metrics of translations, in percent; `exact` is a fraction.

    Args:
        outputs, references: the translations and what they should be.
        sources: the sentences, for BLEU by their length.
        language, tokenizer: as for `Bleu`.
    """
    from sacrebleu.metrics import CHRF

    outputs, references = ([unicodedata.normalize("NFC", text) for text in texts] for texts in (outputs, references))
    bleu = Bleu(language, references, tokenizer)
    mean, half = bleu.interval(outputs)
    scores: dict[str, Any] = {
        "BLEU": round(bleu.score(outputs), 2),
        "BLEU interval": f"{mean - half:.1f} to {mean + half:.1f}",
        "BLEU lower case": round(Bleu(language, references, bleu.tokenizer, lowercase=True).score(outputs), 2),
        **_moses_scores(outputs, references, language, bleu.tokenizer),
        "chrF": round(CHRF().corpus_score(outputs, [references]).score, 2),
        "exact": round(sum(map(str.__eq__, outputs, references)) / len(outputs), 4),
    }
    if sources is not None:
        scores["BLEU by length"] = {
            name: round(
                Bleu(language, [references[i] for i in rows], bleu.tokenizer).score([outputs[i] for i in rows]), 1
            )
            for name, rows in _by_length(sources).items()
        }
    return {**scores, "protocol": bleu.signature}


def _moses_scores(outputs: Sequence[str], references: Sequence[str], language: str, tokenizer: str) -> dict[str, float]:
    """BLEU of the texts as `moses_tokenised` has them; none of languages that need another tokenizer."""
    if tokenizer != TOKENIZERS[0]:
        return {}
    outputs, references = (moses_tokenised(texts, language) for texts in (outputs, references))
    return {"BLEU Moses": round(Bleu(language, references, "none").score(outputs), 2)}


def _by_length(sources: Sequence[str]) -> dict[str, list[int]]:
    """The indices of sentences by their number of words."""
    buckets = {}
    for start, end in zip(LENGTHS, (*LENGTHS[1:], math.inf), strict=True):
        if indices := [i for i, source in enumerate(sources) if start <= len(source.split()) < end]:
            buckets[f"{start}+" if end == math.inf else f"{start}-{end - 1}"] = indices
    return buckets


def copied(cases: "Sequence[Case]", outputs: Sequence[str]) -> dict[str, float]:
    """The fraction of synthetic cases whose translation has the value in one of its forms, by kind and of all."""
    met: dict[str, list[bool]] = {}
    for case, output in zip(cases, outputs, strict=True):
        for name in ("all", case.kind):
            met.setdefault(name, []).append(case.is_met_by(output))
    return {name: round(sum(values) / len(values), 4) for name, values in met.items()}


def alignment_error_rate(alignments: Sequence[set], references: Sequence[set]) -> float:
    """1 - 2 |A and S| / (|A| + |S|), with the links (source index, target index) of all sentences counted together."""
    links = sum(map(len, alignments)) + sum(map(len, references))
    return 1 - 2 * sum(len(a & s) for a, s in zip(alignments, references, strict=True)) / max(links, 1)
