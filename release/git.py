"""git, by its own program: fixed argument lists, no shell, no hooks, and no settings of a git that runs us."""

import os
import subprocess
import tempfile
from pathlib import Path

from msgspec import Struct

from contracts.errors import InputError

# Set by a git that runs us (a hook, `git rebase --exec`): they would point every command at its repository and index.
FOREIGN = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
)
# No prompts, one language to read, and no lock on a person's index for what only reads.
ALWAYS = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_LITERAL_PATHSPECS": "1"}
# A machine's one-line commit is checked by CI, not by the hooks of whoever runs it.
NO_HOOKS = ("-c", f"core.hooksPath={os.devnull}", "-c", "core.quotePath=false")


class GitError(InputError):
    """git said no; its own reason, in one line."""


class Answer(Struct, frozen=True):
    """What a git command left."""

    code: int
    output: bytes
    error: str

    @property
    def text(self) -> str:
        return self.output.decode().strip()


class Git(Struct, frozen=True):
    """A repository with a working tree, by the folder at its top."""

    directory: Path

    @classmethod
    def at(cls, directory: Path) -> "Git":
        """The repository that `directory` lies in; raises GitError where there is none."""
        directory = Path(directory)
        if not directory.is_dir():
            raise GitError(f"{directory}: no such folder; give --repository one that lies in a git repository")
        answer = cls(directory).run("rev-parse", "--show-toplevel")
        if answer.code:
            raise GitError(f"{directory}: is no git repository; run this where gitops/ is, or give --repository")
        return cls(Path(answer.text))

    def run(
        self,
        *arguments: str,
        data: bytes | None = None,
        index: Path | None = None,
        settings: tuple[tuple[str, str], ...] = (),
    ) -> Answer:
        """Run git and give what it said, whatever its exit code.

        `index` is used in place of the checkout's own; `settings` are read by git, and not seen in a list of processes.
        """
        environment = {name: value for name, value in os.environ.items() if name not in FOREIGN} | ALWAYS
        environment |= _settings(settings, environment)
        if index is not None:
            environment["GIT_INDEX_FILE"] = str(index)
        try:
            done = subprocess.run(
                ["git", *NO_HOOKS, *arguments],
                cwd=self.directory,
                env=environment,
                capture_output=True,
                check=False,
                input=data,
                stdin=subprocess.DEVNULL if data is None else None,
            )
        except FileNotFoundError as error:
            raise GitError("git: is not installed; install it with your system's packages") from error
        return Answer(done.returncode, done.stdout, done.stderr.decode(errors="replace"))

    def text(self, *arguments: str, data: bytes | None = None, index: Path | None = None) -> str:
        """What a command prints, without the line end; raises GitError when it fails."""
        answer = self.run(*arguments, data=data, index=index)
        if answer.code:
            raise refused(arguments[0], answer)
        return answer.text

    def commit(self, name: str) -> str | None:
        """The commit that `name` means, or None where there is none."""
        answer = self.run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        return answer.text if answer.code == 0 else None

    def file(self, commit: str, path: str) -> bytes | None:
        """The bytes of a file as a commit has it, or None where it has none."""
        answer = self.run("cat-file", "blob", f"{commit}:{path}")
        return answer.output if answer.code == 0 else None

    def contains(self, commit: str, ancestor: str) -> bool:
        """Is `ancestor` part of the history of `commit`?"""
        return self.run("merge-base", "--is-ancestor", ancestor, commit).code == 0

    def has_all_of(self, commit: str, other: str) -> bool:
        """Does `commit` have every file as `other` changed it, so that a merge of it would bring nothing?"""
        names = self.run("diff", "--name-only", "--no-renames", "-z", f"{other}^", other)
        return names.code == 0 and all(
            self.file(commit, name) == self.file(other, name) for name in names.output.decode().split("\0") if name
        )

    def mode(self, commit: str, path: str) -> str | None:
        """What kind of file it is there, as git writes it; None where there is none."""
        listed = self.text("ls-tree", commit, "--", path).split()
        return listed[0] if listed else None

    def tree_with(self, commit: str, path: str, content: bytes) -> str:
        """The tree of a commit with one file's bytes replaced, by objects and an index of its own alone."""
        mode = self.mode(commit, path)
        blob = self.text("hash-object", "-w", "--no-filters", "--stdin", data=content)
        with tempfile.TemporaryDirectory(prefix="release-") as folder:
            index = Path(folder) / "index"
            self.text("read-tree", commit, index=index)
            self.text("update-index", "--cacheinfo", f"{mode},{blob},{path}", index=index)
            return self.text("write-tree", index=index)


def _settings(settings: tuple[tuple[str, str], ...], environment: dict[str, str]) -> dict[str, str]:
    """Settings as git takes them from its environment, behind those that are there."""
    start = int(environment.get("GIT_CONFIG_COUNT") or 0)
    found = {"GIT_CONFIG_COUNT": str(start + len(settings))} if settings else {}
    for i, (key, value) in enumerate(settings, start):
        found |= {f"GIT_CONFIG_KEY_{i}": key, f"GIT_CONFIG_VALUE_{i}": value}
    return found


def refused(command: str, answer: Answer) -> GitError:
    """git's own reason as one line, with the way out where it is known."""
    lines = [line.strip() for line in answer.error.splitlines() if line.strip()]
    if any("tell me who you are" in line or "empty ident" in line for line in lines):
        return GitError("git: user.name: is not set; `git config user.name NAME` and `git config user.email ADDRESS`")
    reasons = [line for line in lines if line.startswith(("fatal:", "error:", "!", "remote:"))] or lines[-1:]
    return GitError(f"git {command}: {'; '.join(reasons[:3]) or f'exit {answer.code}'}")
