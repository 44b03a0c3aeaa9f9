"""Good versions, one after the other, under load that never stops: nothing is lost, and shares are what was asked for."""

import time

import pytest

pytestmark = pytest.mark.cluster
PROMOTIONS = tuple(f"good-{number}" for number in range(2, 12))
LEAST = 50_000
POINTS = 0.05  # that a share may differ from its weight
SYNCED_AFTER = 6.0  # seconds after Argo CD was told until it has brought out a commit


def plateaus(watch, begin, weights):
    """When each weight stood: from its pause to the end of it."""
    found = []
    for place, weight in enumerate(weights):
        step = 1 + 3 * place  # setWeight, pause, analysis
        start = watch.first(lambda said, step=step: said.get("step") == step and said.get("paused"), begin)
        end = watch.first(lambda said, step=step: (said.get("step") or 0) > step, start or begin)
        if start and end:
            found.append((weight, start + 1.5, end))
    return found


def test_ten_promotions_lose_nothing(site, stable, load, figures):
    weights = list(site.repository.budgets(stable).canary.weights)
    begin = time.time() + 1
    runs, drift = [], []
    for name in PROMOTIONS:
        with site.watched(stable) as watch:
            before = site.running(stable)
            told = site.deliver(stable, name)
            healthy = site.arrive(stable, name)
        counts = load.between(told, healthy)
        first = next(
            (second["t"] for second in counts.seconds if site.images.digests[name][7:19] in second["answers"]), 0
        )
        shares = [(weight, counts.within(a, b).share(name), b - a) for weight, a, b in plateaus(watch, told, weights)]
        drift += [
            (name, at - told)
            for at, said in watch.changes
            if said.get("sync") == "OutOfSync" and at > told + SYNCED_AFTER
        ]
        runs.append(
            {
                "from": before,
                "to": name,
                "first_answer_s": round(first - told, 1),
                "healthy_s": round(healthy - told, 1),
                "shares": [{"weight": w, "share": round(s * 100, 2), "seconds": round(d, 1)} for w, s, d in shares],
                "lost": counts.summary()["lost"],
            }
        )
        if name == PROMOTIONS[0]:
            figures.put("picture: canary", site.picture(load, told - 5, healthy + 4, watch, before, name))
    while (total := load.between(begin, time.time()).summary())["requests"] < LEAST:
        continue
    found = {"promotions": len(runs), "total": total, "runs": runs, "seconds": round(time.time() - begin, 1)}
    found |= {"out_of_sync": drift, "weights": weights}
    figures.put("b: promotions", found)
    figures.put("i: synced while Rollouts works", {"seconds": found["seconds"], "out_of_sync": drift})
    assert total["lost"] == 0, total
    assert total["wrong"] == {}
    assert total["requests"] >= LEAST
    off = [run for run in runs for s in run["shares"] if abs(s["share"] - s["weight"]) > POINTS * 100]
    assert off == []
    assert all(len(run["shares"]) == len(weights) for run in runs)
    assert drift == []
