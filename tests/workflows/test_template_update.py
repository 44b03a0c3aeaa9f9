"""The template's update: by cruft, into one pull request; again, nothing more; a conflict makes a draft."""

import json

import pytest

from tests.workflows import payloads
from tests.workflows.site import git

TEMPLATE = "template-owner/tips"
TIPS = "docs/tips.md"


@pytest.fixture
def generated(lab):
    """As if it came from a template of one document, at its first tag; the template has a second."""
    origin = lab.site.folder / "forge" / TEMPLATE
    work = lab.site.folder / "template"
    place = work / "{{cookiecutter.repo_slug}}/docs"
    place.mkdir(parents=True)
    (work / "cookiecutter.json").write_text(json.dumps({"repo_slug": "x"}))
    for tag, text in (("v1.0.0", "One.\n"), ("v1.10.0", "One.\nTwo.\n")):
        (place / "tips.md").write_text(text)
        if tag == "v1.0.0":
            git(work, "init", "-q", "-b", "main")
        git(work, "add", "-A")
        git(work, "commit", "-q", "-m", tag)
        git(work, "tag", tag)
    git(lab.site.folder, "clone", "-q", "--bare", str(work), str(origin))
    address = f"https://github.com/{TEMPLATE}"
    context = {"cookiecutter": {"repo_slug": "x", "_template": address}}
    said = {"template": address, "commit": git(work, "rev-parse", "v1.0.0"), "checkout": "v1.0.0", "context": context}
    lab.site.write(".cruft.json", json.dumps(said | {"directory": None}, indent=2) + "\n")
    lab.site.write(TIPS, "One.\n")
    lab.site.push("Generated")
    return lab


def updated(lab):
    event = payloads.schedule(lab.site.slug, "43 4 * * 2")
    return lab.run("scheduled-template-update", "schedule", event)


@pytest.mark.slow
def test_a_newer_tag_becomes_one_pull_request(generated):
    run = updated(generated)
    assert run.code == 0, run.text
    assert "app-token contents pull-requests workflows" in run.said
    (pull,) = generated.hub.open_pulls()
    assert (pull.head, pull.title, pull.draft) == ("template-update", "Update from the template, v1.10.0", False)
    assert pull.labels == ["template-update"]
    origin = generated.site.origin
    assert git(origin, "diff", "--name-only", "main", pull.head).splitlines() == [".cruft.json", TIPS]
    assert git(origin, "show", f"{pull.head}:{TIPS}") == "One.\nTwo."
    head = git(origin, "rev-parse", pull.head)
    again = updated(generated)
    assert again.code == 0, again.text
    assert generated.hub.open_pulls() == [pull]
    assert git(origin, "rev-parse", pull.head) == head


@pytest.mark.slow
def test_a_conflict_makes_the_pull_request_a_draft_that_names_the_file(generated):
    generated.site.write(TIPS, "Ours.\n")
    generated.site.push("Our own tips")
    run = updated(generated)
    assert run.code == 0, run.text
    (pull,) = generated.hub.open_pulls()
    assert pull.draft
    assert TIPS in pull.body
