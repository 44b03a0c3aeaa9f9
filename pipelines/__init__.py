"""The Kedro package: one folder per pipeline, each `pipeline.py` + `nodes.py` (+ `parameters.py`).

It stays light: importing `pipelines` imports nothing but the standard library.
"""

import os

# No telemetry in any entry point. Set before Kedro, MLflow or Deepchecks are imported; DO_NOT_TRACK=1 would not stop
# MLflow's, and Deepchecks' stops at any text, "False" too.
for _switch in ("DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY", "KEDRO_DISABLE_TELEMETRY", "DISABLE_LATEST_VERSION_CHECK"):
    os.environ.setdefault(_switch, "true")
