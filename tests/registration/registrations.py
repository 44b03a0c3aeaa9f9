"""Registrations in real processes: `python -m tests.registration.registrations FOLDER` prints what came of each case.

One process imports MLflow, which takes seconds, and forks a child for every registration, so that each can be killed
with SIGKILL as a pod is, and comes back as another process with nothing in memory.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import count, islice
from pathlib import Path

import mlflow
import msgspec
from mlflow.store.model_registry import sqlalchemy_store as _registry  # noqa: F401 - else every child would import it
from mlflow.store.tracking import sqlalchemy_store as _tracking  # noqa: F401
from sqlalchemy import orm

from contracts import bundle as store
from contracts.bundle import Bundle
from contracts.report import Check, Report
from pipelines.registration import registry
from pipelines.registration.registry import Registration
from tests import bundles

MOMENTS = 5  # kills at random, in the middle of a step too
TOGETHER = 4  # processes at once


def main(folder: Path) -> None:
    orm.configure_mappers()
    ended(fork(lambda: create(folder / "template")))
    results: dict[str, object] = {"killed": {}, "random": {}}
    for number in count():
        case = prepare(folder, f"step-{number}")
        status = ended(fork(lambda case=case, number=number: stop_after(case, number)))
        if status != -signal.SIGKILL:
            break  # there are fewer steps than that
        results["killed"][number] = again(case)
    chance = random.Random(1)
    for number in range(MOMENTS):
        case = prepare(folder, f"moment-{number}")
        child = fork(lambda case=case: register(case))
        time.sleep(chance.uniform(0.02, 0.4))
        os.kill(child, signal.SIGKILL)
        ended(child)
        results["random"][number] = again(case)
    for name, first in {"clean": register, "refused": register_refused, "twice": register_twice}.items():
        case = prepare(folder, name)
        results[name] = (
            look_in_child(case, partial(first, case)) if name == "refused" else again(case, partial(first, case))
        )
    case = prepare(folder, "together")
    children = [fork(lambda case=case: register(case)) for _ in range(TOGETHER)]
    results["statuses together"] = [ended(child) for child in children]
    results["together"] = again(case)
    print(json.dumps(results))


def create(folder: Path) -> None:
    """An MLflow database with an experiment and a bundle store: made once, copied for each case."""
    folder.mkdir(parents=True)
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    mlflow.create_experiment("rain", (folder / "artifacts").as_uri())
    bundles.write(folder / "store")


def prepare(folder: Path, name: str) -> Path:
    shutil.copytree(folder / "template", folder / name)
    return folder / name


def asked(case: Path) -> Registration:
    """As a new `kedro run` would ask: with an MLflow run of its own."""
    mlflow.set_tracking_uri(f"sqlite:///{case}/mlflow.db")
    client = mlflow.MlflowClient()
    bundle = the_bundle(case)
    run = client.create_run(client.get_experiment_by_name("rain").experiment_id)
    checks = (Check(gate="quality", name="auc reaches the floor", status="pass", value=0.8, threshold=0.7),)
    gates = Report(title="Gates", subject=bundle.digest, created_at="2026-01-02T03:04:05Z", checks=checks)
    return Registration(client=client, run_id=run.info.run_id, bundle=bundle, gates=gates, alias="candidate")


def the_bundle(case: Path) -> Bundle:
    (bundle,) = store.bundles(case / "store")
    return bundle


def stop_after(case: Path, number: int) -> None:
    done = list(islice(registry.steps(asked(case)), number))
    if len(done) == number:
        os.kill(os.getpid(), signal.SIGKILL)


def register(case: Path) -> None:
    registry.register(asked(case))


def register_refused(case: Path) -> None:
    """As `--params registration.force_reason=...` does."""
    given = asked(case)
    checks = (Check(gate="quality", name="auc reaches the floor", status="fail", value=0.5, threshold=0.7),)
    gates = msgspec.structs.replace(given.gates, checks=checks)
    registry.register(
        msgspec.structs.replace(given, gates=gates, alias="", force_reason="the demo shows a bad release")
    )


def register_twice(case: Path) -> None:
    """What two processes on a server without our lock may leave: two versions of one digest."""
    given = asked(case)
    list(registry.steps(given))
    tags = {"bundle_digest": given.bundle.digest}
    given.client.create_model_version(
        given.bundle.manifest.name, f"runs:/{given.run_id}/bundle", given.run_id, tags=tags
    )


def again(case: Path, first: Callable[[], object] = tuple) -> dict[str, object]:
    """Register in a process that knows nothing of the first, once more, and look what a person would find."""
    return look_in_child(case, lambda: (first(), register(case), register(case)))


def look_in_child(case: Path, first: Callable[[], object] = tuple) -> dict[str, object]:
    result = case / "found.json"

    def act() -> None:
        first()
        result.write_text(json.dumps(look(case)))

    assert ended(fork(act)) == 0
    return json.loads(result.read_text())


def look(case: Path) -> dict[str, object]:
    mlflow.set_tracking_uri(f"sqlite:///{case}/mlflow.db")
    client, bundle = mlflow.MlflowClient(), the_bundle(case)
    versions = client.search_model_versions(f"name = '{bundle.manifest.name}'")
    downloaded = Path(mlflow.artifacts.download_artifacts(versions[0].source, dst_path=str(case / "downloaded")))
    return {
        "versions": [version.version for version in versions],
        "tags": versions[0].tags,
        "aliases": client.get_registered_model(bundle.manifest.name).aliases,
        "provenance": bundle.provenance.version,
        "run": bundle.provenance.mlflow_run_id == versions[0].run_id,
        "metrics": client.get_run(versions[0].run_id).data.metrics,
        "registered digest": store.load(downloaded).digest == bundle.digest,
        "registered provenance": store.load(downloaded).provenance.version,
        "pickles": [str(path) for path in downloaded.rglob("*.pkl")],
    }


def fork(act: Callable[[], object]) -> int:
    child = os.fork()
    if child:
        return child
    try:
        act()
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 - a child may only end here
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)


def ended(child: int) -> int:
    """Its exit code, negative for the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
