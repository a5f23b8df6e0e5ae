"""`make bench-validate`: what `offbus validate` takes, by steps and by cells, beside another version when one is named.

Scenarios are of shipped step types, each step with an expectation; cells are those of one axis. Rounds are interleaved.
Told are medians, what one step and one cell more cost (linear: as much in the long file as in the short one), and,
with `--before`, this version's time to the other's, round by round.

    make bench-validate ARGS="--before ../before/.venv/bin/offbus"
"""

import argparse
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

from benchmarks.stopping import stoppable
from benchmarks.timing import Samples, Subject, interleaved

OFFBUS = str(Path(sys.executable).parent / "offbus")
STEPS = (20, 200, 1000)
CELLS = (1, 64, 256)
LINEAR_WITHIN = 1.5
"""One more of the longest file may cost this many times what one more of the file before costs."""
HEAD = """\
offbus: 1
name: bench
inputs: {requests: {type: integer, default: 2}}
environment: {uses: local}
timeout: 1h
"""
STEP = """\
  - id: s%d
    uses: verify_inference
    with: {requests: "${{ inputs.requests }}"}
    expect: ["outputs.success_rate >= 0.9", 'outputs.p95 < duration("2s")']
"""
DEPLOY = """\
steps:
  - {id: deploy, uses: deploy, with: {manifest: target.yaml}}
"""
TARGET = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: llm, namespace: drill-bench}
spec:
  selector: {matchLabels: {app: llm}}
  template:
    metadata: {labels: {app: llm}}
    spec: {containers: [{name: main, image: none, resources: {limits: {nvidia.com/gpu: 1}}}]}
"""


def scenario(folder: Path, steps: int, cells: int = 0) -> str:
    """Write a scenario of that many steps, and of that many cells if any; its path."""
    matrix = f"matrix: {{requests: {list(range(1, cells + 1))}}}\n" if cells else ""
    path = folder / f"{steps}-steps-{cells}-cells.yaml"
    path.write_text(HEAD + matrix + DEPLOY + "".join(STEP % number for number in range(steps - 1)))
    return str(path)


def subjects(folder: Path, before: str | None) -> list[Subject]:
    """Every file for this version, and those without a matrix for the other."""
    (folder / "target.yaml").write_text(TARGET)
    steps = {count: scenario(folder, count) for count in STEPS}
    ours = [Subject(f"{count} steps", [OFFBUS, "validate", path]) for count, path in steps.items()]
    ours += [Subject(f"{n} cells", [OFFBUS, "validate", scenario(folder, STEPS[0], n)]) for n in CELLS]
    if not before:
        return ours
    return ours + [
        Subject(f"before: {count} steps", [before, "validate", path]) for count, path in steps.items()
    ]


def growth(taken: dict[str, Samples], counts: tuple[int, ...], what: str) -> str:
    """What one more costs between each two of the counts, and whether it is linear."""
    costs = [
        taken[f"{longer} {what}s"].since(taken[f"{shorter} {what}s"], longer - shorter).median
        for shorter, longer in pairwise(counts)
    ]
    verdict = "ok" if costs[-1] <= LINEAR_WITHIN * costs[0] else "**over**"
    told = ", ".join(f"{cost * 1000:.3g} ms" for cost in costs)
    return f"One {what} more costs {told}: {costs[-1] / costs[0]:.2f} ×: {verdict}."


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", metavar="OFFBUS", help="the `offbus` of another version, to compare with")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    before = str(Path(options.before).resolve()) if options.before else None
    with tempfile.TemporaryDirectory(prefix="bench-", dir=Path(sys.prefix)) as name:
        folder = Path(name)
        taken = interleaved(subjects(folder, before), options.rounds, folder)
    for subject, samples in taken.items():
        low, high = samples.spread
        print(f"{subject:20} {samples.median * 1000:7.1f} ms ({low * 1000:.1f} to {high * 1000:.1f})")
    for count in STEPS if before else ():
        ratio = taken[f"before: {count} steps"].ratio(taken[f"{count} steps"])
        print(f"{count} steps: before took {ratio:.2f} × as long as now")
    print(growth(taken, STEPS, "step"))
    print(growth(taken, CELLS, "cell"))


if __name__ == "__main__":
    with stoppable():
        main()
