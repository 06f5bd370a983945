"""The recurrent core: fused sequence kernels, the layers around them, and stacks of layers."""

from shared.recurrent.layers import GRU, LSTM, SimpleRNN, fused
from shared.recurrent.mogrifier import MogrifierLSTMCell
from shared.recurrent.stack import Stack

__all__ = ["GRU", "LSTM", "MogrifierLSTMCell", "SimpleRNN", "Stack", "fused"]
