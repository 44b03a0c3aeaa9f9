"""What the answers to the generator's questions must be, so that Kubernetes, registries and GitHub take them later.

Standard library only: this runs wherever cookiecutter, cruft or Kedro runs, before anything is written.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping

# A word that YAML 1.1 (kubectl, kustomize, PyYAML) reads as something other than text.
YAML_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})

DNS_LABEL = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
OCI_COMPONENT = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"  # distribution-spec 1.1, "Pulling manifests"
SLUG_LENGTH = 40  # a CronWorkflow's name has at most 52 characters, and ours ends in "-retraining"


def model_name(name: str) -> str | None:
    """A name for people: it stands in YAML, TOML, HTML and Markdown without quotes."""
    text = unicodedata.normalize("NFC", name)
    if not 1 <= len(text) <= 60:
        return f"has {len(text)} characters; give it 1 to 60"
    if not text[0].isalpha():
        return "must begin with a letter"
    if wrong := [c for c in text if c not in " -.()+" and unicodedata.category(c)[0] not in "LMN"]:
        return f"may not hold {wrong[0]!r}; letters, digits, spaces and - . ( ) + may stand in it"
    if text != " ".join(text.split()):
        return "has a blank too many"
    return _yaml_word(text)


def repo_slug(slug: str) -> str | None:
    """A DNS-1035 label (a Service's name may not begin with a digit), with room for the suffixes we add."""
    if not 1 <= len(slug) <= SLUG_LENGTH:
        return f"has {len(slug)} characters; a Kubernetes name with our suffixes leaves room for 1 to {SLUG_LENGTH}"
    if not re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", slug):
        return "must be a DNS-1035 label: a-z, 0-9 and inner hyphens, beginning with a letter"
    return _yaml_word(slug)


def github_owner(owner: str) -> str | None:
    """GitHub's own rule; the part behind an underscore is what enterprise managed users have."""
    if not 1 <= len(owner) <= 39:
        return f"has {len(owner)} characters; GitHub allows 1 to 39"
    if not re.fullmatch(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*(_[A-Za-z0-9]+)?", owner):
        return "must be a GitHub name: letters, digits and single inner hyphens"
    return None


def image(reference: str) -> str | None:
    """`registry[:port]/name`, as the OCI distribution specification and kustomize's `newName` want it."""
    if len(reference) > 255:
        return f"has {len(reference)} characters; registries allow 255"
    host, slash, path = reference.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        return "must begin with a registry's host, as in ghcr.io/owner/name"
    if not re.fullmatch(rf"{DNS_LABEL}(\.{DNS_LABEL})*(:[0-9]{{1,5}})?", host):
        return f"has no valid host: {host!r}"
    if "@" in path or ":" in path:
        return "must come without tag and digest; those are set by a promotion"
    if not re.fullmatch(rf"{OCI_COMPONENT}(/{OCI_COMPONENT})*", path):
        return f"has no valid name behind the host: {path!r}; lower-case letters, digits, inner . _ - may stand in it"
    return None


def owner_team(team: str) -> str | None:
    """A GitHub team's slug that is a Kubernetes label value, too."""
    if not 1 <= len(team) <= 63:
        return f"has {len(team)} characters; a Kubernetes label takes 1 to 63"
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", team):
        return "must be a GitHub team's slug: a-z, 0-9 and single inner hyphens, beginning with a letter"
    return _yaml_word(team)


RULES: dict[str, Callable[[str], str | None]] = {
    "model_name": model_name,
    "repo_slug": repo_slug,
    "github_owner": github_owner,
    "image": image,
    "owner_team": owner_team,
}


def refusal(answers: Mapping[str, object]) -> str | None:
    """One line that says which answer is wrong and why, for the first one that is; None when all will do."""
    for question, rule in RULES.items():
        answer = str(answers[question])
        if reason := rule(answer):
            return f"{question}: {answer!r} {reason}"
    return None


def _yaml_word(text: str) -> str | None:
    return f"is a word that YAML reads as {text.lower()!r}, not as text" if text.lower() in YAML_WORDS else None
