"""Several processes that serve one bundle on one port, and the one that looks after them."""
