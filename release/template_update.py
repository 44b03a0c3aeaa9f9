"""What the template has learned since this repository was generated, as one pull request.

    python -m release.template_update look         brings the newest tag's changes into the working tree, by cruft
    python -m release.template_update propose      makes them the branch `template-update` and its pull request, by REST

Run again, either changes nothing more. A conflict stays in its file as git marks it, and a hunk that fits nowhere is in
the pull request's body; it is a draft then. What people committed to the branch is never written over.
"""

import argparse
import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from contracts.errors import InputError
from release import runner
from release.git import Git, refused
from release.github.rest import Rest, connect

NAME = "template-update"
CRUFT = ".cruft.json"
TITLE = "Update from the template, "
REGULAR, EXECUTABLE = "100644", "100755"
REJECTED, LEFT = ".rej", (".rej", ".orig")  # what `git apply --reject` and `patch` leave beside a file
LONGEST = 30_000  # characters of hunks in a body; GitHub takes 65536 in all


def look(root: Path) -> str:
    """Bring the newest tag's changes into the working tree; gives the tag, empty when there is nothing newer."""
    try:
        said = json.loads((root / CRUFT).read_text(encoding="utf-8"))
        template, now = str(said["template"]), said.get("checkout")
    except FileNotFoundError:
        print(f"{CRUFT}: is not here: this repository was not generated with cruft, and has nothing to update")
        return ""
    except (ValueError, KeyError) as error:
        raise InputError(f"{CRUFT}: {error}; `cruft link` writes it anew") from error
    tag = newest(Git.at(root), template)
    if not tag or tag == now:
        print(f"{template}: {f'{tag} is what this is' if tag else 'has no tag yet'}; nothing to do")
        return ""
    command = [sys.executable, "-m", "cruft", "update", "--skip-apply-ask", "--checkout", tag]
    done = subprocess.run(command, cwd=root, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines()
        raise InputError(
            f"cruft update: {lines[-1] if lines else 'failed'}; try `cruft update --checkout {tag}` by hand"
        )
    print(f"{template}: {now or said.get('commit', 'unknown')} -> {tag}")
    return tag


def newest(git: Git, template: str) -> str:
    """The template's highest version tag; empty where it has none."""
    listed = git.text("ls-remote", "--tags", "--refs", "--sort=-version:refname", template, "v*")
    return next((line.rpartition("refs/tags/")[2] for line in listed.splitlines()), "")


def propose(git: Git, rest: Rest, target: str = "main") -> str:
    """Put what the working tree has into the branch and its pull request; gives the latter's address.

    A branch that people work on is left as it is, and a line that says so is given.
    """
    base = git.text("rev-parse", "HEAD")
    reference = rest.get(f"git/ref/heads/{NAME}")
    there = reference["object"]["sha"] if reference else ""
    known = rest.get(f"git/commits/{there}") if there else None
    if there and not git.contains(base, there) and not _ours(git, base, known):
        return f"{NAME}: people have worked on the branch ({there[:12]}), it stays as it is; merge or delete it first"
    entries, conflicts = _entries(git, rest)
    if not entries:
        raise InputError("template-update: the working tree has no change; run `look` first")
    tag = json.loads((git.directory / CRUFT).read_text(encoding="utf-8")).get("checkout") or "its newest state"
    tree = rest.write("POST", "git/trees", {"base_tree": _tree(git, base), "tree": entries}, again=True)["sha"]
    if known is None or known["tree"]["sha"] != tree or [each["sha"] for each in known["parents"]] != [base]:
        message = {"message": _message(tag, tree), "tree": tree, "parents": [base]}
        commit = rest.write("POST", "git/commits", message)["sha"]
        if there:
            rest.write("PATCH", f"git/refs/heads/{NAME}", {"sha": commit, "force": True}, again=True)
        else:
            rest.write("POST", "git/refs", {"ref": f"refs/heads/{NAME}", "sha": commit})
    return _pull(rest, target, tag, conflicts)


def _message(tag: str, tree: str) -> str:
    """It names its own tree: a commit that somebody amended is not ours any more."""
    return f"{TITLE}{tag}\n\nTree: {tree}\n"


def _ours(git: Git, base: str, known: dict[str, Any] | None) -> bool:
    """Is it all that the branch has besides the target, and as we made it?"""
    if known is None or len(known["parents"]) != 1 or not git.contains(base, known["parents"][0]["sha"]):
        return False
    tag = str(known["message"]).partition("\n")[0].removeprefix(TITLE)
    return str(known["message"]).strip() == _message(tag, known["tree"]["sha"]).strip()


def _pull(rest: Rest, target: str, tag: str, conflicts: dict[str, str]) -> str:
    listed = _listed(conflicts)
    body = f"What the template has at {tag} and this repository had not. Environments keep what they run.\n"
    body += f"\n**Conflicts**, to be resolved on this branch:\n\n{listed}" if conflicts else ""
    said = {"title": f"{TITLE}{tag}", "body": body}
    open_now = rest.get("pulls", head=f"{rest.owner}:{NAME}", base=target, state="open")
    if open_now:
        number = open_now[0]["number"]
        found = rest.write("PATCH", f"pulls/{number}", said, again=True)
    else:
        found = rest.write("POST", "pulls", {**said, "head": NAME, "base": target, "draft": bool(conflicts)})
    rest.write("POST", f"issues/{found['number']}/labels", {"labels": [NAME]}, again=True)
    return str(found["html_url"])


def _listed(conflicts: dict[str, str]) -> str:
    """Each file, with the hunks of it that could not be applied."""
    lines, room = [], LONGEST
    for path, hunks in conflicts.items():
        lines.append(f"- `{path}`\n")
        if not hunks:
            continue
        shown = hunks[:room]
        room -= len(shown)
        fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", shown))])
        lines.append(f"\n{fence}diff\n{shown.rstrip()}\n{fence}\n\n" if shown else "")
        if len(shown) < len(hunks):
            lines.append("  The rest is too long for here; `cruft update` shows it.\n")
    return "".join(lines)


def _entries(git: Git, rest: Rest) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """What differs from HEAD, as entries of a tree whose blobs are on GitHub; and the files in conflict.

    A file in conflict comes with the hunks that could not be applied, which are no part of the tree.
    """
    answer = git.run("status", "--porcelain", "--no-renames", "--untracked-files=all", "-z")
    if answer.code:
        raise refused("status", answer)
    fields = answer.output.decode().split("\0")
    entries: list[dict[str, Any]] = []
    left = _left(git)
    conflicts = {path.rpartition(".")[0]: "" for path in left}
    conflicts |= {path.removesuffix(REJECTED): hunks for path, hunks in left.items() if path.endswith(REJECTED)}
    for field in filter(None, fields):
        state, path = field[:2].strip() or field[:2], field[3:]
        file = git.directory / path
        if path in left:
            continue
        if "U" in state or state == "AA":
            conflicts.setdefault(path, "")
        entry: dict[str, Any] = {"path": path, "mode": REGULAR, "type": "blob", "sha": None}
        if file.is_file():
            content = base64.b64encode(file.read_bytes()).decode()
            blob = {"content": content, "encoding": "base64"}
            entry["sha"] = rest.write("POST", "git/blobs", blob, again=True)["sha"]
            entry["mode"] = EXECUTABLE if os.access(file, os.X_OK) else REGULAR
        entries.append(entry)
    return entries, conflicts


def _left(git: Git) -> dict[str, str]:
    """What was left beside the files that it is about, ignored or not, with its text."""
    patterns = [f"--exclude=*{suffix}" for suffix in LEFT]
    found = git.text("ls-files", "--others", "--ignored", "-z", *patterns).split("\0")
    tracked = set(git.text("ls-files", "-z").split("\0"))
    left = {}
    for path in filter(None, found):
        if path.rpartition(".")[0] in tracked:  # an environment's packages may have some, too
            left[path] = (git.directory / path).read_text(encoding="utf-8", errors="replace")
    return left


def _tree(git: Git, commit: str) -> str:
    return git.text("rev-parse", f"{commit}^{{tree}}")


def main(arguments: list[str] | None = None) -> int:
    """`look` makes `changed` the output of a runner's step; exit code 2, in one line, when something refuses."""
    parser = argparse.ArgumentParser(prog="python -m release.template_update", description=str(__doc__).split("\n")[0])
    parser.add_argument("step", choices=("look", "propose"))
    step = parser.parse_args(arguments).step
    try:
        git = Git.at(Path())
        if step == "propose":
            print(propose(git, connect(git=git)))
            return 0
        changed = "true" if look(git.directory) else "false"
    except InputError as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        return 2
    runner.output(changed=changed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
