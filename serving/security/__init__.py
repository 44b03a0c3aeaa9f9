"""Who may ask: API keys and tokens, checked before a request reaches an endpoint."""
