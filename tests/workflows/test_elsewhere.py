"""Another repository calls a reusable workflow of this one by its commit: what runs is in the caller's own copy."""

import pytest

from release import pin
from tests.workflows import act, payloads
from tests.workflows.site import git

TEMPLATE = "template-owner/template"
CALLER = """\
name: caller
on:
  workflow_dispatch:
permissions: {{}}
jobs:
  promote:
    uses: {template}/.github/workflows/promote.yml@{commit}
    permissions:
      attestations: read
      contents: read
      packages: read
    with:
      environment: staging
      pin: {pin}
      image: {image}
    secrets:
      RELEASE_APP_PRIVATE_KEY: ${{{{ secrets.RELEASE_APP_PRIVATE_KEY }}}}
"""


@pytest.fixture
def template(prototype, tmp_path):
    """The template at the commit that is called, in a folder of its own."""
    folder = tmp_path / "template"
    git(tmp_path, "clone", "-q", str(prototype), str(folder))
    for file in (folder / ".github/workflows").glob("*.yml"):
        file.write_text(act.lower(file.read_text()))
    return folder, git(folder, "rev-parse", "HEAD")


def test_a_promotion_called_by_commit_from_another_repository(lab, template):
    folder, commit = template
    released = lab.publish(0.0)
    for file in (lab.site.work / ".github/workflows").glob("*.yml"):
        file.unlink()
    text = CALLER.format(template=TEMPLATE, commit=commit, pin=released, image=lab.image)
    lab.site.write(".github/workflows/caller.yml", text)
    lab.site.push("Workflows of the template, by its commit")
    lab.elsewhere = {f"{TEMPLATE}@{commit}": folder}
    run = lab.run("caller", "workflow_dispatch", payloads.workflow_dispatch(lab.site.slug, "caller"))
    assert run.code == 0, run.text
    assert run.jobs == {"promote/promote/promote to staging": "success"}
    (pull,) = lab.hub.open_pulls()
    assert lab.numstat("main", pull.head) == [f"1\t1\t{pin.path('staging')}"]
    assert str(lab.site.pin("staging", pull.head)) == released
