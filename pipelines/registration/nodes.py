"""The nodes of the registration pipeline: stop where a gate refuses, then register."""

import mlflow
from mlflow.exceptions import MlflowException

from contracts.bundle import Bundle
from contracts.errors import InputError
from contracts.report import Report
from pipelines.registration import registry
from pipelines.registration.parameters import Parameters
from pipelines.registration.registry import Registered, Registration
from pipelines.validation import verdict


def require_passed(bundle: Bundle, gate_report: Report, parameters: Parameters) -> Report:
    """The report, when it is about this bundle and its gates passed, or when somebody says why it does not matter."""
    verdict.require_about(gate_report, bundle)
    if not parameters.force_reason:
        verdict.require_passed(gate_report)
    return gate_report


def register(bundle: Bundle, verdict_of_gates: Report, parameters: Parameters) -> Registered:
    """One registered version for this bundle, in the run that trained it where that is still there."""
    client = mlflow.MlflowClient()
    with registry.errors(client):
        asked = Registration(
            client=client,
            run_id=_run(client, bundle),
            bundle=bundle,
            gates=verdict_of_gates,
            alias=parameters.alias if verdict_of_gates.passed else "",
            force_reason=parameters.force_reason,
        )
        return registry.register(asked)


def _run(client: mlflow.MlflowClient, bundle: Bundle) -> str:
    if trained := bundle.provenance.mlflow_run_id:
        try:
            return client.get_run(trained).info.run_id
        except MlflowException as error:  # trained elsewhere, or the database is another one
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    if active := mlflow.active_run():
        return active.info.run_id
    raise InputError("registration: MLflow: no run is open; register with `kedro run --pipelines registration`")
