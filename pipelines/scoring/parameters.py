"""What `conf/base/parameters_scoring.yml` may hold: which rows are scored, and how many at a time."""

import datetime as dt
from typing import Annotated

from msgspec import Meta

from pipelines.parameters import Section


class Parameters(Section, frozen=True, kw_only=True):
    """`since` and `until` bound `prediction_time` (UTC); without them the test window of training is scored."""

    since: dt.date | None = None
    until: dt.date | None = None
    batch_rows: Annotated[int, Meta(ge=1)]
