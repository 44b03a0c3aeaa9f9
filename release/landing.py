"""How a commit came into the target branch: when, by whom, and who approved.

The commit that made a change may be days older than its merge, and somebody else's. What counts for people who ask
"since when, and who let it in" is the first commit of the target's own line that has it.
"""

import re

from msgspec import Struct

from release.forge import Approvals, Forge
from release.git import Git

FIELD, END = "\x02", "\x03"
FORMAT = FIELD.join(("%H", "%ct", "%an", "%B")) + END
APPROVED = re.compile(r"^(?:Approved|Reviewed)-by: (?P<who>[^<\n]+?)\s*(?:<[^>\n]*>)?$", re.M | re.I)


class Landing(Struct, frozen=True, kw_only=True):
    """The commit of the target's own line that brought a change: a merge, a squashed or rebased commit, a push."""

    commit: str
    time: int  # seconds since 1970
    by: str
    message: str


class Line(Struct, frozen=True):
    """The target's own line: its commits by first parent, the newest first."""

    git: Git
    tip: str
    commits: dict[str, Landing]

    @classmethod
    def of(cls, git: Git, tip: str) -> "Line":
        said = git.text("log", "--first-parent", "--no-color", "--no-show-signature", f"--format={FORMAT}", tip)
        found = {}
        for entry in said.split(END):
            if entry.strip():
                commit, time, author, message = entry.strip("\n").split(FIELD)
                found[commit] = Landing(commit=commit, time=int(time), by=author, message=message.strip())
        return cls(git, tip, found)

    def landing(self, commit: str) -> Landing:
        """Where a commit of the target's history came in."""
        if commit in self.commits:
            return self.commits[commit]
        after = set(self.git.text("rev-list", "--ancestry-path", f"{commit}..{self.tip}").split())
        return [each for each in self.commits.values() if each.commit in after][-1]

    def since(self, commit: str) -> list[str]:
        """The commits of the line from the one that brought `commit` on, the newest first."""
        oldest = self.landing(commit).commit
        commits = list(self.commits)
        return commits[: commits.index(oldest) + 1]


def approved_by(forge: Forge, landing: Landing, message: str) -> tuple[str, ...]:
    """Who approved: as the forge knows it, or else as the trailers of the merge or of the commit itself say."""
    if isinstance(forge, Approvals) and (known := forge.approvals(landing.commit)):
        return known
    said = (found["who"] for text in (landing.message, message) for found in APPROVED.finditer(text))
    return tuple(dict.fromkeys(said))
