"""The Kedro package: one folder per pipeline, each `pipeline.py` + `nodes.py` (+ `parameters.py`).

It stays light: importing `pipelines` imports nothing but the standard library.
"""

import os

# No telemetry in any entry point, set before Kedro, MLflow, Deepchecks or onnxruntime are imported. DO_NOT_TRACK=1 does
# not stop MLflow's, Deepchecks' stops at any text ("False" too), and onnxruntime's begins with its import.
for _switch in (
    "DO_NOT_TRACK",
    "MLFLOW_DISABLE_TELEMETRY",
    "KEDRO_DISABLE_TELEMETRY",
    "DISABLE_LATEST_VERSION_CHECK",
    "ORT_DISABLE_TELEMETRY",
):
    os.environ.setdefault(_switch, "true")
# MLflow loads pickles unless it is told not to; nothing of ours is one.
os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
# A thread that waits for another one sleeps. By default it spins, which costs a fit several times its work in CPU and
# in time where cores are shared; read when the first library with OpenMP is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
