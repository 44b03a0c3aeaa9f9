"""Blue/green: all traffic at once, to pods that are all there, and back at once."""

from contracts.budgets import Budgets
from release.derived import analysis
from release.derived.canary import COMPONENTS, HASHES
from release.derived.identity import Identity
from release.derived.text import component, rollout_patch


def files(budgets: Budgets, identity: Identity) -> dict[str, str]:
    """The component strategy-bluegreen of an environment."""
    arguments = "".join(
        f"      - {{name: {name}, valueFrom: {{podTemplateHashValue: {which}}}}}\n" for name, which in HASHES.items()
    )
    operations = f"""\
# After the switch it is measured for {budgets.blue_green.observe_seconds} s; if it is bad, all traffic goes back.
- op: add
  path: /spec/strategy/blueGreen/scaleDownDelaySeconds
  value: {budgets.blue_green.keep_seconds}
- op: add
  path: /spec/strategy/blueGreen/prePromotionAnalysis
  value:
    templates: [{{templateName: {analysis.SEEN}}}]
    args: [{{name: {analysis.CANARY}, valueFrom: {{podTemplateHashValue: Latest}}}}]
- op: add
  path: /spec/strategy/blueGreen/postPromotionAnalysis
  value:
    templates: [{{templateName: {analysis.OBSERVED}}}, {{templateName: {analysis.FLOOR}}}]
    args:
{arguments}"""
    parts = [f"{COMPONENTS}/strategy-bluegreen", "../analysis"]
    return {
        "strategy-bluegreen/kustomization.yaml": component(components=parts, patches=rollout_patch(operations)),
    }
