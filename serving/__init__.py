"""The inference server of one bundle. Knows `contracts` only: no Kedro, MLflow, pandas or torch."""

__version__ = "0.1.0"
