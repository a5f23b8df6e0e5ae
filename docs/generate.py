"""Writes what is generated: the pages of docs/steps, parts of other pages, and schemas/.

    python docs/generate.py           write everything anew
    python docs/generate.py --check   write nothing; exit status 1 and the names of what is not up to date

Sources are the models and registries themselves, so a page cannot say what the program does not do. In a page, what
stands between `<!-- generated: NAME -->` and `<!-- end -->` belongs to this program.
"""

import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from textwrap import dedent

from schema_table import Table, cell

from offbus.durations import format_duration
from offbus.exits import Exit
from offbus.findings import CODES
from offbus.language.format import HeaderModel, InputModel, RetryModel, StepModel
from offbus.plugins import STEPS, installed
from offbus.step import StepType

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
OURS = "offbus"
"""The distribution whose types have pages here; what else is installed beside it has none."""
NOTICE = "<!-- Made by `make generate` from the step type itself. -->\n\n"
PART = re.compile(r"(<!-- generated: ([^>]+?) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def step_types() -> list[StepType]:
    """Our step types, by name."""
    registry = installed()
    names = (name for name in registry.names(STEPS) if _package(name) == OURS)
    return [registry.step_type(name) for name in names]


def _package(name: str) -> str:
    plugin = installed().plugin(STEPS, name)
    return plugin.package if plugin else ""


def step_page(step: StepType) -> str:
    """The page of one step type."""
    text = inspect.getdoc(step.run) or ""
    facts = [
        f"`{step.name}` is an **{step.kind.value}**; its timeout is {format_duration(step.timeout)} by default."
    ]
    if step.injects:
        facts.append("It injects a fault: it is never retried unless asked.")
    if step.background:
        facts.append(
            "It usually runs with `background: true`, and is stopped when the steps below have ended."
        )
    parts = [f"# {step.name}\n\n{NOTICE}{step.summary}\n\n{text}\n\n{' '.join(facts)}\n"]
    if step.examples:
        parts.append(
            "## Example\n\n```yaml\n" + "\n".join(_example(one) for one in step.examples) + "\n```\n"
        )
    parts.append(f"## Params (`with`)\n\n{Table(step.params)}")
    parts.append(f"## Outputs\n\n{Table(step.outputs, outputs=True)}")
    if step.metrics:
        parts.append(f"## Metrics\n\n{_metrics(step.metrics)}")
    return "\n".join(parts)


def _example(snippet: str) -> str:
    """A snippet as an item of `steps`."""
    text = dedent(snippet).strip()
    return text if text.startswith("- ") or "\n" in text else f"- {text}"


def _metrics(metrics: Mapping[str, str]) -> str:
    rows = "".join(f"| `metrics.{name}` | {kind} |\n" for name, kind in sorted(metrics.items()))
    return f"| name | type |\n| --- | --- |\n{rows}"


def step_index() -> str:
    """The table of all step types."""
    rows = [
        f"| [`{one.name}`]({one.name}.md) | {one.kind.value} | {cell(one.summary)} |" for one in step_types()
    ]
    return "| step type | kind | what it does |\n| --- | --- | --- |\n" + "\n".join(rows) + "\n"


def exit_codes() -> str:
    """The table of exit codes, from the members' docstrings."""
    texts = dict(
        re.findall(
            r"^    (\w+) = \d+\n    \"\"\"(.*?)\"\"\"", inspect.getsource(Exit), re.MULTILINE | re.DOTALL
        )
    )
    rows = "".join(f"| {one.value} | {cell(texts[one.name])} |\n" for one in Exit)
    return f"| exit status | meaning |\n| ---: | --- |\n{rows}"


def finding_codes() -> str:
    """The table of codes."""
    rows = "".join(f"| `{code}` | {cell(text)} |\n" for code, text in sorted(CODES.items()))
    return f"| code | what is wrong |\n| --- | --- |\n{rows}"


PARTS: Mapping[str, Callable[[], str]] = {
    "file keys": lambda: str(Table(HeaderModel)),
    "step keys": lambda: str(Table(StepModel)),
    "input keys": lambda: str(Table(InputModel)),
    "retry keys": lambda: str(Table(RetryModel)),
    "step types": step_index,
    "exit codes": exit_codes,
    "finding codes": finding_codes,
}


def filled(page: Path) -> str:
    """A page with its generated parts made anew. Raises KeyError for a part that nobody makes."""
    return PART.sub(
        lambda found: f"{found[1]}\n{part(found[2])}\n{found[4]}", page.read_text(encoding="utf-8")
    )


def part(name: str) -> str:
    """One part: `file PATH` shows a file of the repository, the others are tables."""
    kind, _, path = name.partition(" ")
    if kind != "file":
        return PARTS[name]()
    language = {".py": "python", ".yaml": "yaml"}[Path(path).suffix]
    return f"```{language}\n{(ROOT / path).read_text(encoding='utf-8')}```\n"


def schema(name: str) -> str:
    """A JSON schema, as the command prints it."""
    command = [sys.executable, "-m", "offbus", "schema", name]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def everything() -> Iterator[tuple[Path, str]]:
    """Every generated file with what belongs into it."""
    for step in step_types():
        yield DOCS / "steps" / f"{step.name}.md", step_page(step)
    for page in [ROOT / "README.md", *sorted(DOCS.glob("**/*.md"))]:
        if PART.search(page.read_text(encoding="utf-8")):
            yield page, filled(page)
    for name in ("scenario", "report", "journal"):
        yield ROOT / "schemas" / f"{name}.json", schema(name)


def stray(wanted: set[Path]) -> Iterator[Path]:
    """Pages of step types that are no more."""
    yield from (
        page for page in (DOCS / "steps").glob("*.md") if page not in wanted and page.stem != "README"
    )


def main() -> int:
    """Write or check."""
    wanted = dict(everything())
    old = {
        path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text
    }
    gone = set(stray(set(wanted)))
    if "--check" in sys.argv[1:]:
        for path in sorted(old | gone):
            print(f"not up to date: {path.relative_to(ROOT)} (run: make generate)")
        return 1 if old or gone else 0
    for path in old:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path], encoding="utf-8")
    for path in gone:
        path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
