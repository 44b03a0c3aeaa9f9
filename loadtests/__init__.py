"""The load test: Locust asks a server, and what it saw is held against the budgets. Knows `contracts` only."""
