"""The site that every scenario works on: made once, used in the order of the files' letters."""

from pathlib import Path

import pytest

from release import kustomize
from tests.e2e import settings
from tests.e2e.cluster import connected, wait
from tests.e2e.figures import Figures
from tests.e2e.forge import Forge
from tests.e2e.images import EVERYTHING, GOOD, Images
from tests.e2e.repository import Repository
from tests.e2e.site import Site, scratch
from tests.e2e.versions import questions

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = "staging"


@pytest.fixture(scope="session")
def figures() -> Figures:
    return Figures(ROOT)


@pytest.fixture(scope="session")
def site(figures):
    """Repository, images, platform and Argo CD; what an earlier run left is taken away."""
    if line := settings.missing():
        pytest.exit(f"e2e: {line}", returncode=2)
    said = settings.read()
    images = Images(ROOT, said.bundle, said.builder, said.base)
    images.make(said.versions or EVERYTHING)
    place = scratch(ROOT, said.keep)
    kept = place.is_dir()
    repository = Repository.at(place, said.host) if kept else Repository.clone(ROOT, place, said.host)
    with repository.served(said.host), connected() as cluster:
        made = Site(said, cluster, repository, images)
        if not kept:
            repository.settle(said.pull, measured=cluster.ask("apis/metrics.k8s.io") is not None)
            made.clear()
            made.install()
        figures.machine({"cluster": made.described(), "load_per_second": said.rate})
        yield made
        made.load.stop()


@pytest.fixture(scope="session")
def forge(site):
    """What Argo Rollouts notifies; it rolls back in git, and tells Argo CD of the merge."""
    made = Forge(site.repository, site.settings.host, site.tell)
    made.connect(kustomize.find().build(site.repository.root / "gitops/platform/controllers/notifications"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def stable(site, forge):
    """The environment with a good version in it, which Prometheus sees: a run that goes on leaves the one that is there.

    Another one would be a canary, which nobody asks anything yet: it would wait at the traffic floor.
    """
    if site.images.named_image(site.state(ENVIRONMENT).get("image")) not in GOOD:
        site.settled(ENVIRONMENT, "good-1")
    ready = site.state(ENVIRONMENT)["ready"]
    wait("Prometheus at E2E_PROMETHEUS to see the pods", lambda: site.scraped(ENVIRONMENT) >= ready, 60)
    return ENVIRONMENT


@pytest.fixture(scope="session")
def load(site, stable):
    """Load on the environment's Service `model`, from outside its namespace."""
    image = f"{site.repository.image}@{site.images.image('good-1')}"
    site.load.start(image, site.service(stable), 80, site.settings.rate, questions(site.images.model))
    return site.load
