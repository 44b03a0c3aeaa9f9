"""What a run found, kept as JSON: a scenario replaces its own figures, the others stay."""

import json
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

FILE = Path("data/e2e/figures.json")


class Figures:
    """The document of figures."""

    def __init__(self, root: Path) -> None:
        self.root, self.file = root, root / FILE
        self.document: dict[str, Any] = json.loads(self.file.read_text()) if self.file.is_file() else {}

    def put(self, scenario: str, found: dict[str, Any]) -> None:
        """Keep what a scenario found, with the day."""
        taken = {"measured": time.strftime("%Y-%m-%d %H:%M", time.gmtime()), "commit": self.commit()}
        self.document[scenario] = taken | found
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps(self.document, indent=1, sort_keys=True) + "\n")

    def machine(self, found: dict[str, Any]) -> None:
        """What it ran on."""
        self.put("machine", {"system": platform.platform(), **found})

    def commit(self) -> str:
        """What was delivered and by what: a run that goes on may be of another one than the scenarios before it."""
        command = ["git", "rev-parse", "--short=7", "HEAD"]
        return subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False).stdout.strip()
