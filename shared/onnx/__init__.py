"""Models as ONNX files: TensorFlow's graphs converted to standard operators, and run by onnxruntime without Keras."""

from typing import Literal

from shared.backend import is_installed
from shared.errors import UserError

ExportFormat = Literal["savedmodel", "onnx"]


def require_onnx(purpose: str, *packages: str) -> None:
    """Raises UserError unless these packages of the extra `onnx` are installed."""
    for package in packages:
        if not is_installed(package):
            raise UserError(f"{purpose} needs {package}, which is not installed; run pip install -e '.[onnx]'")
