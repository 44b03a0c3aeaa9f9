"""The nodes of the training pipeline: identify, split, fit, evaluate.

What was made from the same inputs before is not made again: it is found by their hash, and named.
"""

import logging
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import numpy as np
from ibis import Table
from pyarrow import dataset as ds

from contracts.budgets import Budgets
from contracts.errors import InputError
from pipelines.schema import Schema
from pipelines.training import (
    baselines,
    batches,
    calibration,
    devices,
    encoder,
    evaluation,
    identity,
    progress,
    splits,
    tracking,
)
from pipelines.training.calibration import Calibration
from pipelines.training.datasets import KnownStructs, ModelStore
from pipelines.training.encoding import Encoded, Encoding, concatenate
from pipelines.training.evaluation import MLP, Evaluation
from pipelines.training.fitting import Fit
from pipelines.training.identity import Hashes, Identity
from pipelines.training.model import Description, Model
from pipelines.training.network import Network
from pipelines.training.parameters import Parameters
from pipelines.training.splits import NAMES, Plan, Splits

logger = logging.getLogger(__name__)
READ_ROWS = 16_384  # at a time, where nothing is shuffled


def identify(
    feature_table: Table,
    schema: Schema,
    budgets: Budgets,
    source_code: dict[str, bytes],
    requirements: dict[str, bytes],
    parameters: Parameters,
    packaging: Any,
) -> Identity:
    """Hash everything that decides the bundle. Raises InputError when a split would be empty."""
    rows = splits.assign(feature_table, parameters)
    window = splits.survey(rows, parameters)
    hashes = Hashes(
        data_hash=identity.hash_rows(rows),
        parameters_hash=identity.digest([parameters, packaging, schema, budgets.quality]),
        code_hash=identity.hash_files(source_code),
        requirements_hash=identity.hash_files(requirements),
    )
    made = identity.combine(hashes, parameters.seed, window)
    tracking.tag(**{name: str(value) for name, value in msgspec.to_builtins(made).items()})
    tracking.log_parameters(parameters)
    return made


def split(feature_table: Table, training_identity: Identity, schema: Schema, parameters: Parameters) -> Plan:
    """Say which rows train, validate and test, and in which order they lie on disk; writing them computes it."""
    rows = splits.assign(feature_table, parameters)
    return Plan(splits.arrange(rows, schema.spine.key, parameters.seed), training_identity.inputs_hash)


def fit(
    splits: Splits, training_identity: Identity, known_models: ModelStore, schema: Schema, parameters: Parameters
) -> Model:
    """Fit the network on batches streamed from the training split; stop early and calibrate on the validation split."""
    identity.require_same(training_identity, splits=splits)
    if known := known_models.find(training_identity.inputs_hash):
        logger.info("unchanged inputs: nothing is trained, the model is %s", known_models.folder(known.inputs_hash))
        return known
    columns = list(schema.features)
    sample = batches.head(splits["train"], [*columns, "label"], parameters.sample_rows)
    target = encoder.target(sample, schema.task)
    encoding = encoder.learn(sample, columns, target, parameters.encoding)
    del sample  # as large as the sample; the loop needs the room
    device = devices.choose(parameters.device)
    logger.info("fitting on %s: %d rows, %d columns", device, splits["train"].count_rows(), len(columns))
    with devices.deterministic(parameters.seed):
        return _calibrated(_fitted(splits, encoding, training_identity.inputs_hash, parameters, str(device)), splits)


def evaluate(
    splits: Splits,
    model: Model,
    training_identity: Identity,
    known_evaluations: KnownStructs[Evaluation],
    budgets: Budgets,
    parameters: Parameters,
) -> Evaluation:
    """Measure the model and the baselines, fitted here on the same features, on the test split."""
    identity.require_same(training_identity, splits=splits, model=model)
    found = known_evaluations.find(training_identity.inputs_hash)
    if found:
        logger.info("unchanged inputs: nothing is measured again")
    else:
        found = _evaluated(splits, model, budgets, parameters)
    for name, figures in found.models.items():
        tracking.log_metrics({f"test_{metric}_{name}": measured.value for metric, measured in figures.items()})
    return found


def _fitted(splits: Splits, encoding: Encoding, inputs_hash: str, parameters: Parameters, device: str) -> Model:
    shape, how = parameters.network, parameters.optimisation
    fitting = Fit(
        Network(encoding, shape.hidden, shape.dropout, shape.embedding),
        encoding.target,
        train=lambda epoch: batches.shuffled(
            splits["train"], encoding, how.batch_rows, how.buffer_rows, (parameters.seed, epoch)
        ),
        validation=lambda: _labelled(splits["validation"], encoding),
        settings=how,
        device=device,
        seed=parameters.seed,
    )
    epochs = tuple(progress.follow(fitting.epochs, splits["train"].count_rows(), how.maximum_epochs))
    if not fitting.best:
        reason = "the loss was not a number in any epoch"
        raise InputError(f"training.optimisation.learning_rate: {reason}; lower it")
    logger.info("best epoch: %d of %d", fitting.best_epoch, len(epochs))
    description = Description(
        inputs_hash=inputs_hash,
        encoding=encoding,
        hidden=shape.hidden,
        dropout=shape.dropout,
        embedding=shape.embedding,
        calibration=Calibration(shift=(0.0,) * encoding.target.width),
        epochs=epochs,
        best_epoch=fitting.best_epoch,
        device=device,
    )
    return Model(description=description, weights=fitting.best)


def _calibrated(model: Model, splits: Splits) -> Model:
    """The model with the scale and shift of its scores that the validation split asks for."""
    target = model.description.encoding.target
    network = model.module().network
    # Part by part: scores and labels are kept, the rows are not.
    parts = [
        (network.scores(part), part.labels) for part in _labelled(splits["validation"], model.description.encoding)
    ]
    scores, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
    if target.task == "regression":
        labels = (labels - target.mean) / target.std
    found = calibration.fit(target.task, scores, labels)
    before, after = (calibration.loss(target.task, how.apply(scores), labels) for how in (Calibration(), found))
    logger.info("calibrated: validation loss %.4f, before %.4f", after, before)
    return msgspec.structs.replace(model, description=msgspec.structs.replace(model.description, calibration=found))


def _evaluated(splits: Splits, model: Model, budgets: Budgets, parameters: Parameters) -> Evaluation:
    about, quality, test = model.description, budgets.quality, splits["test"]
    encoding, task = about.encoding, about.encoding.target.task
    most = parameters.baselines.rows
    given = _first(splits["train"], encoding, most)
    asked = _first(splits["validation"], encoding, most // (parameters.validation_every_days - 1))  # as many as belong
    fitted = baselines.fit(encoding, given, asked, parameters.baselines, parameters.seed)
    del given, asked
    truth = evaluation.truth(test, encoding.target)
    predictions = _predictions(test, encoding, {MLP: model.module().of, **fitted}, truth.known)
    models, differences = evaluation.measure(truth, predictions, task, quality, parameters.seed)
    curve = evaluation.calibration_curve(truth.labels, predictions[MLP], task)
    return Evaluation(
        inputs_hash=model.inputs_hash,
        task=task,
        metric=quality.metric,
        rows={name: splits[name].count_rows() for name in NAMES},
        days=truth.days,
        test_from=truth.dates[0].isoformat(),
        test_until=truth.dates[-1].isoformat(),
        models=models,
        differences=differences,
        segments=tuple(
            evaluation.measure_segments(truth, predictions, quality, parameters.seed, parameters.segment_rows)
        ),
        calibration=curve,
        calibration_error=None if task == "regression" else evaluation.calibration_error(curve),
        epochs=about.epochs,
        best_epoch=about.best_epoch,
        device=about.device,
    )


def _predictions(
    test: ds.Dataset, encoding: Encoding, models: dict[str, baselines.Predict], known: np.ndarray
) -> dict[str, np.ndarray]:
    """What each model says about the rows in `known`, in file order: float32, nothing else is kept."""
    parts: dict[str, list[np.ndarray]] = {name: [] for name in models}
    for rows in batches.ordered(test, encoding, READ_ROWS):
        for name, predict in models.items():
            parts[name].append(predict(rows))
    return {name: np.concatenate(part)[known] for name, part in parts.items()}


def _labelled(split: ds.Dataset, encoding: Encoding) -> Iterator[Encoded]:
    """The rows whose label is a class of training, in file order."""
    return (rows for part in batches.ordered(split, encoding, READ_ROWS) if (rows := part.known()).rows)


def _first(split: ds.Dataset, encoding: Encoding, most: int) -> Encoded:
    """At most `most` rows from the start of a split, all in memory."""
    return concatenate(list(_until(_labelled(split, encoding), most)))


def _until(parts: Iterable[Encoded], most: int) -> Iterator[Encoded]:
    for part in parts:
        yield part.take(slice(most))
        most -= part.rows
        if most <= 0:
            return
