"""Statistics that several pipelines use: metrics by whole days, and what resampling the days says. No pipeline."""
