"""Scoring: batch inference over a table, with the server's model runtime."""
