"""The recurrent core: fused sequence kernels, the layers around them, and stacks of layers."""

from shared.recurrent.conditional import ConditionalGRU
from shared.recurrent.layers import (
    GRU,
    LSTM,
    Bidirectional,
    SimpleRNN,
    fused,
    inference_in_machine_code,
    infers_in_machine_code,
    operations_only,
)
from shared.recurrent.mogrifier import RNN, MogrifierLSTMCell
from shared.recurrent.stack import Stack

__all__ = [
    "GRU", "LSTM", "RNN", "Bidirectional", "ConditionalGRU", "MogrifierLSTMCell", "SimpleRNN", "Stack", "fused",
    "inference_in_machine_code", "infers_in_machine_code", "operations_only",
]  # fmt: skip
