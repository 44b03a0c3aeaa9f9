import json
import os
import shutil
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.training import small

# Training and packaging over a table of made-up shops, by the command line, in the repository's own configuration.
SCHEMA = {name: {"expression": name, "description": name, **feature} for name, feature in small.FEATURES.items()}
DOCUMENT = {
    "format": 1,
    "task": "binary",
    "target": "busy",
    "tables": {
        "sales": {
            "columns": {
                "id": {"type": "int64"},
                "time": {"type": "timestamp"},
                "label": {"type": "int64", "nullable": True, "known_at": "time"},
                **{
                    name: {"type": feature["dtype"].replace("float32", "float64"), "nullable": True}
                    for name, feature in small.FEATURES.items()
                },
            },
            "key": ["id"],
        }
    },
    "prediction": {
        "table": "sales",
        "time": "time",
        "lead": "2h",
        "label": {"expression": "label", "known_at": "time", "policy": "Every row has one."},
    },
    "features": SCHEMA,
}
COMMANDS = [
    "--params",
    "training.train_until=2024-03-15,training.test_until=2024-04-09,training.optimisation.maximum_epochs=2",
]


def clone(root: Path, place: Path) -> Path:
    subprocess.run(["git", "clone", "-q", root, place], check=True)
    (place / "conf/base/schema.yml").write_text(json.dumps(DOCUMENT))  # JSON is YAML
    features = place / "data/features"
    features.mkdir(parents=True)
    pq.write_table(small.feature_table(), features / "feature_table.parquet")
    return place


def digest(place: Path, python: Path, threads: int) -> str:
    command = [python.parent / "kedro", "run", "--pipelines", "training,packaging", *COMMANDS]
    done = subprocess.run(
        command, cwd=place, env={**os.environ, "OMP_NUM_THREADS": str(threads)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((place / "data/bundles/latest.json").read_text())["digest"]


@pytest.mark.slow
def test_two_clones_with_a_commit_between_make_the_same_bundle(root, tmp_path, environments):
    if not (root / ".git").exists() or shutil.which("git") is None:
        pytest.skip("needs the git repository itself")
    python = environments["train"].absolute()
    one, other = (clone(root, tmp_path / name) for name in ("one", "another place"))
    (other / "NOTES.md").write_text("Nothing to do with the model.\n")
    identity = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.com"]
    subprocess.run(["git", "add", "NOTES.md"], cwd=other, check=True)
    subprocess.run(["git", *identity, "commit", "-q", "-m", "Notes"], cwd=other, check=True)

    assert digest(one, python, 1) == digest(other, python, 2)
    status = subprocess.run(
        ["git", "status", "--porcelain"], cwd=other, check=True, capture_output=True, text=True
    ).stdout
    assert status.split() == ["M", "conf/base/schema.yml"]  # what we changed above, nothing that the run left
