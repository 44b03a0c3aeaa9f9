"""The component `monitoring`: what the Prometheus operator and Grafana's sidecar read."""

import textwrap

import yaml

from contracts.budgets import Budgets
from release.derived import alerts, dashboards, panels
from release.derived.identity import Identity
from release.derived.rules import Alert, Group
from release.derived.text import HEADER, component, metadata

FOLDER = "monitoring"
# Expressions and dashboards are for programs; people read them in Prometheus and in Grafana.
LONG_LINES = "# yamllint disable rule:line-length\n"
SIDECAR = "grafana_dashboard"  # the label that Grafana's sidecar looks for, as its chart has it by default


def files(budgets: Budgets, identity: Identity) -> dict[str, str]:
    """Every file of the component, by its path below `derived/`."""
    written = {
        "podmonitor.yaml": _podmonitor(budgets, identity),
        "rules.yaml": _rules(alerts.groups(budgets, identity.namespace), identity),
        **{
            f"dashboard-{each.name}.yaml": _dashboard(each, identity)
            for each in dashboards.of(budgets, identity.namespace)
        },
    }
    written = {"kustomization.yaml": component(resources=sorted(written)), **written}
    return {f"{FOLDER}/{name}": text for name, text in written.items()}


def _podmonitor(budgets: Budgets, identity: Identity) -> str:
    return f"""\
{HEADER}# Every pod of the model, whichever Service sends to it: a canary is seen from its first second on.
# A shadow's pods, too: they have no hash, and are nobody's version by that.
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
{metadata("model", identity)}spec:
  selector:
    matchExpressions:
      - key: app.kubernetes.io/name
        operator: In
        values: [model, model-shadow]
  podTargetLabels:
    - rollouts-pod-template-hash # as rollouts_pod_template_hash: versions are told apart by it
  podMetricsEndpoints:
    - port: management
      path: /metrics
      interval: {budgets.monitoring.scrape_seconds}s
"""


def _rules(groups: tuple[Group, ...], identity: Identity) -> str:
    document = {"groups": [_group(group, identity) for group in groups]}
    return f"""\
{HEADER}{LONG_LINES}apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
{metadata("model", identity)}spec:
{textwrap.indent(_yaml(document), "  ")}"""


def _group(group: Group, identity: Identity) -> dict[str, object]:
    whose = identity.owner, identity.environment, identity.namespace, identity.pages
    return {
        "name": f"{identity.namespace}-{group.name}",
        "interval": group.interval,
        "rules": [rule.document(*whose) if isinstance(rule, Alert) else rule.document() for rule in group.rules],
    }


def _dashboard(dashboard: panels.Dashboard, identity: Identity) -> str:
    text = panels.text(dashboard, identity.namespace, (identity.part_of, identity.environment))
    labelled = metadata(f"dashboard-{dashboard.name}", identity)
    return f"""\
{HEADER}{LONG_LINES}apiVersion: v1
kind: ConfigMap
{labelled}    {SIDECAR}: "1"
data:
  {identity.namespace}-{dashboard.name}.json: |
{textwrap.indent(text, "    ")}"""


class _Dumper(yaml.SafeDumper):
    """As people write it: lists are indented, and text of several lines keeps them."""

    def ignore_aliases(self, data: object) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _written(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _written)


def _yaml(document: object) -> str:
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)
    return text
