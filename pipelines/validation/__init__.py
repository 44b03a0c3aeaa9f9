"""Validation: every gate that a bundle has to pass before it is registered, one module per question."""
