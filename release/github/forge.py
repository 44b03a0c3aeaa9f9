"""The forge that is GitHub: branch, pull request and merge by REST; history is read from the local clone.

Nothing is pushed: the commit is made of a blob, a tree and a commit on GitHub, so that an App's commits are signed as
its own. GitHub moves a branch without comparing, so each step looks first, names the commit it means, and may be made
twice. PyGithub's part is release.github.rest; what comes from there is plain JSON.
"""

import base64
import re
import sys
from typing import Any

from msgspec import Struct

from contracts.errors import InputError
from release import checkout
from release.forge import Merged, MovedError, Proposal, PullRequest
from release.git import Git, GitError, refused
from release.github.rest import RefusedError, Rest

LONGEST = 65_536  # characters of a pull request's body
CUT = "\n\n… the commit's message says all of it …\n\n"
METHODS = ("merge", "squash", "rebase")
LOOKS = 6  # times that GitHub is asked for what it has not found out yet
INTERVAL, PATIENCE = 10.0, 2400.0  # seconds between two looks at checks that run, and in all
QUOTED = re.compile(r'"([^"]+)"')  # the checks that GitHub names in its refusal
# A cancelled one comes again: a pull request that is closed and opened cancels the run before.
FAILED = ("failure", "error", "timed_out", "action_required", "startup_failure")
PEOPLE = ("OWNER", "MEMBER", "COLLABORATOR")


class GitHubForge(Struct, frozen=True):
    """A repository on GitHub, and the clone of it that history is read from."""

    git: Git
    rest: Rest
    target: str = "main"
    remote: str | None = "origin"

    # what every forge can

    def tip(self) -> str:
        found = self._branch(self.target)
        if found is None:
            self.mergeable()  # where the repository itself is not seen, that is what to say
            raise GitError(f"{self.rest.repository}: branch {self.target}: is not there; name it with --target")
        self._fetch(found)
        return found

    def mergeable(self) -> None:
        about = self.rest.get()
        if about is None:
            raise InputError(
                f"{self.rest.repository}: not there, or the token may not see it; see docs/github-setup.md"
            )
        if about.get("archived"):
            raise InputError(f"{self.rest.repository}: is archived; nothing can be merged there")

    def open(self, proposal: Proposal) -> PullRequest:
        if self.git.mode(proposal.base, proposal.path) is None:
            raise GitError(f"{proposal.path}: is not in {self.target}; commit it first")
        there = self._branch(proposal.branch)
        commit = there or ""
        if there is None or not self._stands(there, proposal):
            commit = self._commit(proposal, self.git.tree_with(proposal.base, proposal.path, proposal.content))
            self._put(proposal.branch, commit, there)
        found = self._pull(proposal, commit)
        self._label(found, proposal.labels)
        return PullRequest(
            branch=proposal.branch,
            commit=commit,
            base=proposal.base,
            path=proposal.path,
            message=proposal.message,
            number=found["number"],
            url=found["html_url"],
        )

    def _stands(self, there: str, proposal: Proposal) -> bool:
        """Is this commit the proposal, on the target as it is or as it was before changes of other files?

        Made anew, it would lose its approvals.
        """
        tree, parents, message = self._said(there)
        if len(parents) != 1 or message != proposal.message.strip():
            return False
        (parent,), path, git = parents, proposal.path, self.git
        if not git.contains(proposal.base, parent) or git.file(parent, path) != git.file(proposal.base, path):
            return False
        return tree == git.tree_with(parent, path, proposal.content)

    def merge(self, pull_request: PullRequest) -> Merged:
        tip = self.tip()
        if not self.git.contains(tip, pull_request.commit):
            path = pull_request.path
            if self.git.file(tip, path) != self.git.file(pull_request.base, path):
                raise MovedError
            tip = self._merged(pull_request)
            self._fetch(tip)
        self._remove(pull_request.branch, pull_request.commit)
        return Merged(tip, checkout.follow(self.git, self.target, tip))

    def close(self, branch: str) -> None:
        tip = self.tip()
        there = self._branch(branch)
        if there and (self.git.contains(tip, there) or self._was_merged(branch, there) or self._empty(branch, there)):
            self._remove(branch, there)  # its pull request, if one is open, is closed by that
        checkout.follow(self.git, self.target, tip)

    # what GitHub can besides

    def comment(self, pull_request: int, marker: str, text: str) -> None:
        """Keep one comment that begins with `marker`, among those of people and programs who may write here."""
        body = text if text.startswith(marker) else f"{marker}\n{text}"
        said = [each for each in self.rest.pages(f"issues/{pull_request}/comments") if _trusted(each)]
        mine = [each for each in said if (each.get("body") or "").startswith(marker)]
        if not mine:
            self.rest.write("POST", f"issues/{pull_request}/comments", {"body": body})
        elif _text(mine[0].get("body")) != _text(body):
            self.rest.write("PATCH", f"issues/comments/{mine[0]['id']}", {"body": body}, again=True)

    def health(self, commit: str, context: str) -> str:
        """The newest status of that context; empty where there is none."""
        said = self.rest.pages(f"commits/{commit}/status", "statuses")
        return next((str(each["state"]) for each in said if each["context"] == context), "")

    def approvals(self, commit: str) -> tuple[str, ...]:
        """Whose last review of the pull request that brought the commit approves it."""
        found: dict[str, None] = {}
        for pull in self.rest.get(f"commits/{commit}/pulls") or []:
            if not pull.get("merged_at") or commit not in (pull.get("merge_commit_sha"), pull["head"]["sha"]):
                continue
            last: dict[str, str] = {}
            for review in self.rest.pages(f"pulls/{pull['number']}/reviews"):
                if review.get("user") and review["state"] != "COMMENTED":
                    last[review["user"]["login"]] = review["state"]
            found |= {login: None for login, state in last.items() if state == "APPROVED"}
        return tuple(found)

    def declined(self, branch: str) -> int:
        """The newest pull request of the branch, where it was closed without a merge and none is open; 0 otherwise."""
        found = sorted(self._found(branch, "all"), key=lambda each: int(each["number"]))
        if not found or found[-1]["merged_at"] or any(each["state"] == "open" for each in found):
            return 0
        return int(found[-1]["number"])

    # branches and commits

    def _branch(self, name: str) -> str | None:
        found = self.rest.get(f"git/ref/heads/{name}")
        return str(found["object"]["sha"]) if found else None

    def _fetch(self, commit: str, branch: str = "") -> None:
        """Have the history of a branch (the target) here, up to a commit of it; no ref of this clone is touched."""
        branch = branch or self.target
        for tried in range(1, LOOKS + 1):
            if self.git.commit(commit):
                return
            source = self.remote if self.remote in self.git.text("remote").split() else ""
            place = source or f"{self.rest.web}/{self.rest.repository}.git"
            quiet = ("--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", "--refmap=")
            answer = self.git.run("fetch", *quiet, place, f"refs/heads/{branch}", settings=self._credentials())
            if answer.code:
                raise refused("fetch", answer)
            if self.git.commit(commit) is None:
                self.rest.pause(tried)  # git's side of GitHub may be a moment behind
        raise GitError(f"git fetch: {branch} of {self.rest.repository} does not bring {commit[:12]}; run it again")

    def _credentials(self) -> tuple[tuple[str, str], ...]:
        """The token for git, and for GitHub's own address alone, in place of what a checkout left there."""
        key = f"http.{self.rest.web}/.extraheader"
        basic = base64.b64encode(f"x-access-token:{self.rest.token}".encode()).decode()
        return (key, ""), (key, f"AUTHORIZATION: basic {basic}")

    def _said(self, commit: str) -> tuple[str, list[str], str]:
        found = self.rest.get(f"git/commits/{commit}")
        if found is None:
            raise MovedError
        return found["tree"]["sha"], [each["sha"] for each in found["parents"]], found["message"].strip()

    def _commit(self, proposal: Proposal, tree: str) -> str:
        """The proposal's commit, made on GitHub; a second one of the same does no harm, nothing points at it."""
        content = {"content": base64.b64encode(proposal.content).decode(), "encoding": "base64"}
        blob = self.rest.write("POST", "git/blobs", content, again=True)["sha"]
        entry = {
            "path": proposal.path,
            "mode": self.git.mode(proposal.base, proposal.path),
            "type": "blob",
            "sha": blob,
        }
        base = self.git.text("rev-parse", f"{proposal.base}^{{tree}}")
        made = self.rest.write("POST", "git/trees", {"base_tree": base, "tree": [entry]}, again=True)["sha"]
        if made != tree:
            raise InputError(f"GitHub: made the tree {made} of {proposal.path}, not {tree}; nothing was changed there")
        words = {"message": proposal.message.strip() + "\n", "tree": made, "parents": [proposal.base]}
        return str(self.rest.write("POST", "git/commits", words, again=True)["sha"])

    def _put(self, branch: str, commit: str, there: str | None) -> None:
        try:
            if there is None:
                self.rest.write("POST", "git/refs", {"ref": f"refs/heads/{branch}", "sha": commit}, again=True)
            else:
                self.rest.write("PATCH", f"git/refs/heads/{branch}", {"sha": commit, "force": True}, again=True)
        except RefusedError as error:
            if error.code == 422 and ("already exists" in error.said or "does not exist" in error.said):
                raise MovedError from None  # somebody else made it, or took it away; perhaps our own first try did
            raise

    def _remove(self, branch: str, commit: str) -> None:
        if self._branch(branch) != commit:
            return  # gone, or somebody's new proposal
        try:
            self.rest.write("DELETE", f"git/refs/heads/{branch}", again=True)
        except RefusedError as error:
            if error.code not in (404, 422):
                raise

    # pull requests

    def _found(self, branch: str, state: str) -> list[dict[str, Any]]:
        head = f"{self.rest.owner}:{branch}"  # a fork may have a branch of that name, too
        found = self.rest.pages("pulls", head=head, base=self.target, state=state)
        return [each for each in found if each["head"]["label"].lower() == head.lower()]

    def _was_merged(self, branch: str, commit: str) -> bool:
        """Was it squashed or rebased into the target, so that its own commit is not there?"""
        return any(each["merged_at"] and each["head"]["sha"] == commit for each in self._found(branch, "closed"))

    def _empty(self, branch: str, commit: str) -> bool:
        """Does it bring nothing that the target has not, because somebody else proposed the same and was faster?"""
        try:
            self._fetch(commit, branch)
        except GitError:
            return False  # taken away meanwhile
        return self.git.has_all_of(self.tip(), commit)

    def _pull(self, proposal: Proposal, commit: str) -> dict[str, Any]:
        title, _, rest = proposal.message.strip().partition("\n")
        words = {"title": title, "body": _fitting(proposal.body or rest.strip())}
        found = next(iter(self._found(proposal.branch, "open")), None)
        if found is None:
            return self._opened(proposal.branch, words)
        if (found["title"], _text(found["body"])) != (title, _text(words["body"])):
            return dict(self.rest.write("PATCH", f"pulls/{found['number']}", words, again=True))
        return found

    def _opened(self, branch: str, words: dict[str, str]) -> dict[str, Any]:
        try:
            body = words | {"head": branch, "base": self.target}
            return dict(self.rest.write("POST", "pulls", body, again=True))
        except RefusedError as error:
            if error.code != 422:
                raise
            if found := self._found(branch, "open"):
                return found[0]  # by somebody else, or by our own first try
            if "No commits between" in error.said or "head invalid" in error.said:
                raise MovedError from None  # merged already, or the branch was taken away
            raise

    def _label(self, pull: dict[str, Any], labels: tuple[str, ...]) -> None:
        there = {each["name"] for each in pull["labels"]}
        if missing := [label for label in labels if label not in there]:
            self.rest.write("POST", f"issues/{pull['number']}/labels", {"labels": missing}, again=True)

    def _merged(self, pull_request: PullRequest) -> str:
        """Merge by the first way that the repository allows; gives the commit. Raises MovedError, InputError."""
        waited = 0.0
        ways = list(METHODS)
        while True:
            try:
                return self._asked_to_merge(pull_request, ways[0])
            except RefusedError as error:
                if error.code == 409:
                    raise MovedError from None
                if error.code not in (404, 405, 422):
                    raise
                pull = self._decided(pull_request.number)
                if pull["merged"]:
                    return str(pull["merge_commit_sha"])
                if pull["state"] != "open" or pull["head"]["sha"] != pull_request.commit:
                    raise MovedError from None
                if "not allowed" in error.said and len(ways) > 1:
                    ways.pop(0)
                    continue
                if pull["mergeable"] is False:
                    self._conflicts(pull_request, pull)
                if "was modified" in error.said:
                    raise MovedError from None
                if waited < PATIENCE and self._may_pass(error.said, pull_request.commit):
                    if not waited:
                        print(f"{pull_request.url}: {error.said}; waiting for it", file=sys.stderr)
                    waited += INTERVAL
                    self.rest.sleep(INTERVAL)
                    continue
                raise InputError(
                    f"{pull_request.url}: stays open, GitHub does not merge it: {error.said}; when that is mended, the "
                    "same command again"
                ) from None

    def _asked_to_merge(self, pull_request: PullRequest, way: str) -> str:
        title, _, rest = pull_request.message.strip().partition("\n")
        words: dict[str, str] = {"sha": pull_request.commit, "merge_method": way}
        if way == "merge":
            words["commit_message"] = title
        elif way == "squash":  # the trailers are what history is read from
            words |= {"commit_title": f"{title} (#{pull_request.number})", "commit_message": rest.strip()}
        return str(self.rest.write("PUT", f"pulls/{pull_request.number}/merge", words, again=True)["sha"])

    def _decided(self, number: int) -> dict[str, Any]:
        """The pull request, once GitHub knows whether it can be merged (or has been asked often enough)."""
        for tried in range(1, LOOKS + 1):
            pull = self.rest.get(f"pulls/{number}")
            if pull is None:
                raise MovedError
            if pull["state"] != "open" or pull["mergeable"] is not None or tried == LOOKS:
                break
            self.rest.pause(tried)
        return dict(pull)

    def _conflicts(self, pull_request: PullRequest, pull: dict[str, Any]) -> None:
        if self._branch(self.target) != pull_request.base:
            raise MovedError
        raise InputError(f"{pull['html_url']}: stays open, GitHub says that it conflicts with {self.target}")

    def _may_pass(self, said: str, commit: str) -> bool:
        """Is it only that checks have not ended? Nobody's review is waited for, and no check that failed."""
        if "status check" not in said.lower() or "review" in said.lower():
            return False
        named = QUOTED.findall(said)  # others may fail as they like
        statuses = self.rest.pages(f"commits/{commit}/status", "statuses")
        runs = self.rest.pages(f"commits/{commit}/check-runs", "check_runs", filter="latest")
        states = [(each["context"], each["state"]) for each in statuses]
        states += [(each["name"], each["conclusion"]) for each in runs]
        return not any(state in FAILED and (name in named or not named) for name, state in states)


def _trusted(comment: dict[str, Any]) -> bool:
    """Whoever may only talk here could hold a comment of ours and write into it later."""
    return comment.get("author_association") in PEOPLE or (comment.get("user") or {}).get("type") == "Bot"


def _text(said: str | None) -> str:
    return (said or "").replace("\r\n", "\n").strip()


def _fitting(body: str) -> str:
    """A body that GitHub takes: where it is too long its middle goes, the way back at its end stays."""
    if len(body) <= LONGEST:
        return body
    half = (LONGEST - len(CUT)) // 2
    return body[:half] + CUT + body[-half:]
