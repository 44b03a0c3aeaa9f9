"""Registration: one registered version in MLflow per bundle digest, with the bundle and its lineage."""
