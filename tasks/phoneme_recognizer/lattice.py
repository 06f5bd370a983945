"""Which pronunciation of each word was said, and roughly when: the best path through all pronunciations of a text.

    blank - dh - blank - ah - blank - d - ...
         \\- dh - blank - iy -/

A path of CTC (Graves et al. 2006) goes through one pronunciation of every word, in order; it may stay in a state, and
skip a blank between different phones. Sound that no word covers is blank. The search (Viterbi) is exact: a path that
waits in a blank is often the best one until the last words are due, so no state can be dropped before. It keeps the
scores of every n-th step, and finds the arcs between them again from the end: hours of sound fit into memory.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import isqrt
from typing import NamedTuple

import numpy as np

from shared.labels import BLANK, LOG_ZERO

NEAR_ARCS = 3  # to stay, and from two states before; only the first label of a word and a gap between words have more


class Said(NamedTuple):
    """What a path says of a word."""

    pronunciation: int  # index
    first: int  # step of its first phone
    last: int  # step after its last phone


class Lattice:
    """The states of all pronunciations of a sequence of words, in order.

    Args:
        words: of each word, its pronunciations as label ids; at least one of at least one label.
    """

    def __init__(self, words: Sequence[Sequence[Sequence[int]]]):
        emitting, owners, arcs = [BLANK], [(-1, -1)], [[0]]
        ends: list[int] = []  # last label of each pronunciation of the word before
        self.initial = [0]

        def add(label: int, owner: tuple[int, int], previous: list[int]) -> int:
            emitting.append(label)
            owners.append(owner)
            arcs.append([len(arcs), *previous])
            return len(arcs) - 1

        for index, pronunciations in enumerate(words):
            gap, last_labels = len(arcs) - 1, []
            for choice, labels in enumerate(pronunciations):
                owner = index, choice
                state = add(labels[0], owner, [gap, *(end for end in ends if emitting[end] != labels[0])])
                if index == 0:
                    self.initial.append(state)
                for before, label in pairwise(labels):
                    blank = add(BLANK, owner, [state])
                    state = add(label, owner, [blank, *([state] if label != before else [])])
                last_labels.append(state)
            add(BLANK, (-1, -1), last_labels)
            ends = last_labels
        self.final = [*ends, len(arcs) - 1]
        self.emitting, self.owners = np.array(emitting, np.int32), np.array(owners, np.int32)
        self.arcs = arcs  # of each state, the states before; the first is itself
        self.near = np.array([(own + own[:1] * 2)[:NEAR_ARCS] for own in arcs], np.int32).T.copy()  # (arcs, states)
        self.junctions = np.array([i for i, own in enumerate(arcs) if len(own) > NEAR_ARCS], np.int32)
        most = max(map(len, arcs)) - NEAR_ARCS
        rest = [arcs[i][NEAR_ARCS:] + [i] * (most + NEAR_ARCS - len(arcs[i])) for i in self.junctions]
        self.far = np.array(rest, np.int32).reshape(len(rest), max(most, 0)).T.copy()  # (arcs, junctions)

    def best_path(self, log_probs: np.ndarray) -> np.ndarray | None:
        """The state at each step `(steps,)`, from `(steps, vocab)`; None if the words need more steps."""
        steps, states = len(log_probs), len(self.emitting)
        window = self._reachable(steps)
        if window is None:
            return None
        scores = np.full(states, LOG_ZERO)
        scores[self.initial] = log_probs[0, self.emitting[self.initial]]
        block = isqrt(steps) + 1
        kept = {0: scores}
        for step in range(1, steps):
            scores = self._advance(scores, log_probs[step], window[step])
            if step % block == 0:
                kept[step] = scores
        path = np.zeros(steps, np.int64)
        path[-1] = state = self.final[int(np.argmax(scores[self.final]))]
        for start in reversed(kept):
            scores, stop = kept[start], min(start + block, steps - 1)
            arcs = np.zeros((stop - start, states), np.uint8)
            for step in range(start + 1, stop + 1):
                scores = self._advance(scores, log_probs[step], window[step], arcs[step - start - 1])
            for step in range(stop, start, -1):
                state = self.arcs[state][arcs[step - start - 1, state]]
                path[step - 1] = state
        return path

    def _advance(
        self, scores: np.ndarray, log_probs: np.ndarray, window: slice, arcs: np.ndarray | None = None
    ) -> np.ndarray:
        """The best scores `(states,)` one step later, with those outside of the window impossible.

        Writes into `arcs` `(states,)`, if it is given, which arc leads to each.
        """
        best = scores[window].copy()
        found = np.zeros(len(best), np.uint8) if arcs is None else arcs[window]
        for number, previous in enumerate(self.near[1:, window], start=1):
            candidates = scores[previous]
            np.putmask(found, candidates > best, number)
            np.maximum(best, candidates, out=best)
        first, last = np.searchsorted(self.junctions, (window.start, window.stop))
        junctions = self.junctions[first:last] - window.start
        for number, previous in enumerate(self.far[:, first:last], start=NEAR_ARCS):
            candidates = scores[previous]
            is_better = candidates > best[junctions]
            found[junctions[is_better]] = number
            best[junctions] = np.maximum(best[junctions], candidates)
        after = np.full(len(scores), LOG_ZERO)
        after[window] = best + log_probs[self.emitting[window]]
        return after

    def _reachable(self, steps: int) -> list[slice] | None:
        """The states that a path from the beginning to the end can be in at each step; None if there is no path."""
        states = len(self.arcs)
        earliest, latest = [0] * states, [-1] * states
        for state, own in enumerate(self.arcs):
            if state not in self.initial:
                earliest[state] = 1 + min(earliest[before] for before in own[1:])
        for state in self.final:
            latest[state] = steps - 1
        for state in reversed(range(states)):
            for before in self.arcs[state][1:]:
                latest[before] = max(latest[before], latest[state] - 1)
        if min(earliest[state] for state in self.final) >= steps:
            return None
        first, last = np.full(steps, states), np.zeros(steps, np.int64)
        for state, (early, late) in enumerate(zip(earliest, latest, strict=True)):
            if early <= late:
                first[late], last[early] = min(first[late], state), max(last[early], state)
        first, last = np.minimum.accumulate(first[::-1])[::-1], np.maximum.accumulate(last)
        return [slice(int(start), int(stop) + 1) for start, stop in zip(first, last, strict=True)]

    def said(self, path: np.ndarray) -> list[Said]:
        """The pronunciation and the steps of each word on a path `(steps,)`."""
        labelled = np.flatnonzero(self.emitting[path] != BLANK)
        owners = self.owners[path[labelled]]
        first = np.flatnonzero(np.append(True, owners[1:, 0] != owners[:-1, 0]))
        last = np.append(first[1:], len(owners)) - 1
        return [
            Said(int(owners[i, 1]), int(labelled[i]), int(labelled[j]) + 1) for i, j in zip(first, last, strict=True)
        ]
