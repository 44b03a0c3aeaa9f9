"""The other end of the Deepchecks gate: a script that the interpreter of the validate environment runs, by its path.

That environment holds Deepchecks (AGPL-3.0, numpy<2) and nothing of ours, so this file imports nothing of ours and
nothing of ours imports it. It is given folders, each with `train.parquet`, `test.parquet` and `config.json`, and writes
`result.json` into each: {"checks": [{check, name, status, detail, condition, severity}]}.
Several folders share the slow import.

config.json: task, label, index, features, categories (names of categorical features), classes, predictions (columns
with probabilities or values), threshold, checks [{check, params, conditions: {name: arguments}, severity}].
"""

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

# Before the import: Deepchecks asks its home for news and writes an id into site-packages otherwise.
os.environ["DISABLE_LATEST_VERSION_CHECK"] = os.environ["DISABLE_DEEPCHECKS_ANONYMOUS_TELEMETRY"] = "true"
os.environ["MPLBACKEND"] = "Agg"
# jsonschema parses a grammar of 200 rules at import where this is installed, two seconds that nobody here needs.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from deepchecks.core import CheckFailure, ConditionCategory  # noqa: E402
from deepchecks.tabular import Dataset, Suite, checks  # noqa: E402


def main(folders: list[str]) -> int:
    """Run the suite over every folder; exit code 0 when each has its result, whatever the checks say."""
    for folder in map(Path, folders):
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        frames = {name: pd.read_parquet(folder / f"{name}.parquet") for name in ("train", "test")}
        result = json.dumps({"checks": run(config, frames)}, indent=1)
        temporary = folder / ".result.json"
        temporary.write_text(result, encoding="utf-8")
        temporary.replace(folder / "result.json")
    return 0


def run(config: dict[str, Any], frames: dict[str, pd.DataFrame]) -> list[dict[str, str]]:
    """The answers of every check that `config` lists; one that raises, or has no result, did not run."""
    frames["test"].index += len(frames["train"])  # row numbers are no keys: Deepchecks looks for common ones
    datasets = {name: _dataset(config, frame) for name, frame in frames.items()}
    predictions: dict[str, Any] = {}
    for name, frame in frames.items():
        classes, scores = _predicted(config, frame)
        predictions[f"y_pred_{name}"] = classes
        predictions[f"y_proba_{name}"] = scores
    # Equal importance: without it every drift check would train models of its own to find one.
    importance = pd.Series(1 / len(config["features"]), index=config["features"])
    built = [_build(wanted) for wanted in config["checks"]]
    results = Suite("gate", *built).run(
        datasets["train"],
        datasets["test"],
        feature_importance=importance,
        model_classes=_classes(config),
        with_display=False,
        **predictions,
    )
    return [
        answer
        for wanted, check in zip(config["checks"], built, strict=True)
        for answer in _answers(wanted, [result for result in results.results if result.check is check])
    ]


def _dataset(config: dict[str, Any], frame: pd.DataFrame) -> Dataset:
    columns = [*config["features"], config["label"], config["index"]]
    return Dataset(
        frame[columns],
        label=config["label"],
        label_type=config["task"],
        index_name=config["index"],
        features=config["features"],
        cat_features=config["categories"],
    )


def _classes(config: dict[str, Any]) -> list[Any] | None:
    return {"binary": [0, 1], "multiclass": list(config["classes"]), "regression": None}[config["task"]]


def _predicted(config: dict[str, Any], frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray | None]:
    """The predicted labels, and for a classifier the probabilities [rows, classes]."""
    scores = frame[config["predictions"]].to_numpy(np.float64)
    if config["task"] == "regression":
        return scores[:, 0], None
    if config["task"] == "binary":
        return (scores[:, 0] >= config["threshold"]).astype(np.int64), np.column_stack([1 - scores[:, 0], scores[:, 0]])
    return np.array(config["classes"], object)[scores.argmax(axis=1)], scores


def _build(wanted: dict[str, Any]) -> Any:
    check = getattr(checks, wanted["check"])(**wanted["params"])
    for name, arguments in wanted["conditions"].items():
        getattr(check, f"add_condition_{name}")(**arguments)
    return check


def _answers(wanted: dict[str, Any], results: list[Any]) -> list[dict[str, str]]:
    """One answer per condition and data set."""
    if not results:
        return [_answer(wanted, wanted["check"], "not_run", "Deepchecks gave no result", "")]
    answers = []
    for result in results:
        if isinstance(result, CheckFailure):
            answers.append(_answer(wanted, result.header, "not_run", str(result.exception), ""))
            continue
        for condition in result.conditions_results:
            answers.append(
                _answer(wanted, result.get_header(), _status(condition.category), condition.details, condition.name)
            )
    return answers or [_answer(wanted, wanted["check"], "not_run", "the check has no condition", "")]


def _status(category: Any) -> str:
    if category == ConditionCategory.PASS:
        return "pass"
    return "not_run" if category == ConditionCategory.ERROR else "fail"


def _answer(wanted: dict[str, Any], name: str, status: str, detail: str, condition: str) -> dict[str, str]:
    sentence = " ".join(str(detail).split())
    return {
        "check": wanted["check"],
        "name": name,
        "status": status,
        "detail": sentence,
        "condition": condition,
        "severity": wanted["severity"],
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
