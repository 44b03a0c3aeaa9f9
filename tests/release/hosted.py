"""What a forge adds to plain git, as plain data: what clusters said of commits, who approved, the comments."""

from dataclasses import dataclass, field

from release.git_forge import GitForge


@dataclass
class Hosted:
    """A git forge that clusters report to and that people talk on: the rest is plain git's."""

    forge: GitForge
    states: dict[str, str] = field(default_factory=dict)  # commit -> state
    approvers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    comments: dict[tuple[int, str], str] = field(default_factory=dict)
    contexts: set[str] = field(default_factory=set)

    def health(self, commit: str, context: str) -> str:
        self.contexts.add(context)
        return self.states.get(commit, "")

    def approvals(self, commit: str) -> tuple[str, ...]:
        return self.approvers.get(commit, ())

    def comment(self, pull_request: int, marker: str, text: str) -> None:
        assert text.startswith(marker)
        self.comments[pull_request, marker] = text

    def __getattr__(self, name):
        return getattr(self.forge, name)
