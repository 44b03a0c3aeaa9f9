import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from contracts.errors import InputError
from tests.training import small

QUICK = {"optimisation": {"maximum_epochs": 2}}
SLOW = {"optimisation": {"maximum_epochs": 200, "patience": 200}}


def times(folder: Path) -> dict[str, int]:
    return {str(file.relative_to(folder)): file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("once")
    small.run(small.catalog(folder, **QUICK))
    return folder


@pytest.fixture
def done(once, tmp_path):
    """A run that went through, in a folder of its own."""
    return shutil.copytree(once, tmp_path / "first", dirs_exist_ok=True)


def test_unchanged_inputs_train_nothing_and_name_what_there_is(done, caplog):
    caplog.set_level("INFO")
    before = times(done)
    bundle = small.run(small.catalog(done, **QUICK)).load("bundle")
    after = times(done)
    stores = ("models/", "splits/", "bundles/" + bundle.digest[7:23])

    assert "epoch" not in caplog.text
    assert f"unchanged inputs: nothing is trained, the model is {done}/models/" in caplog.text
    assert f"unchanged inputs: nothing is packaged, the bundle is {bundle.path} ({bundle.digest})" in caplog.text
    assert {file for file in after if file.startswith(stores) and before.get(file) != after[file]} == {
        "models/latest.json"
    }


def test_changed_inputs_train_and_going_back_names_the_first_bundle(done, caplog):
    first = small.catalog(done, **QUICK).load("bundle")
    second = small.run(small.catalog(done, seed=8, **QUICK)).load("bundle")
    assert second.digest != first.digest

    caplog.set_level("INFO")
    caplog.clear()
    back = small.run(small.catalog(done, **QUICK))
    assert back.load("bundle").digest == first.digest
    assert back.load("evaluation").inputs_hash == back.load("parity").inputs_hash == first.provenance.inputs_hash
    assert "epoch" not in caplog.text


def test_another_place_and_another_number_of_threads_give_the_same_digest(done, tmp_path):
    digest = small.catalog(done, **QUICK).load("bundle").digest
    table = small.feature_table()
    mixed = table.take(np.random.default_rng(0).permutation(table.num_rows))
    elsewhere = tmp_path / "a b" / "elsewhere"

    with threadpool_limits(2):
        assert small.run(small.catalog(elsewhere, table=mixed, **QUICK)).load("bundle").digest == digest


@pytest.mark.parametrize("lost", ["evaluation", "bundle", "parity", "splits", "everything but the model"])
def test_what_a_run_did_not_get_to_is_made_without_training_again(done, caplog, lost):
    before = small.catalog(done, **QUICK).load("bundle").digest
    gone = {
        "evaluation": ["evaluations", "evaluation.json"],
        "bundle": ["bundles"],
        "parity": ["parities", "parity.json"],
        "splits": ["splits/splits.json"],
    }
    names = gone.get(lost, [name for some in gone.values() for name in some] + ["training_identity.json"])
    for name in names:
        path = done / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    caplog.set_level("INFO")
    after = small.run(small.catalog(done, **QUICK))

    assert after.load("bundle").digest == after.load("parity").digest == before
    assert "epoch" not in caplog.text


@pytest.mark.parametrize(
    "sign",
    [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)],
)
def test_a_run_that_is_stopped_while_it_trains_leaves_nothing_half_and_the_next_one_is_right(tmp_path, sign):
    program = f"from pathlib import Path; from tests.training import small; small.run(small.catalog(Path({str(tmp_path)!r}), **{SLOW!r}))"
    process = subprocess.Popen(
        [sys.executable, "-c", program], env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL
    )
    wait_for(tmp_path / "splits" / "splits.json", process)
    process.send_signal(sign)
    process.wait(timeout=60)

    assert not (tmp_path / "models").exists()
    again = small.run(small.catalog(tmp_path, **QUICK))
    assert again.load("bundle").digest == small.run(small.catalog(tmp_path / "fresh", **QUICK)).load("bundle").digest


def wait_for(file: Path, process: subprocess.Popen) -> None:
    """Until it is there; stops waiting when the process ends."""
    deadline = time.monotonic() + 120
    while not file.exists():
        assert process.poll() is None, "the run ended before it could be stopped"
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_damaged_bundle_is_one_line_that_says_what_to_remove(done):
    made = small.catalog(done, **QUICK)
    folder = made.load("bundle").path
    (folder / "golden.json").write_text("{}")

    with pytest.raises(InputError, match=rf"first remove {folder}") as refused:
        small.run(made)
    assert "\n" not in str(refused.value)


def test_a_damaged_model_is_one_line_that_says_what_to_remove(done):
    (weights,) = (done / "models").glob("*/model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1])

    with pytest.raises(
        InputError, match=rf"{weights.parent}: the model cannot be read: .*; remove the folder"
    ) as refused:
        small.run(small.catalog(done, **QUICK))
    assert "\n" not in str(refused.value)


def test_nothing_that_is_kept_could_be_executed(done):
    suffixes = {".json", ".safetensors", ".parquet", ".onnx", ".md"}
    for file in done.rglob("*"):
        if file.is_file():
            assert file.suffix in suffixes, file
            assert not file.read_bytes().startswith((b"\x80", b"PK")), file  # a pickle, or PyTorch's archive of some
            assert not file.stat().st_mode & 0o111, file
