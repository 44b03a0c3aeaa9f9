"""A split becomes a model: a torch network with embeddings, calibrated, beside the baselines it is measured against."""
