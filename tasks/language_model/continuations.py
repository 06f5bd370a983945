"""Continuations of a prompt, assembled from their tokens up to a text that ends them."""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

Spell = Callable[[Iterable[int]], Iterator[str]]  # the text to write for each id as it arrives


class Writer:
    """Assembles one continuation from its tokens.

    Args:
        spell: writes ordinary text.
        spell_tokens: writes tokens with a space between them.
        stop: texts that end the continuation, of either kind.

    Attributes:
        ids: the tokens, up to the one that completes a stop text.
        log_prob: natural log-probability of all of them.
        is_stopped: whether there was a stop text.
    """

    def __init__(self, spell: Spell, spell_tokens: Spell, stop: Sequence[str]):
        self.spell, self.stop = spell, stop
        self.tokens_to_stop = [text for text in stop if text.strip()]  # white space is not that of ordinary text
        self.written, self.plain = _Spelled(spell), _Spelled(spell_tokens)
        self.ids: list[int] = []
        self.ends: list[int] = []  # lengths of `plain` after each id
        self.text, self.log_prob, self.is_stopped = "", 0.0, False

    def write(self, token_id: int, log_prob: float) -> None:
        """Adds a token, unless a stop text was completed."""
        if self.is_stopped:
            return
        self.ids.append(token_id)
        self.log_prob += log_prob
        known, known_plain = len(self.written.text), len(self.plain.text)
        self.written.write(token_id)
        if not self.stop:
            return
        self.plain.write(token_id)
        self.ends.append(len(self.plain.text))
        before = text_before(self.written.text, self.stop, known)
        if before is None:
            plain = text_before(self.plain.text, self.tokens_to_stop, known_plain)
            if plain is not None:
                before = "".join(self.spell(self.ids[: bisect_right(self.ends, len(plain))]))
        if before is not None:
            self.text, self.is_stopped = before, True

    def finish(self) -> str:
        """The text before the first stop text, or all of it."""
        return self.text if self.is_stopped else self.written.finish()


class _Spelled:
    """The text of ids that arrive one by one."""

    def __init__(self, spell: Spell):
        self._pending: deque[int | None] = deque()  # None ends the text
        self._spelling = spell(iter(self._pending.popleft, None))
        self.text = ""

    def write(self, token_id: int) -> None:
        self._pending.append(token_id)
        self.text += next(self._spelling)

    def finish(self) -> str:
        """The whole text, with what was held back, such as an incomplete character."""
        self._pending.append(None)
        self.text += "".join(self._spelling)
        return self.text


def text_before(text: str, stop: Sequence[str], start: int = 0) -> str | None:
    """The text before the first stop text that ends after index `start`; None if there is none."""
    indices = [index for index in (text.find(one, max(0, start - len(one))) for one in stop) if index >= 0]
    return text[: min(indices)] if indices else None
