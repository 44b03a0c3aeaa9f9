"""The documents that cross a border: the bundle, the budgets, the report.

Imports nothing of ours, runs in every environment.
"""
