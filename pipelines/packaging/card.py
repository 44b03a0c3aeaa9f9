"""`MODEL_CARD.md`: what the model is for, what it is worth, where it ends, who is called, how to go back."""

from collections.abc import Iterable, Iterator

from contracts.bundle import Manifest, Provenance
from pipelines.packaging.parameters import Parameters
from pipelines.schema import Schema
from pipelines.training.evaluation import METRICS, MLP, Evaluation, Measured, Segment

NAMES = {
    "auc": "AUC",
    "average_precision": "average precision",
    "log_loss": "log loss",
    "brier": "Brier score",
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "r2": "R²",
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
}
MODELS = {
    MLP: "this model",
    "logistic": "logistic regression",
    "linear": "ridge regression",
    "boosting": "gradient boosting",
}


def write(
    manifest: Manifest, evaluation: Evaluation, provenance: Provenance, schema: Schema, parameters: Parameters
) -> str:
    """The card as Markdown."""
    parts = [
        [f"# {parameters.title}", "", f"Predicts `{manifest.target}` ({manifest.task}). Owner: {parameters.owner}."],
        ["## Intended use", "", parameters.intended_use],
        ["## Data", "", *_data(evaluation, provenance, schema)],
        ["## Quality on the test window", "", *_quality(evaluation)],
        ["## Segments", "", *_segments(evaluation)],
        ["## Calibration", "", *_calibration(evaluation)],
        ["## Limits", "", *(f"- {limit}" for limit in (*parameters.limits, *_limits(manifest)))],
        ["## Inputs", "", *_inputs(manifest)],
        ["## How it was made, and how to make it again", "", *_reproduce(evaluation, provenance)],
        ["## Going back", "", *_rollback()],
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _data(evaluation: Evaluation, provenance: Provenance, schema: Schema) -> Iterator[str]:
    yield f"- Trained and validated on predictions from {provenance.data_from} to {provenance.data_until}:"
    yield f"  {evaluation.rows['train']:,} rows train, {evaluation.rows['validation']:,} validate (whole days)."
    yield f"- Tested on {evaluation.rows['test']:,} later rows, {evaluation.test_from} to {evaluation.test_until}."
    yield f"- A prediction is made {schema.prediction.lead} ahead; only what was known then is an input."
    yield f"- Label: {schema.prediction.label.policy.strip()}"


def _quality(evaluation: Evaluation) -> Iterator[str]:
    yield f"Test rows of {evaluation.days} days; 95 % intervals resample whole days. Same features for all."
    yield ""
    metrics = METRICS[evaluation.task]
    yield from _table(
        ["metric", *(MODELS[name] for name in evaluation.names)],
        (
            [NAMES[metric], *(_figure(evaluation.models[name].get(metric)) for name in evaluation.names)]
            for metric in metrics
        ),
    )
    yield ""
    yield "By how much this model is better (paired over the same days; positive is better):"
    yield ""
    others = evaluation.names[1:]
    yield from _table(
        ["metric", *(f"than {MODELS[name]}" for name in others)],
        (
            [NAMES[metric], *(_figure(evaluation.differences[name].get(metric), "+") for name in others)]
            for metric in metrics
        ),
    )


def _segments(evaluation: Evaluation) -> Iterator[str]:
    if not evaluation.segments:
        yield "None has enough rows, or none is configured."
        return
    models = evaluation.names

    def row(segment: Segment) -> list[str]:
        figures = (_figure(segment.models.get(name)) for name in models)
        return [segment.segment, segment.value, f"{segment.rows:,}", *figures]

    yield f"{NAMES[evaluation.metric]} by segment."
    yield ""
    yield from _table(["segment", "value", "rows", *(MODELS[name] for name in models)], map(row, evaluation.segments))


def _calibration(evaluation: Evaluation) -> Iterator[str]:
    if evaluation.calibration_error is not None:
        yield f"Expected calibration error: {evaluation.calibration_error:.4f}, over bins of equal count."
    else:
        yield "Mean prediction and mean outcome, in bins of equal count."
    yield ""
    yield from _table(
        ["predicted", "observed", "rows"],
        ([f"{part.predicted:.4g}", f"{part.observed:.4g}", f"{part.rows:,}"] for part in evaluation.calibration),
    )


def _limits(manifest: Manifest) -> Iterator[str]:
    yield "A category that training did not see, or too rarely, is answered as an unknown one."
    yield "Numbers beyond the range that training saw count as that range's end."
    if any(column.nullable for column in manifest.inputs):
        yield "A missing value is answered with the training median and a sign that it is missing."


def _inputs(manifest: Manifest) -> Iterator[str]:
    def seen(column_range: tuple[float | None, float | None], categories: tuple[str, ...]) -> str:
        if categories:
            return f"{len(categories)} values"
        low, high = column_range
        return "" if low is None or high is None else f"{low:.6g} to {high:.6g}"

    yield from _table(
        ["name", "type", "from", "may be missing", "seen in training", "what it is"],
        (
            [
                f"`{column.name}`",
                column.dtype,
                column.source,
                "yes" if column.nullable else "no",
                seen((column.minimum, column.maximum), column.categories),
                column.description,
            ]
            for column in manifest.inputs
        ),
    )


def _reproduce(evaluation: Evaluation, provenance: Provenance) -> Iterator[str]:
    state = ", with changes that are not committed" if provenance.git_dirty else ""
    yield f"- Commit `{provenance.git_sha}`{state}; seed {provenance.seed}; fitted on {provenance.device},"
    yield f"  {evaluation.best_epoch} of {len(evaluation.epochs)} epochs kept."
    yield f"- Inputs `{provenance.inputs_hash}`: data `{provenance.data_hash[:16]}`,"
    yield f"  parameters `{provenance.parameters_hash[:16]}`, code `{provenance.code_hash[:16]}`,"
    yield f"  requirements `{provenance.requirements_hash[:16]}`."
    yield "- Check out that commit and run `make train`: on the same kind of CPU it gives the same bundle digest."


def _rollback() -> Iterator[str]:
    yield "What runs is one line in git. To go back to what ran before:"
    yield ""
    yield "    make rollback ENV=production"


def _figure(measured: Measured | None, sign: str = "") -> str:
    if measured is None:
        return "–"
    if measured.lower is None or measured.upper is None:
        return f"{measured.value:{sign}.4f}"
    return f"{measured.value:{sign}.4f} [{measured.lower:{sign}.4f}, {measured.upper:{sign}.4f}]"


def _table(head: list[str], rows: Iterable[list[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
