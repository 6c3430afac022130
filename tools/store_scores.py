"""Store what the shipped models score on the examples, for tests/evaluation/test_regression.py.

    python tools/store_scores.py [MODEL ...]

Without names every shipped model is scored, and models that are shipped no more are dropped. Run
it only after a change that was meant to change the models' output, and say so in the commit.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from overtone.evaluation.regression import departures, regression_scores
from overtone.inference import list_models

ROOT = Path(__file__).resolve().parent.parent
STORE = ROOT / "tests" / "golden" / "scores.json"


def main() -> None:
    """Score and store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", help="default: every shipped model")
    chosen = parser.parse_args().models
    shipped = [info.name for info in list_models()]
    if unknown := sorted(set(chosen) - set(shipped)):
        parser.error(f"no shipped model {', '.join(unknown)}; shipped: {', '.join(shipped)}")
    old = json.loads(STORE.read_text(encoding="utf-8")) if STORE.exists() else {}
    new = {name: old[name] for name in shipped if name in old}
    for name in chosen or shipped:
        scores = regression_scores(name, ROOT / "examples")
        for line in departures(scores, old.get(name, {})):
            print(f"{name}: {line}")
        new[name] = {
            excerpt: {metric: round(value, 4) for metric, value in values.items()}
            for excerpt, values in scores.items()
        }
    STORE.parent.mkdir(exist_ok=True)
    STORE.write_text(json.dumps(new, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(f"wrote {STORE.relative_to(ROOT)}: {', '.join(sorted(new))}")


if __name__ == "__main__":
    main()
