"""Generates the pages of docs/steps, parts of other pages, schemas/, the roles of deploy/base and the C kernel lines.

    python docs/generate.py           write everything
    python docs/generate.py --check   write nothing; exit status 1 and the names of files that are not up to date

Sources are the models and registries themselves, so a page cannot say what the program does not do. In a page, this
program owns the text between `<!-- generated: NAME -->` and `<!-- end -->`.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from inspect import getsource
from pathlib import Path
from textwrap import dedent

from catalogue_tables import CATALOGUE_PARTS, drills
from kernel_lines import header
from modules import module_list
from proofs import Proof, ProofError, proof_text, proofs, refuse_unknown
from tables import keys, outputs, params, table

from offbus.cli.commands.schema import SCHEMAS, schema_text
from offbus.exits import Exit
from offbus.findings.codes import Code
from offbus.findings.explanation import Explanation as FindingExplanation
from offbus.findings.explanation import explanations
from offbus.language.explain import Explanation, explain
from offbus.language.format import HeaderModel, InputModel, MatrixModel, RetryModel, StepModel, StopModel
from offbus.plugins import STEPS, installed
from offbus.printable import printable
from offbus_agent.http.openapi import agent_document
from offbus_sandbox.responder.profiles import PROFILES, Mark, Profile
from offbus_steps.commands.fault_entry import xids_schema
from offbus_steps.gateway.openapi import gateway_document
from offbus_steps.kubernetes.rbac.roles import WHOSE, rendered

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
OURS = "offbus"
"""The distribution whose types have pages here; those of other installed packages have none."""
NOTICE = "<!-- Made by `make generate` from the step type itself. -->"
TESTS_OF = "tests of "
MODULES_OF = "modules of "
PART = re.compile(r"(<!-- generated: ([^>]+?) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def step_types() -> Iterator[Explanation]:
    """Our step types, by name."""
    registry = installed()
    for name in registry.names(STEPS):
        plugin = registry.plugin(STEPS, name)
        if plugin is not None and plugin.package == OURS:
            yield explain(registry.step_type(name), plugin)


def step_page(step: Explanation) -> str:
    """The page of one step type."""
    facts = [f"`{step.name}` is an **{step.kind}**; its timeout is {step.timeout} by default."]
    if step.injects:
        facts.append("It injects a fault: it is not retried unless `retry` asks for it.")
    if step.background:
        facts.append("It may run with `background: true`; it is stopped when the steps below have ended.")
    parts = [f"# {step.name}", NOTICE, step.summary, step.text, " ".join(facts)]
    if step.examples:
        parts += ["## Example", "```yaml\n" + "\n".join(map(_example, step.examples)) + "\n```"]
    parts += [
        "## Params (`with`)",
        params(step.params).rstrip(),
        "## Outputs",
        outputs(step.outputs).rstrip(),
    ]
    if step.metrics:
        rows = [
            (f"`metrics.{name}`", kind, step.meanings[name]) for name, kind in sorted(step.metrics.items())
        ]
        parts += ["## Metrics", table(["name", "type", "what it measures"], rows).rstrip()]
    return "\n\n".join(parts) + "\n"


def _example(snippet: str) -> str:
    """A snippet as an item of `steps`."""
    text = dedent(snippet).strip()
    return text if text.startswith("- ") or "\n" in text else f"- {text}"


def step_index() -> str:
    """The table of all step types."""
    rows = [(f"[`{one.name}`]({one.name}.md)", one.kind, one.summary) for one in step_types()]
    return table(["step type", "kind", "what it does"], rows)


def exit_codes() -> str:
    """The table of exit codes, from the members' docstrings."""
    pattern = r'^    (\w+) = \d+\n    """(.*?)"""'
    texts = dict(re.findall(pattern, getsource(Exit), re.MULTILINE | re.DOTALL))
    return table(["exit status", "meaning"], [(str(one.value), texts[one.name]) for one in Exit])


def finding_codes() -> str:
    """The table of codes."""
    return table(
        ["code", "what is wrong"], [(f"[`{code}`]({_anchor(code)})", code.meaning) for code in sorted(Code)]
    )


def _anchor(code: Code) -> str:
    """How GitHub links to the code's section."""
    kept = re.sub(r"[^a-z0-9 _-]", "", f"{code.value}: {code.meaning}".lower())
    return f"#{kept.replace(' ', '-')}"


def finding_explanations() -> str:
    """A section for each code, as `offbus explain` shows it."""
    return "\n".join(_finding(one) for one in explanations().values())


def _finding(told: FindingExplanation) -> str:
    parts = [f"### {told.code.value}: {told.code.meaning}", told.what]
    if told.wrong is not None and told.right is not None:
        for title, text, command in (
            ("Wrong", told.wrong, told.wrong_command),
            ("Right", told.right, told.right_command),
        ):
            if told.wrong_command != told.right_command:
                parts += [f"{title}: `{command}`"]
            if title == "Wrong" or told.wrong != told.right:
                parts += [f"{title}:" if told.wrong != told.right else "with"]
                parts += ["```yaml\n" + "\n".join(map(printable, text.rstrip("\n").split("\n"))) + "\n```"]
    return "\n\n".join([*parts, told.fix]) + "\n"


def responder_profiles() -> str:
    """The stand-in's profiles: all rules of the one that was observed, and what differs in the others."""
    main = PROFILES["main-2026-08"]
    return "\n".join(_profile(one, main) for one in PROFILES.values())


def _profile(profile: Profile, main: Profile) -> str:
    rules = [
        (name, rule.says, f"{rule.mark}: {rule.source}", ", ".join(f"`{key}`" for key in rule.sets))
        for name, rule in profile.rules.items()
        if profile is main or (rule.mark is not Mark.ASSUMED and rule != main.rules[name])
    ]
    parts = [f"### `{profile.name}`", f"Plays {profile.summary}."]
    if rules:
        parts += [table(["about", "rule", "how it is known", "settings"], rules).rstrip()]
    if profile.lacks:
        parts += ["Not played:", "\n".join(f"- {one}" for one in profile.lacks)]
    return "\n\n".join(parts) + "\n"


PARTS: Mapping[str, Callable[[], str]] = {
    "file keys": lambda: keys(HeaderModel),
    "step keys": lambda: keys(StepModel),
    "input keys": lambda: keys(InputModel),
    "matrix keys": lambda: keys(MatrixModel),
    "retry keys": lambda: keys(RetryModel),
    "stop keys": lambda: keys(StopModel),
    "options of local": lambda: keys(installed().environment_type("local").options),
    "guards of local": lambda: keys(installed().environment_type("local").guards),
    "step types": step_index,
    "responder profiles": responder_profiles,
    "exit codes": exit_codes,
    "finding codes": finding_codes,
    "finding explanations": finding_explanations,
    **CATALOGUE_PARTS,
}


def filled(page: Path) -> str:
    """A page with its parts generated. Raises KeyError for an unknown part."""
    return PART.sub(
        lambda found: f"{found[1]}\n{part(found[2])}\n{found[4]}", page.read_text(encoding="utf-8")
    )


@cache
def marked() -> Mapping[str, list[Proof]]:
    """The tests that are marked."""
    return proofs(ROOT)


def part(name: str) -> str:
    """One part: `file PATH` shows a file of the repository, `modules of FOLDER` what each of its modules is for,
    `tests of NAME` marked tests; the others are tables."""
    if name in PARTS:
        return PARTS[name]()
    if name.startswith(TESTS_OF):
        return proof_text(name.removeprefix(TESTS_OF), marked(), ROOT)
    if name.startswith(MODULES_OF):
        return module_list(ROOT, name.removeprefix(MODULES_OF))
    path = name.removeprefix("file ")
    language = {".py": "python", ".yaml": "yaml"}[Path(path).suffix]
    return f"```{language}\n{(ROOT / path).read_text(encoding='utf-8')}```\n"


def everything() -> Iterator[tuple[Path, str]]:
    """Every generated file with its text. Raises ProofError."""
    pages = [page.read_text(encoding="utf-8") for page in (DOCS / "guarantees.md", DOCS / "timers.md")]
    names = (found[2] for text in pages for found in PART.finditer(text))
    refuse_unknown(marked(), (name.removeprefix(TESTS_OF) for name in names))
    for step in step_types():
        yield DOCS / "steps" / f"{step.name}.md", step_page(step)
    for page in [ROOT / "README.md", *sorted(DOCS.glob("**/*.md"))]:
        if PART.search(page.read_text(encoding="utf-8")):
            yield page, filled(page)
    for whose in WHOSE:
        yield ROOT / "deploy" / "base" / f"{whose}-roles.yaml", rendered(whose)
    yield ROOT / "shim" / "kmsg_helper" / "kernel_lines.h", header()
    yield ROOT / "steps/offbus_steps/commands/data/drills.json", drills(ROOT)
    yield ROOT / "schemas" / "xids.json", json.dumps(xids_schema(), indent=2, ensure_ascii=False) + "\n"
    for name, document in (("agent", agent_document()), ("gateway", gateway_document())):
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        yield ROOT / "schemas" / f"{name}.openapi.json", text
    for name in SCHEMAS:
        yield ROOT / "schemas" / f"{name}.json", schema_text(name, is_published=True)


def stray(wanted: set[Path]) -> Iterator[Path]:
    """Pages of step types that no longer exist."""
    yield from (
        page for page in (DOCS / "steps").glob("*.md") if page not in wanted and page.stem != "README"
    )


def main() -> int:
    """Write or check."""
    try:
        wanted = dict(everything())
    except ProofError as err:
        print(err)
        return 1
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
