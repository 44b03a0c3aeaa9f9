"""The registry of e2e: what `release push` does, and what only a test does, have it lose an image."""

from release import registry
from release.distribution import Repository
from release.oci import Layout


class Registry:
    """A registry that takes pushes without a token, or with REGISTRY_TOKEN: http://host:port or https://host."""

    def __init__(self, address: str) -> None:
        self.address = address if "://" in address else f"https://{address}"

    def push(self, layout: Layout, digest: str, name: str) -> int:
        """Push the image of this digest under a repository's name; gives the bytes that had to be sent."""
        return registry.push(layout, digest, self._of(name)).bytes

    def has(self, name: str, digest: str) -> bool:
        """Is the image there?"""
        return registry.has(self._of(name), digest)

    def forget(self, name: str, digest: str) -> None:
        """Have it lose an image."""
        self._of(name).ask("DELETE", f"manifests/{digest}", fine=(202,))

    def _of(self, name: str) -> Repository:
        return Repository.at(f"{self.address}/{name}")
