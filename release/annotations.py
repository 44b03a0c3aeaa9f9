"""Annotations: a check that was refused, shown on the line of the config that decided.

The line is found by reading the YAML with its marks, so that it is the right one whatever comments stand around it; a
difference of an environment is shown where that environment says it.
"""

from fnmatch import fnmatchcase
from pathlib import Path

import yaml
from msgspec import Struct

from contracts.checks import Check, Report
from contracts.report_text import number

BUDGETS = "conf/base/budgets.yml"
PARAMETERS = "conf/base/parameters_validation.yml"
MOST = 10  # of each kind from a step; GitHub passes over what comes after
# Gate and check (a pattern) -> the key that it was held against.
DECIDED_BY = {
    ("loadtest", "p50 latency, ms"): (BUDGETS, "service.latency_p50_ms"),
    ("loadtest", "p99 latency, ms"): (BUDGETS, "service.latency_p99_ms"),
    ("loadtest", "answers per second"): (BUDGETS, "service.throughput_rps"),
    ("loadtest", "share of errors"): (BUDGETS, "service.error_share"),
    ("quality", "* reaches the floor"): (BUDGETS, "quality.floor"),
    ("quality", "* beats the baseline"): (BUDGETS, "quality.baseline_margin"),
    ("quality", "calibration error"): (BUDGETS, "quality.calibration_error"),
    ("champion", "not worse than the champion"): (BUDGETS, "quality.champion_margin"),
    ("champion", "no segment worse"): (BUDGETS, "quality.segment_margin"),
    ("champion", "inputs are compatible"): (PARAMETERS, "validation.accepted_input_changes"),
    ("parity", "*"): (BUDGETS, "model.parity_tolerance"),
    ("drift", "*"): (BUDGETS, "drift.psi"),
    ("model guard", "operators"): (BUDGETS, "model.operators"),
    ("model guard", "size"): (BUDGETS, "model.maximum_bytes"),
    ("model guard", "dry run"): (PARAMETERS, "validation.model_guard.memory_megabytes"),
    ("model guard", "intermediate sizes"): (PARAMETERS, "validation.model_guard.elements_per_row"),
    ("leakage", "no column tells the label"): (PARAMETERS, "validation.leakage.single_feature"),
    ("schema", "test rows"): (PARAMETERS, "validation.minimum_rows"),
    ("schema", "missing values"): (PARAMETERS, "validation.missing_increase"),
    ("deepchecks", "*"): (PARAMETERS, "validation.deepchecks.checks"),
}


class Annotation(Struct, frozen=True, kw_only=True):
    """What is shown where. `line` is 0 where no file decides."""

    level: str  # error or warning
    title: str
    message: str
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        """The workflow command; a value cannot begin another one, whatever is in it."""
        place = f"file={_property(self.file)},line={self.line}," if self.line else ""
        return f"::{self.level} {place}title={_property(self.title)}::{_data(self.message)}"


def annotations(root: Path, reports: list[Report], environment: str) -> list[Annotation]:
    """What was refused, and what is advice, each on the line that decides; at most as many as are shown."""
    found = []
    for report in reports:
        for check in report.checks:
            if check.refused or check.status == "warn":
                file, line = _line(root, check, environment)
                found.append(
                    Annotation(
                        level="error" if check.refused else "warning",
                        title=f"{check.gate}: {check.name}",
                        message=_message(check),
                        file=file,
                        line=line,
                    )
                )
    errors = [each for each in found if each.level == "error"]
    return errors[:MOST] + [each for each in found if each.level == "warning"][:MOST]


def line_of(file: Path, key: str, environment: str = "") -> int:
    """The line of a key, `section.name`, where the environment says it differently, there; 0 when it is nowhere."""
    try:
        document = yaml.compose(file.read_text(encoding="utf-8"), yaml.SafeLoader)
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return 0
    places = (["environments", environment, *key.split(".")], key.split("."))
    return next((line for place in places if (line := _marked(document, place))), 0)


def _line(root: Path, check: Check, environment: str) -> tuple[str, int]:
    for (gate, name), (file, key) in DECIDED_BY.items():
        if gate == check.gate and fnmatchcase(check.name, name):
            return file, line_of(root / file, key, environment)
    return "", 0


def _marked(node: yaml.Node | None, keys: list[str]) -> int:
    line = 0
    for key in keys:
        if not isinstance(node, yaml.MappingNode):
            return 0
        pair = next(((name, value) for name, value in node.value if name.value == key), None)
        if pair is None:
            return 0
        line, node = pair[0].start_mark.line + 1, pair[1]
    return line


def _message(check: Check) -> str:
    said = check.status.replace("_", " ")
    if check.value is not None:
        said += f": {number(check.value)}"
        said += f", wanted {number(check.threshold)}" if check.threshold is not None else ""
    return f"{said}. {check.detail}" if check.detail else said


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
