"""Source tables become tables that keep the contract; what breaks it is set aside, with the reason."""
