"""One registered version per bundle digest, whatever interrupts us and however often it is asked for.

MLflow has no unique constraint to lean on: registering twice makes two versions. So a version carries its digest as a
tag from the moment it exists, every run looks for that tag first, and everything else is done in steps that may be
repeated. Killed between any two of them, the next run goes on from there. Two processes on one SQLite file take turns
by a lock; on a server, where two may still create at once, all but the oldest version of a digest go again.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from mlflow import MlflowClient
from mlflow.entities import Metric, RunTag
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from msgspec import Struct

from contracts import bundle as bundles
from contracts import report_html
from contracts.bundle import Bundle
from contracts.errors import InputError
from contracts.report import Report
from pipelines.registration import lineage

ARTIFACT = "bundle"  # folder of the run's artifacts


class Registered(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`data/registered_version.json`: what a bundle is called in the registry."""

    format: int = 1
    name: str
    version: str
    digest: str
    run_id: str


class Registration(Struct, frozen=True, kw_only=True):
    """What is to be registered, and where: `run_id` is the MLflow run that keeps the files."""

    client: MlflowClient
    run_id: str
    bundle: Bundle
    gates: Report
    alias: str  # moved to the version; empty: left alone
    force_reason: str = ""


@contextmanager
def errors(client: MlflowClient) -> Iterator[None]:
    """What MLflow says about its server or database, as one line; a call of ours that is wrong keeps its trace."""
    try:
        yield
    except MlflowException as error:
        if error.error_code == "INVALID_PARAMETER_VALUE":
            raise
        reason = str(error).strip().splitlines()[0][:300]
        raise InputError(
            f"conf/base/mlflow.yml: tracking_uri: {client.tracking_uri}: {reason}; "
            "run again when it answers: nothing is done twice"
        ) from error


def register(asked: Registration) -> Registered:
    """Register the bundle, or find that it is; gives its name, version and run. To be called within `errors`."""
    with _turn(asked.client.tracking_uri):
        for _ in steps(asked):
            pass
        found = _find(asked)[0]
    return Registered(name=found.name, version=str(found.version), digest=asked.bundle.digest, run_id=found.run_id)


def steps(asked: Registration) -> Iterator[str]:
    """Each step in turn, named after it is done. Any of them may be the last: all are safe to repeat, in this order."""
    client, bundle, name = asked.client, asked.bundle, asked.bundle.manifest.name
    _create_name(client, name)
    yield "name"
    if not _find(asked):
        client.log_artifacts(asked.run_id, str(bundle.path), ARTIFACT)
        yield "artifacts"
        source = f"runs:/{asked.run_id}/{ARTIFACT}"
        tags = lineage.tags(bundle, asked.gates, asked.force_reason)
        client.create_model_version(name, source, asked.run_id, tags=tags)  # with its tags, or not at all
        yield "version"
    found = _keep_oldest(asked)
    yield "one version"
    for key, value in lineage.verdict(asked.gates, asked.force_reason).items():
        client.set_model_version_tag(name, found.version, key, value)
    yield "verdict"
    _describe_run(asked, found)
    yield "run"
    if asked.alias:
        client.set_registered_model_alias(name, asked.alias, found.version)
    yield "alias"
    bundles.record_version(bundle.path, str(found.version), found.run_id)
    yield "provenance"
    client.log_artifact(found.run_id, str(bundle.path / "provenance.json"), ARTIFACT)
    yield "provenance in the registry"


def _create_name(client: MlflowClient, name: str) -> None:
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _find(asked: Registration) -> list[ModelVersion]:
    """The versions of this digest, oldest first."""
    wanted = f"name = '{asked.bundle.manifest.name}' and tags.{lineage.DIGEST} = '{asked.bundle.digest}'"
    return sorted(asked.client.search_model_versions(wanted), key=lambda version: int(version.version))


def _keep_oldest(asked: Registration) -> ModelVersion:
    oldest, *others = _find(asked)
    for version in others:
        try:
            asked.client.delete_model_version(version.name, version.version)
        except MlflowException as error:  # the process that made it may have seen it first
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    return oldest


def _describe_run(asked: Registration, found: ModelVersion) -> None:
    """The gates' figures and report in the run that the version belongs to, where `mlflow ui` shows them."""
    client, gates = asked.client, asked.gates
    now = client.get_run(asked.run_id).info.start_time
    metrics = [Metric(name, value, now, 0) for name, value in lineage.metrics(gates).items()]
    tags = {lineage.DIGEST: asked.bundle.digest, "registered_version": str(found.version)} | lineage.verdict(
        gates, asked.force_reason
    )
    client.log_batch(found.run_id, metrics, tags=[RunTag(key, value) for key, value in tags.items()])
    client.log_text(found.run_id, report_html.page(gates), "gates.html")
    client.log_text(found.run_id, msgspec.json.encode(gates).decode(), "gates.json")


@contextmanager
def _turn(uri: str) -> Iterator[None]:
    """Wait for other registrations on the same SQLite file; the lock goes with the process, however it ends."""
    scheme, _, path = uri.partition(":///")
    if scheme != "sqlite":
        yield
        return
    with Path(f"{path}.registration").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
