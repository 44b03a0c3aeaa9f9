"""Tables become one row per prediction, holding only what was known at prediction time."""
