"""A beam search as a tree: every hypothesis that it has kept, and which of them were completed."""

import math
from dataclasses import dataclass, field

import numpy as np

from shared.decoding import Hypotheses, SearchTree


@dataclass
class Node:
    """A token after those of its parents."""

    token_id: int
    parent: int  # index among the nodes; -1 for the first token
    log_prob: float  # of all tokens up to this one
    before: float  # the same of its parent, 0 for the first token
    ranks: list[int] = field(default_factory=list)  # of the results that this token is part of, 0 for the best

    @property
    def probability(self) -> float:
        """Of the token, given those before it."""
        return math.exp(self.log_prob - self.before)


def read_tree(tree: SearchTree, found: Hypotheses, row: int) -> list[Node]:
    """The nodes of one example of a search, parents before their children.

    Args:
        tree, found: NumPy arrays, the results of `beam_search_with_tree`.
        row: index of the example.
    """
    nodes: list[Node] = []
    children: dict[tuple[int, int], int] = {}  # index of a node by its parent and token

    def add(token_id: int, parent: int, log_prob: float) -> int:
        key = parent, token_id
        if key not in children:
            children[key] = len(nodes)
            nodes.append(Node(token_id, parent, log_prob, nodes[parent].log_prob if parent >= 0 else 0.0))
        return children[key]

    steps = zip(tree.token_ids[row], tree.parents[row], tree.log_probs[row], strict=True)
    before: dict[int, int] = {0: -1}  # index of the node of each hypothesis of the step before
    for token_ids, parents, log_probs in steps:
        entries = np.flatnonzero(log_probs > -np.inf).tolist()
        before = {i: add(int(token_ids[i]), before[int(parents[i])], float(log_probs[i])) for i in entries}
    for rank in np.flatnonzero(found.lengths[row]).tolist():  # no hypothesis was kept with its end token
        tokens = slice(int(found.lengths[row, rank]))
        index, log_prob = -1, 0.0
        for token_id, own in zip(
            found.token_ids[row, rank, tokens], found.token_log_probs[row, rank, tokens], strict=True
        ):
            log_prob += float(own)
            index = add(int(token_id), index, log_prob)
            nodes[index].ranks.append(rank)
    return nodes
