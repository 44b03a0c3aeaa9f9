"""The commands of docs/serving.md, as they stand there."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import bundles, servers


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_the_curl_examples_work(root: Path, tmp_path: Path) -> None:
    bundle = bundles.write(tmp_path / "store")
    command = [sys.executable, "-m", "loadtests.payloads", bundle.path]
    request = subprocess.run(command, cwd=root, capture_output=True, check=True).stdout
    (tmp_path / "request.json").write_bytes(request)
    text = (root / "docs" / "serving.md").read_text(encoding="utf-8")
    examples = re.findall(r"^curl .*$", text, re.MULTILINE)
    assert len(examples) > 6
    with servers.running(bundle.path) as server:
        for example in examples:
            here = example.replace("http://127.0.0.1:8080", server.url).replace(
                "http://127.0.0.1:8081", server.management
            )
            here = re.sub("/models/[^/]+", f"/models/{bundle.manifest.name}", here)
            subprocess.run(f"{here} --fail", shell=True, cwd=tmp_path, check=True, capture_output=True)


def test_every_code_of_a_problem_is_in_the_document(root: Path) -> None:
    text = (root / "docs" / "serving.md").read_text(encoding="utf-8")
    codes = set()
    for source in (root / "serving").rglob("*.py"):
        codes |= set(re.findall(r'Problem\(\s*\d{3},\s*"([a-z_]+)"', source.read_text(encoding="utf-8")))
    assert len(codes) > 15
    assert {code for code in codes if f"`{code}`" not in text} == set()
