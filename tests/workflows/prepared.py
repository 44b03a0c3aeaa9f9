"""In place of Kedro where a test is about what comes after training: a bundle and gate reports as a run leaves them.

The tests that are marked `slow` train for real.
"""

import json
import os
import sys
from pathlib import Path

from contracts import bundle as bundles
from contracts import report as reports
from tests import bundles as tiny


def main(arguments: list[str]) -> int:
    """A bundle by PREPARED_SHIFT, with gates that let it pass unless PREPARED_GATES says `fail`."""
    made = tiny.write(Path("data/bundles"), shift=float(os.environ.get("PREPARED_SHIFT", "0")), version="7")
    Path("data/bundles/latest.json").write_text(json.dumps({"path": bundles.short(made.digest)}))
    status = os.environ.get("PREPARED_GATES", "pass")
    check = reports.Check(
        gate="quality", name="auc reaches the floor", status=status, value=0.81, threshold=0.7, detail="of the sample"
    )
    report = reports.Report(title="Gates", subject=made.digest, created_at="2026-01-02T03:04:05Z", checks=(check,))
    reports.write(report, Path("data/reports") / bundles.short(made.digest), "gates")
    print(f"prepared, not trained: {' '.join(arguments)}")
    return 1 if status == "fail" else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
