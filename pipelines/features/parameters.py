"""What `conf/base/parameters_features.yml` may hold."""

from pipelines.parameters import Section
from pipelines.schema import Span


class Parameters(Section, frozen=True, kw_only=True):
    """`part`: how much prediction time is worked on at once; memory grows with it, and not with the table."""

    part: Span
