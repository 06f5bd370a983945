"""The recurrent core: fused sequence kernels and the layers around them."""

from shared.recurrent.lstm import LSTM

__all__ = ["LSTM"]
