"""What .github/settings says about the repository on GitHub: rules, environments, labels, options, the App.

The files speak GitHub's own words (its REST API), save that an App, a team, a person or a role has a name here where
GitHub wants a number.
"""

import re
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
import yaml
from msgspec import UNSET, Struct, UnsetType, field

from contracts.errors import InputError

FOLDER = Path(".github/settings")
DOCUMENT = "docs/github-setup.md"
T = TypeVar("T")
Switch = Literal["enabled", "disabled"]


class App(Struct, frozen=True, forbid_unknown_fields=True):
    """The App of releases; `id` and `client_id` only where GitHub does not tell them by the name."""

    slug: str
    variable: str
    secret: str
    permissions: dict[str, Literal["read", "write"]]
    id: int = 0
    client_id: str = ""


class Actor(Struct, frozen=True, forbid_unknown_fields=True):
    """Who may pass by a ruleset: exactly one of the four names."""

    app: str = ""
    team: str = ""
    user: str = ""
    role: str = ""  # of the repository: maintain, write, admin
    bypass_mode: Literal["always", "pull_request", "exempt"] = "pull_request"


class Reviewer(Struct, frozen=True, forbid_unknown_fields=True):
    """Who has to approve a job of an environment: one of the two names."""

    team: str = ""
    user: str = ""


class Rule(Struct, frozen=True, forbid_unknown_fields=True):
    """A rule as GitHub has it; a required status check may name its `app`."""

    type: Literal[
        "branch_name_pattern",
        "code_scanning",
        "commit_author_email_pattern",
        "commit_message_pattern",
        "committer_email_pattern",
        "creation",
        "deletion",
        "file_extension_restriction",
        "file_path_restriction",
        "max_file_path_length",
        "max_file_size",
        "merge_queue",
        "non_fast_forward",
        "pull_request",
        "required_deployments",
        "required_linear_history",
        "required_signatures",
        "required_status_checks",
        "tag_name_pattern",
        "update",
        "workflows",
    ]
    parameters: dict[str, Any] = {}


class RefNames(Struct, frozen=True, forbid_unknown_fields=True):
    """Branches or tags by pattern."""

    include: tuple[str, ...]
    exclude: tuple[str, ...] = ()


class Conditions(Struct, frozen=True, forbid_unknown_fields=True):
    """What a ruleset holds for."""

    ref_name: RefNames


class Ruleset(Struct, frozen=True, forbid_unknown_fields=True):
    """A ruleset; it is known by its name."""

    name: str
    enforcement: Literal["active", "evaluate", "disabled"]
    conditions: Conditions
    rules: tuple[Rule, ...]
    target: Literal["branch", "tag", "push"] = "branch"
    bypass_actors: tuple[Actor, ...] = ()


class Environment(Struct, frozen=True, forbid_unknown_fields=True):
    """An environment; what is not said is left as it is."""

    branches: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    wait_timer: int | UnsetType = UNSET
    prevent_self_review: bool | UnsetType = UNSET
    reviewers: tuple[Reviewer, ...] | UnsetType = UNSET


class Label(Struct, frozen=True, forbid_unknown_fields=True):
    """A label; GitHub knows it by its name in any case of letters."""

    name: str
    color: str
    description: str = ""


class Selected(Struct, frozen=True, forbid_unknown_fields=True):
    """The actions that may run, where `allowed_actions` is "selected"."""

    github_owned_allowed: bool
    verified_allowed: bool
    patterns_allowed: tuple[str, ...] = ()


class WorkflowRights(Struct, frozen=True, forbid_unknown_fields=True):
    """What GITHUB_TOKEN may where a workflow says nothing."""

    default_workflow_permissions: Literal["read", "write"]
    can_approve_pull_request_reviews: bool


class Actions(Struct, frozen=True, forbid_unknown_fields=True):
    """What may run."""

    enabled: bool
    allowed_actions: Literal["all", "local_only", "selected"]
    sha_pinning_required: bool
    selected: Selected
    workflow: WorkflowRights


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """Options of the repository; those left out are left alone."""

    allow_auto_merge: bool | UnsetType = UNSET
    allow_forking: bool | UnsetType = UNSET
    allow_merge_commit: bool | UnsetType = UNSET
    allow_rebase_merge: bool | UnsetType = UNSET
    allow_squash_merge: bool | UnsetType = UNSET
    allow_update_branch: bool | UnsetType = UNSET
    delete_branch_on_merge: bool | UnsetType = UNSET
    has_issues: bool | UnsetType = UNSET
    has_projects: bool | UnsetType = UNSET
    has_wiki: bool | UnsetType = UNSET
    merge_commit_message: Literal["PR_BODY", "PR_TITLE", "BLANK"] | UnsetType = UNSET
    merge_commit_title: Literal["PR_TITLE", "MERGE_MESSAGE"] | UnsetType = UNSET
    squash_merge_commit_message: Literal["PR_BODY", "COMMIT_MESSAGES", "BLANK"] | UnsetType = UNSET
    squash_merge_commit_title: Literal["PR_TITLE", "COMMIT_OR_PR_TITLE"] | UnsetType = UNSET
    web_commit_signoff_required: bool | UnsetType = UNSET


class Security(Struct, frozen=True, forbid_unknown_fields=True):
    """GitHub's own scanners, which a private repository may have to pay for."""

    secret_scanning: Switch | UnsetType = UNSET
    secret_scanning_push_protection: Switch | UnsetType = UNSET


class Dependabot(Struct, frozen=True, forbid_unknown_fields=True):
    """Told of known holes, and pull requests that close them."""

    alerts: bool
    security_updates: bool


class Repository(Struct, frozen=True, forbid_unknown_fields=True):
    """repository.yml."""

    actions: Actions
    dependabot: Dependabot
    options: Options = field(default_factory=Options)
    security: Security = field(default_factory=Security)


class Settings(Struct, frozen=True):
    """All of .github/settings."""

    app: App
    repository: Repository
    rulesets: tuple[Ruleset, ...]
    environments: dict[str, Environment]
    labels: tuple[Label, ...]


def load(root: Path) -> Settings:
    """Read the five files; raises InputError with file, key and reason."""
    folder = Path(root) / FOLDER
    settings = Settings(
        app=_read(folder / "app.yml", App),
        repository=_read(folder / "repository.yml", Repository),
        rulesets=_read(folder / "rulesets.yml", tuple[Ruleset, ...]),
        environments=_read(folder / "environments.yml", dict[str, Environment]),
        labels=_read(folder / "labels.yml", tuple[Label, ...]),
    )
    _consistent(settings)
    return settings


def _read(path: Path, shape: type[T]) -> T:
    shown = FOLDER / path.name
    try:
        return msgspec.convert(yaml.safe_load(path.read_text("utf-8")), type=shape)
    except OSError as error:
        raise InputError(f"{shown}: {error.strerror}; {DOCUMENT} says what it is for") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{shown}: is not YAML: {' '.join(str(error).split())}") from error
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `$")
        key = place.removesuffix("`").lstrip(".") or "the whole of it"
        raise InputError(f"{shown}: {key}: {reason[:1].lower() + reason[1:]}; {DOCUMENT} has the words") from error


def _consistent(settings: Settings) -> None:
    """What types cannot say; raises InputError."""
    _labels(settings.labels)
    _once("rulesets", [each.name for each in settings.rulesets])
    for ruleset in settings.rulesets:
        place = f"{FOLDER / 'rulesets.yml'}: {ruleset.name}"
        types = [rule.type for rule in ruleset.rules]
        if twice := next((each for each in types if types.count(each) > 1), None):
            raise InputError(f"{place}: rules: {twice}: is there twice; leave one")
        for actor in ruleset.bypass_actors:
            if sum(map(bool, (actor.app, actor.team, actor.user, actor.role))) != 1:
                raise InputError(f"{place}: bypass_actors: each names one of app, team, user, role")
    for name, environment in settings.environments.items():
        for reviewer in environment.reviewers or ():
            if bool(reviewer.team) == bool(reviewer.user):
                raise InputError(f"{FOLDER / 'environments.yml'}: {name}: reviewers: each names one of team, user")


def _labels(labels: tuple[Label, ...]) -> None:
    _once("labels", [each.name.lower() for each in labels])
    for label in labels:
        place = f"{FOLDER / 'labels.yml'}: {label.name}"
        if not re.fullmatch(r"[0-9a-f]{6}", label.color):
            raise InputError(f"{place}: color: {label.color!r} is not six hex digits in small letters")
        if len(label.description) > 100:
            raise InputError(f"{place}: description: GitHub takes 100 characters at most")


def _once(name: str, names: list[str]) -> None:
    if twice := next((each for each in names if names.count(each) > 1), None):
        raise InputError(f"{FOLDER / name}.yml: {twice}: is there twice; leave one")
