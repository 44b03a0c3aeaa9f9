"""What `conf/base/parameters_packaging.yml` may hold."""

from typing import Annotated

from msgspec import Meta

from pipelines.parameters import Section

Count = Annotated[int, Meta(ge=1)]


class Parameters(Section, frozen=True, kw_only=True):
    """Who the model is, and how much of the data travels with it."""

    name: str
    title: str
    owner: str
    intended_use: str
    limits: tuple[str, ...]
    decision_threshold: Annotated[float, Meta(gt=0, lt=1)]
    parent: str = ""
    golden_rows: Annotated[int, Meta(ge=3)]
    golden_tolerance: Annotated[float, Meta(gt=0)]
    profile_rows: Count
    profile_bins: Annotated[int, Meta(ge=2)]
    profile_categories: Count
