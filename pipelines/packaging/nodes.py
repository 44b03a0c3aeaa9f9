"""The nodes of the packaging pipeline: assemble and compare. What the same inputs made before is named instead."""

import logging

from contracts import report
from contracts.bundle import Bundle, Contents, Provenance
from pipelines.packaging import card, golden, graph, manifest, parity, profile
from pipelines.packaging.datasets import BundleStore, Commit
from pipelines.packaging.parameters import Parameters
from pipelines.packaging.parity import Parity
from pipelines.schema import Schema
from pipelines.training import batches, tracking
from pipelines.training.datasets import KnownStructs
from pipelines.training.evaluation import Evaluation
from pipelines.training.identity import Identity, require_same
from pipelines.training.model import Model
from pipelines.training.splits import Splits

logger = logging.getLogger(__name__)


def assemble(
    model: Model,
    splits: Splits,
    evaluation: Evaluation,
    training_identity: Identity,
    known_bundles: BundleStore,
    schema: Schema,
    repository: Commit,
    parameters: Parameters,
) -> Contents | Bundle:
    """Everything that a bundle is written from; or the bundle, where these inputs made one before."""
    require_same(training_identity, splits=splits, model=model, evaluation=evaluation)
    if known := known_bundles.find(training_identity.inputs_hash):
        logger.info("unchanged inputs: nothing is packaged, the bundle is %s (%s)", known.path, known.digest)
        return known
    described = manifest.describe(schema, model.description.encoding, parameters)
    onnx = graph.build(model, described)
    rows = golden.choose(splits["test"], described, parameters.golden_rows)
    sample = batches.head(splits["train"], [column.name for column in described.inputs], parameters.profile_rows)
    provenance = Provenance(
        created_at=report.now(),
        git_sha=repository.sha,
        git_dirty=repository.dirty,
        inputs_hash=training_identity.inputs_hash,
        data_hash=training_identity.data_hash,
        parameters_hash=training_identity.parameters_hash,
        code_hash=training_identity.code_hash,
        requirements_hash=training_identity.requirements_hash,
        seed=training_identity.seed,
        data_from=training_identity.data_from,
        data_until=training_identity.data_until,
        device=model.description.device,
        parent=parameters.parent or None,
        mlflow_run_id=tracking.run_id(),
    )
    return Contents(
        model=onnx,
        manifest=described,
        golden=golden.answer(onnx, rows, described, model.description.encoding.target, parameters.golden_tolerance),
        profile=profile.describe(sample, onnx, described, parameters),
        provenance=provenance,
        model_card=card.write(described, evaluation, provenance, schema, parameters),
    )


def compare(
    bundle: Bundle, model: Model, splits: Splits, training_identity: Identity, known_parity: KnownStructs[Parity]
) -> Parity:
    """Hold the bundle's graph against the trained network, on every row of the test split."""
    require_same(training_identity, splits=splits, model=model)
    known = known_parity.find(training_identity.inputs_hash)
    if known and known.digest == bundle.digest:
        logger.info("unchanged inputs: parity is not measured again")
        return known
    found = parity.measure(bundle, model, splits["test"])
    logger.info("parity over %d rows: %.2g", found.rows, found.maximum_error)
    tracking.log_metrics({"parity_maximum_error": found.maximum_error})
    return found
