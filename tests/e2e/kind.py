"""A cluster to try it on, by kind: one node, a registry beside it, Argo CD, Argo Rollouts and Prometheus from gitops/platform.

    python -m tests.e2e.kind        makes it, or what is missing of it, and prints what `make e2e` wants to know

Needs docker, kind, kubectl and a way to the images' registries.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAME, REGISTRY, PORT = "e2e", "e2e-registry", 5001
REGISTRY_IMAGE = "docker.io/library/registry:3"
CONFIGURATION = """\
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
containerdConfigPatches:
  - |-
    [plugins."io.containerd.grpc.v1.cri".registry]
      config_path = "/etc/containerd/certs.d"
"""
CONTROLLERS = ("argo-cd", "argo-rollouts", "prometheus")
NEEDED = ("docker", "kind", "kubectl")


def run(*command: str, data: str | None = None, check: bool = True) -> str:
    """Run a program; its own words are the reason when it fails."""
    done = subprocess.run(command, input=data, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise SystemExit(f"cluster: {' '.join(command[:4])}: {done.stderr.strip()[-600:]}")
    return done.stdout.strip() if done.returncode == 0 else ""


def apply(*arguments: str, tries: int = 2) -> None:
    """Apply server-side; a second time for what needed a kind that the first made."""
    for number in range(tries):
        command = ("kubectl", "apply", "--server-side", "--force-conflicts", *arguments)
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return
        if number == tries - 1:
            run(*command)


def main() -> int:
    """Make what is missing."""
    if missing := [name for name in NEEDED if not shutil.which(name)]:
        print(f"cluster: {missing[0]}: is not on PATH; any other cluster does as well (docs/e2e.md)", file=sys.stderr)
        return 2
    if not run("docker", "info", "--format", "{{.ServerVersion}}", check=False):
        print("cluster: docker: its daemon does not run", file=sys.stderr)
        return 2
    if not run("docker", "ps", "-q", "-f", f"name={REGISTRY}"):
        run(
            "docker",
            "run",
            "-d",
            "--restart=always",
            "-p",
            f"127.0.0.1:{PORT}:5000",
            "--name",
            REGISTRY,
            REGISTRY_IMAGE,
        )
    if NAME not in run("kind", "get", "clusters").split():
        run("kind", "create", "cluster", "--name", NAME, "--config", "-", "--wait", "120s", data=CONFIGURATION)
        run("docker", "network", "connect", "kind", REGISTRY, check=False)
    hosts = f'[host."http://{REGISTRY}:5000"]\n'
    for node in run("kind", "get", "nodes", "--name", NAME).split():
        place = f"/etc/containerd/certs.d/localhost:{PORT}"
        run("docker", "exec", "-i", node, "sh", "-c", f"mkdir -p {place} && cat > {place}/hosts.toml", data=hosts)
    kubeconfig = Path(tempfile.gettempdir()) / f"{NAME}.kubeconfig"
    kubeconfig.write_text(run("kind", "get", "kubeconfig", "--name", NAME))
    for name in CONTROLLERS:
        apply("--kubeconfig", str(kubeconfig), "-k", str(ROOT / "gitops/platform/controllers" / name))
    for namespace in ("argocd", "argo-rollouts"):
        wait = ("wait", "--for=condition=Available", "deployment", "--all", "--timeout=300s", "-n", namespace)
        run("kubectl", "--kubeconfig", str(kubeconfig), *wait)
    gateway = run("docker", "network", "inspect", "kind", "-f", "{{(index .IPAM.Config 0).Gateway}}")
    print(
        f"export KUBECONFIG={kubeconfig} E2E_REGISTRY=http://127.0.0.1:{PORT} E2E_PULL=localhost:{PORT} E2E_HOST={gateway}\n"
        "export E2E_PROMETHEUS=http://127.0.0.1:9090\n"
        "kubectl -n monitoring port-forward service/prometheus-operated 9090 &"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
