"""Kedro's settings: where configuration lies, how it is read, and which hooks take part in a run."""

from pipelines.configuration import Configuration
from pipelines.hooks import Progress, TypedParameters
from pipelines.tracking import Tracking

CONFIG_LOADER_CLASS = Configuration
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "config_patterns": {"mlflow": ["mlflow*"]},
}
HOOKS = (TypedParameters(), Progress(), Tracking())
