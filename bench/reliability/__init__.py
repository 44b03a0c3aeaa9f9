"""What must hold while things go wrong: `make reliability`. Each scenario is a module, all are black-box."""
