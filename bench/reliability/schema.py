"""What schemathesis makes of the OpenAPI document: requests that it allows and requests that it forbids."""

from typing import Any

from msgspec import Struct


class Said(Struct):
    """What came of it."""

    requests: int = 0
    flaws: list[str] = []
    not_run: str = ""


def fuzz(port: int, examples: int) -> Said:
    """So many examples of every operation, with every check that schemathesis has, sound ones and broken ones."""
    import requests

    if requests.get(f"http://127.0.0.1:{port}/openapi.json", timeout=10).status_code != 200:
        return Said(not_run="this server has no /openapi.json")
    return _fuzz(port, examples)


def _fuzz(port: int, examples: int) -> Said:
    import hypothesis
    import schemathesis
    from schemathesis import GenerationMode

    # JSON Schema cannot say that an array holds every column once, in equal length, so what it allows may be refused.
    from schemathesis.checks import CHECKS, load_all_checks
    from schemathesis.config import SchemathesisConfig
    from schemathesis.core.failures import FailureGroup

    load_all_checks()
    positive_data_acceptance = CHECKS.get_one("positive_data_acceptance")

    said = Said()
    # 413 is a refusal, too, and of the schema's own making: it bounds the rows.
    refusals = {"expected-statuses": [400, 401, 403, 404, 405, 413, 415, 422, 429, 503]}
    config = SchemathesisConfig.from_dict({"checks": {"negative_data_rejection": refusals}})
    document = schemathesis.openapi.from_url(f"http://127.0.0.1:{port}/openapi.json", config=config)
    settings = hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate],
    )
    for result in document.get_all_operations():
        operation: Any = result.ok()  # type: ignore[union-attr]
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            strategy = operation.as_strategy(generation_mode=mode)

            @settings
            @hypothesis.given(case=strategy)
            def ask(case: Any) -> None:
                said.requests += 1
                case.call_and_validate(timeout=10, excluded_checks=[positive_data_acceptance])

            try:
                ask()
            except hypothesis.errors.Unsatisfiable:
                continue  # nothing of this operation can be broken
            except FailureGroup as found:
                texts = (" ".join(str(error).split()) for error in found.exceptions)
                said.flaws += [f"{operation.label} ({mode.value}): {text[:600]}" for text in texts]
    return said
