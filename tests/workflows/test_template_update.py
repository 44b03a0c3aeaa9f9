"""The template's update: by cruft, into one pull request; again, nothing more; a conflict makes a draft."""

import pytest

from tests import tips
from tests.workflows import payloads
from tests.workflows.site import git

TEMPLATE = "template-owner/tips"
TIPS = tips.DOCUMENT


@pytest.fixture
def generated(lab):
    """As if it came from a template of one document, at its first tag; the template has a second."""
    origin = lab.site.folder / "forge" / TEMPLATE
    work = lab.site.folder / "template"
    tips.write(work, {"v1.0.0": "One.\n", "v1.10.0": "One.\nTwo.\n"})
    git(lab.site.folder, "clone", "-q", "--bare", str(work), str(origin))
    lab.site.write(".cruft.json", tips.made_from(work, f"https://github.com/{TEMPLATE}", "v1.0.0"))
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
