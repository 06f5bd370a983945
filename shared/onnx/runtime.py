"""Runs a function of a model that was written as an ONNX file, by onnxruntime; needs neither Keras nor a backend."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnxruntime

from shared.machine import thread_limit
from shared.nests import filled, leaves, ordered
from shared.packing import packed


def session_options() -> Any:
    """Options for a command, whose threads should not keep cores busy while they wait."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    if (count := thread_limit()) is not None:
        options.intra_op_num_threads = count
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


class OnnxFunction:
    """A compiled call, with the methods of `shared.any_size.AnySize`.

    `content` is that of an ONNX file which `shared.onnx.files.as_onnx` has written.
    """

    def __init__(self, content: bytes):
        providers = ["CPUExecutionProvider"]
        self._session = onnxruntime.InferenceSession(content, session_options(), providers=providers)
        metadata = self._session.get_modelmeta().custom_metadata_map
        self._inputs, self._outputs = json.loads(metadata["inputs"]), json.loads(metadata["outputs"])
        self._types = {value.name: value.type for value in self._session.get_inputs()}

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs, a nest of NumPy arrays, for an array or a dictionary of arrays, nests or scalars."""
        names = [name for _, name in leaves(self._inputs)]
        arrays = [value for _, value in leaves(ordered(x, self._inputs))]
        results = self._session.run(None, dict(zip(names, map(np.asarray, arrays), strict=True)))
        by_name = dict(zip((output.name for output in self._session.get_outputs()), results, strict=True))
        return filled(self._outputs, (by_name[name] for _, name in leaves(self._outputs)))

    def batches(self, lengths: Sequence[int], max_size: int) -> Iterator[list[int]]:
        """As `AnySize.batches`."""
        return packed(lengths, max_size)
