"""Deepchecks gate: a suite of relevant checks in an environment and a process of its own.

Deepchecks is AGPL-3.0 and needs numpy<2, so nothing of ours imports it: samples of the splits, the predictions on them
and the configuration go to a folder, `deepchecks_suite.py` is run there by the other environment's interpreter, and the
answers come back as JSON. What is configured and gives no answer did not run, and that refuses.
"""

import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct
from pyarrow import dataset as ds

from contracts.bundle import Bundle
from contracts.errors import InputError
from contracts.report import Check, Status
from pipelines.scoring.columns import columns
from pipelines.validation import window
from pipelines.validation.parameters import Deepchecks
from serving.runtime import Model

GATE = "deepchecks"
SCRIPT = Path(__file__).with_name("deepchecks_suite.py")
INDEX = "row_key"
PREDICTION = "prediction_"
WAY_OUT = "make it: `make setup`, or name its interpreter: validation.deepchecks.python"


class Answer(Struct, frozen=True):
    """What the suite says about one condition of one check on one data set."""

    check: str
    name: str
    status: Literal["pass", "fail", "not_run"]
    detail: str
    condition: str
    severity: Literal["block", "warn"]


class Answers(Struct, frozen=True):
    """`result.json`."""

    checks: list[Answer]


def check_deepchecks(
    bundle: Bundle, splits: Mapping[str, ds.Dataset], key: tuple[str, ...], parameters: Deepchecks, refused: str | None
) -> list[Check]:
    """Every configured check.

    `key` names the columns that tell rows apart; `refused` says why the model may not be run, if so.
    """
    if not parameters.enabled:
        detail = "switched off: validation.deepchecks.enabled"
        return [Check(gate=GATE, name="suite", status="not_run", detail=detail, blocking=False)]
    if refused:
        return window.not_run(GATE, ("suite",), refused)
    if not Path(parameters.python).is_file():
        return window.not_run(GATE, ("suite",), f"{parameters.python}: there is no such interpreter; {WAY_OUT}")
    with tempfile.TemporaryDirectory(prefix="deepchecks-") as folder:
        try:
            prepare(Path(folder), bundle, splits, key, parameters)
        except InputError as error:  # the model cannot take the rows: the schema gate says why
            return window.not_run(GATE, ("suite",), str(error))
        problem = start([Path(folder)], parameters)
        return (
            window.not_run(GATE, ("suite",), problem)
            if problem
            else read(Path(folder), parameters, bundle.manifest.task)
        )


def prepare(
    folder: Path, bundle: Bundle, splits: Mapping[str, ds.Dataset], key: tuple[str, ...], parameters: Deepchecks
) -> None:
    """Write what the suite reads: train.parquet, test.parquet, config.json."""
    manifest = bundle.manifest
    model = Model(bundle, threads=0)
    features = [column.name for column in manifest.inputs]
    for split in ("train", "test"):
        rows = window.sample(splits[split], list(dict.fromkeys([*features, "label", *key])), parameters.rows)
        answers = model.predict(columns(rows, manifest.inputs))[manifest.outputs[0].name]
        table = rows.select([*features, "label"]).append_column(INDEX, _key(rows, key))
        for place, values in enumerate(answers.reshape(len(answers), -1).T):
            table = table.append_column(f"{PREDICTION}{place}", pa.array(values))
        pq.write_table(_plain(table), folder / f"{split}.parquet")
    config = {
        "task": manifest.task,
        "label": "label",
        "index": INDEX,
        "features": features,
        "categories": [column.name for column in manifest.inputs if column.dtype in ("string", "bool")],
        "classes": manifest.classes,
        "predictions": [f"{PREDICTION}{place}" for place in range(manifest.outputs[0].width)],
        "threshold": manifest.decision_threshold or 0.5,
        "checks": wanted(parameters, manifest.task),
    }
    (folder / "config.json").write_bytes(msgspec.json.encode(config))


def wanted(parameters: Deepchecks, task: str) -> list[dict[str, object]]:
    """The checks that apply to the task, as the script reads them."""
    return [msgspec.to_builtins(check) for check in parameters.checks if task in check.tasks]


def start(folders: list[Path], parameters: Deepchecks) -> str | None:
    """Run the suite over every folder in one process; gives what went wrong, if anything did."""
    # -P: the script's own folder stays off the path, so that it cannot import anything of ours by accident.
    command = [parameters.python, "-P", "-B", "-W", "ignore", str(SCRIPT), *map(str, folders)]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folders[0]), "OMP_NUM_THREADS": "2", "DO_NOT_TRACK": "true"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=parameters.seconds, env=environment)
    except subprocess.TimeoutExpired:
        return (
            f"the suite took longer than {parameters.seconds} s; raise validation.deepchecks.seconds, or lower its rows"
        )
    except OSError as error:
        return f"{parameters.python}: {error.strerror}; {WAY_OUT}"
    if done.returncode or not all((folder / "result.json").exists() for folder in folders):
        last = done.stderr.strip().splitlines()[-1:] or ["no word"]
        return f"the suite ended with {done.returncode}: {last[0][:300]}; {WAY_OUT}"
    return None


def read(folder: Path, parameters: Deepchecks, task: str) -> list[Check]:
    """The answers as checks: what fails blocks where its severity says so, and is a warning elsewhere."""
    try:
        answers = msgspec.json.decode((folder / "result.json").read_bytes(), type=Answers).checks
    except msgspec.MsgspecError as error:
        return window.not_run(GATE, ("suite",), f"the suite's answer cannot be read: {error}")
    answered = {answer.check for answer in answers}
    silent = [str(check["check"]) for check in wanted(parameters, task) if check["check"] not in answered]
    return window.not_run(GATE, tuple(silent), "the suite gave no answer") + [_check(answer) for answer in answers]


def _check(answer: Answer) -> Check:
    blocking = answer.severity == "block"
    status: Status = "warn" if answer.status == "fail" and not blocking else answer.status
    return Check(
        gate=GATE,
        name=answer.name,
        status=status,
        threshold=answer.condition,
        detail="" if answer.status == "pass" else answer.detail,
        blocking=blocking,
    )


def _key(rows: pa.Table, key: tuple[str, ...]) -> pa.Array:
    """The key columns of each row as one text."""
    parts = [rows.column(name).cast(pa.string()).fill_null("").to_pylist() for name in key]
    return pa.array("/".join(values) for values in zip(*parts, strict=True))


def _plain(table: pa.Table) -> pa.Table:
    """Truth values as text: Deepchecks takes a column of them for a number otherwise."""
    for place, field in enumerate(table.schema):
        if pa.types.is_boolean(field.type):
            table = table.set_column(place, field.name, table.column(field.name).cast(pa.string()))
    return table
