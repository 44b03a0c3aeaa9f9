"""Golden gate: the bundle still gives the answers that it was built with."""

from contracts.bundle import Bundle
from contracts.errors import InputError
from contracts.report import Check
from pipelines.validation.window import not_run
from serving.runtime import Model

GATE = "golden rows"
NAME = "answers are reproduced"


def check_golden(bundle: Bundle, refused: str | None) -> list[Check]:
    """The golden rows through the server's runtime. `refused` says why the model may not be run, if so."""
    if refused:
        return not_run(GATE, (NAME,), refused)
    tolerance = bundle.golden.absolute_tolerance
    try:
        difference = Model(bundle).verify_golden()
    except InputError as error:
        return [Check(gate=GATE, name=NAME, status="fail", threshold=tolerance, detail=str(error))]
    rows = len(next(iter(bundle.golden.inputs.values())))
    return [Check(gate=GATE, name=NAME, status="pass", value=difference, threshold=tolerance, detail=f"{rows} rows")]
