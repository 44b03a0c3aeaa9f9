"""The inference server of one bundle. Knows `contracts` only: no Kedro, MLflow, pandas or torch."""

import os

__version__ = "0.1.0"

# onnxruntime makes a device id and sends telemetry from the moment it is imported, on Linux too, unless it is told so.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
