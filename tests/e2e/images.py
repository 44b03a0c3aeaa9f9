"""The images of the versions, built by `release image` as a person would, kept in a layout of their own between runs.

    python -m tests.e2e.images [NAME ...]      builds what is not there yet; needs a builder, a base image, a package index

Where the cluster's network has no way out, this runs before and outside of it.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from contracts import bundle as bundles
from contracts import report as reports
from contracts.bundle import Bundle
from contracts.errors import InputError
from contracts.report import Check, Report
from release import container, image
from tests.e2e import versions

ROOT = Path(__file__).resolve().parents[2]
HOME = Path("data/e2e")
LAYOUT = HOME / "layout"
BUILT = HOME / "images.json"
GOOD = tuple(f"good-{number}" for number in range(1, 13))
EVERYTHING = (*GOOD, *versions.BAD)


class Images:
    """What `release image` printed for each version: what an environment's line says to run it."""

    def __init__(self, root: Path, bundle: str, builder: str, base: str) -> None:
        self.root, self.builder, self.base = root, builder, base
        self.model = versions.base(root / "data/bundles", bundle)
        self.layout = root / LAYOUT
        self.pins: dict[str, str] = {}
        self.digests: dict[str, str] = {}

    def make(self, names: tuple[str, ...] = EVERYTHING) -> None:
        """Build what is not there yet of the code and the bundles as they are now."""
        there = json.loads((self.root / BUILT).read_text()) if (self.root / BUILT).is_file() else {}
        for name in names:
            bundle = versions.write(self.root / HOME / "bundles", self.model, name)
            key = f"{name} {self._code()} {bundle.digest} {self.base}"
            if key not in there:
                there[key] = self._build(bundle)
                (self.root / BUILT).write_text(json.dumps(there, indent=1) + "\n")
            self.pins[name], self.digests[name] = there[key], bundle.digest

    def image(self, name: str) -> str:
        """The image digest of a version."""
        return self.pins[name].rpartition("@")[2]

    def build(self, name: str) -> str:
        """Build a version whether it is there or not."""
        return self._build(versions.write(self.root / HOME / "bundles", self.model, name))

    def named_image(self, digest: str | None) -> str:
        """The version of an image's digest, or nothing."""
        return next((name for name, said in self.pins.items() if digest and said.endswith(digest)), "")

    def _code(self) -> str:
        files = [*image.code(self.root), *(self.root / name for name in container.NEEDED)]
        sums = "".join(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
        return hashlib.sha256(sums.encode()).hexdigest()[:16]

    def _build(self, bundle: Bundle) -> str:
        """The gates have seen nothing: their reports say yes to every version."""
        folder = self.root / HOME / "reports"
        shutil.rmtree(folder / bundles.short(bundle.digest), ignore_errors=True)
        for stem in ("gates", "loadtest"):
            check = Check(gate=stem, name="let through", status="pass", detail="for the tests of delivery")
            said = Report(title=stem, subject=bundle.digest, created_at=reports.now(), checks=(check,))
            reports.write(said, folder / bundles.short(bundle.digest), stem)
        command = [sys.executable, "-m", "release", "image", "--bundle", str(bundle.path), "--layout", str(self.layout)]
        command += ["--builder", self.builder, "--reports", str(folder), *(["--base", self.base] if self.base else [])]
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False)
        if done.returncode or "docker daemon" in done.stdout:
            raise InputError(f"{bundle.path}: no image: {done.stdout[-300:]}{done.stderr[-600:]}; docs/e2e.md")
        return done.stdout.strip().splitlines()[-1]


def main(names: list[str]) -> int:
    """Build, and say what is there."""
    images = Images(
        ROOT, os.environ.get("BUNDLE", ""), os.environ.get("BUILDER", "") or "auto", os.environ.get("E2E_BASE", "")
    )
    try:
        images.make(tuple(names) or EVERYTHING)
    except InputError as error:
        print(f"e2e-images: {error}", file=sys.stderr)
        return 2
    print("\n".join(f"{name:12} {said}" for name, said in images.pins.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
