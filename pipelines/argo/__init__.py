"""The compiler from the Kedro pipelines to Argo Workflows: `python -m pipelines.argo` (docs/argo.md)."""
