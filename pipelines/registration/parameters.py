"""What `conf/base/parameters_registration.yml` may hold."""

from pipelines.parameters import Section


class Parameters(Section, frozen=True, kw_only=True):
    """`force_reason` registers a bundle that the gates refuse, with that reason in its tags and without the alias."""

    alias: str = "candidate"
    force_reason: str = ""
