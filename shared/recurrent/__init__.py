"""The recurrent core: fused sequence kernels, the layers around them, and stacks of layers."""

from shared.recurrent.conditional import ConditionalGRU
from shared.recurrent.layers import GRU, LSTM, Bidirectional, SimpleRNN, fused
from shared.recurrent.mogrifier import RNN, MogrifierLSTMCell
from shared.recurrent.stack import Stack

__all__ = [
    "GRU", "LSTM", "RNN", "Bidirectional", "ConditionalGRU", "MogrifierLSTMCell", "SimpleRNN", "Stack", "fused",
]  # fmt: skip
