"""The golden gate refuses a bundle that no longer gives the answers it was built with."""

import msgspec

from contracts import bundle
from contracts.bundle import Bundle
from pipelines.validation import golden
from tests import bundles


def test_a_bundle_that_gives_its_answers_passes(model: Bundle) -> None:
    (check,) = golden.check_golden(model, None)
    assert check.status == "pass"
    assert check.value < 1e-5
    assert check.detail == "6 rows"


def test_another_graph_with_the_same_signature_is_refused(tmp_path) -> None:
    moved = msgspec.structs.replace(bundles.tiny(), model=bundles.graph(shift=0.01))
    (check,) = golden.check_golden(bundle.write(tmp_path, moved), None)
    assert check.status == "fail"
    assert "row" in check.detail


def test_what_the_guard_refuses_is_not_run(model: Bundle) -> None:
    (check,) = golden.check_golden(model, "model guard refuses: operators")
    assert check.status == "not_run"
    assert check.refused
