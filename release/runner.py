"""What a step of a workflow hands on. Standard library only: it runs before any environment is made, too."""

import os
from pathlib import Path


def output(**values: str) -> None:
    """Make these the outputs of a runner's step; nothing where there is no runner."""
    if place := os.environ.get("GITHUB_OUTPUT"):
        with Path(place).open("a", encoding="utf-8") as file:
            file.writelines(f"{name}={value}\n" for name, value in values.items())
