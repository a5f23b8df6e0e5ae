# ruff: noqa: E501  (a table: one case a line)
"""Every code: a file that has just that fault, marked ⟦…⟧ where the finding must point, and what it must say."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from offbus.findings.codes import Code
from offbus.findings.model import Severity
from tests.kits.language.drill_types import LocalOptions, drill, findings, load


class Case(NamedTuple):
    """A faulty file."""

    code: str
    text: str
    says: str
    advises: str | None = None
    """Part of the hint."""
    means: str | None = None
    """The suggestion."""
    overrides: dict[str, Any] = {}  # noqa: RUF012 (never changed)


def steps(text: str) -> str:
    return drill(text)


DEPLOY = "{id: a, uses: deploy}\n"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 10)}]\n" for n in range(3)
)

N = "inputs: {n: {type: integer, default: 1}}\n"
WHEN = "{id: a, uses: deploy, when: inputs.n > 0}\n"

CASES = {
    "control character": Case("OB100", "offbus: 1\nname: a⟦\x01⟧b\n", "U+0001", "remove it"),
    "does not begin like yaml": Case("OB102", "offbus: 1\nname: ⟦@⟧x\n", "cannot start any token", "must be quoted"),
    "never closed": Case("OB102", "offbus: 1\nname: x\nsteps: ⟦[⟧1, 2\n", "which began on line 3", "closed"),
    "colon in a text": Case("OB102", "offbus: 1\nname: a⟦:⟧ b\n", "mapping values are not allowed", "must be quoted"),
    "alias of nothing": Case("OB102", drill(DEPLOY, "summary: ⟦*x⟧\n"), "*x has no anchor", "must be quoted"),
    "unquoted expression in braces": Case(
        "OB103", steps("{id: i, uses: ask, with: {node: ⟦n-${{ '}' }}⟧, rate: 2.0}}"), "{ begins a mapping", "quote it: \"n-${{ '}' }}\"",
    ),
    "unquoted expression in brackets": Case("OB103", drill(DEPLOY, "inputs: {ns: {type: string, default: x}}\nguards: {namespaces: [⟦${{ inputs.ns }}⟧, b]}\n"), "not YAML", 'quote it: "${{ inputs.ns }}"'),
    "tab": Case("OB104", "offbus: 1\nsteps:\n⟦\t⟧- a\n", "a tab indents this line", "spaces"),
    "second document": Case("OB105", drill(DEPLOY) + "⟦---⟧\noffbus: 1\n", "second document", "file of its own"),
    "key twice": Case("OB106", drill(DEPLOY, "⟦name⟧: y\n"), "'name' occurs twice here, first on line 2", "remove one"),
    "key twice in params": Case("OB106", steps("{id: a, uses: ask, with: {rate: 1.0, ⟦rate⟧: 2.0}}"), "'rate' occurs twice"),
    "boolean of 1.1": Case("OB107", steps("{id: a, uses: ask, with: {env: {A: ⟦on⟧}}}"), "YAML 1.1 reads on as true", 'write "on"'),
    "boolean of 1.1 where a boolean is wanted": Case("OB107", steps("{id: a, uses: deploy, always: ⟦Yes⟧}"), "reads Yes as true", "or true"),
    "boolean of 1.1 beside the key `on`": Case("OB107", steps("{id: a, uses: ask, retry: {on: [failed]}, with: {env: {on: ⟦on⟧}}}"), "reads on as true"),
    "boolean of 1.1 as a key": Case("OB107", steps("{id: a, uses: ask, with: {env: {⟦no⟧: x}}}"), "reads no as false"),
    "octal": Case("OB108", steps("{id: a, uses: ask, with: {rate: ⟦010⟧}}"), "010 looks octal", "without the leading 0"),
    "octal of 1.2": Case("OB108", steps("{id: a, uses: ask, with: {rate: ⟦0o17⟧}}"), "looks octal"),
    "binary": Case("OB108", steps("{id: a, uses: ask, with: {rate: ⟦0b11⟧}}"), "looks binary", "decimal"),
    "base 60": Case("OB108", drill(DEPLOY, "timeout: ⟦1:30⟧\n"), "reads 1:30 in base 60", "such as 90s"),
    "base 60 in an address": Case("OB108", steps("{id: a, uses: ask, with: {node: ⟦0000:30:00.0⟧}}"), "base 60", "for the text"),
    "underscores": Case("OB108", steps("{id: a, uses: ask, with: {rate: ⟦1_000⟧}}"), "reads 1_000 as a number", "without _"),
    "infinity": Case("OB108", steps("{id: a, uses: ask, with: {rate: ⟦.inf⟧}}"), "not a finite number"),
    "too large a number": Case("OB108", steps("{id: a, uses: ask, with: {rate: ⟦1e999⟧}}"), "too large for a double"),
    "alias of itself": Case("OB109", "offbus: 1\nname: &a [⟦*a⟧]\n", "inside the value"),
    "merge key": Case("OB110", drill("{id: a, uses: ask, with: {env: {⟦<<⟧: {A: b}}}}"), "merge keys", "write the keys out"),
    "tag": Case("OB111", drill(DEPLOY, "summary: ⟦!!str 3⟧\n"), "the YAML tag !!str is not allowed", "quote what is text"),
    "tag that runs code": Case("OB111", drill(DEPLOY, "summary: ⟦!!python/object/apply:os.system [id]⟧\n"), "!!python/object/apply:os.system"),
    "key that is no text": Case("OB113", steps("{id: a, uses: ask, with: {env: {⟦1⟧: x}}}"), "this one is 1", "quote it"),
    "key that is a list": Case("OB113", drill(DEPLOY, "? ⟦[a]⟧\n: b\n"), "this one is a list"),
    "list instead of a mapping": Case("OB114", "⟦-⟧ a\n", "not a mapping", "offbus: 1"),
    "no version": Case("OB200", "⟦name⟧: x\n", "version is missing", "begin the file with offbus: 1"),
    "another version": Case("OB200", "offbus: ⟦2⟧\nwhatever: 1\n", "version 2 is unknown", "reads offbus: 1"),
    "version as text": Case("OB200", drill(DEPLOY).replace("offbus: 1", "offbus: ⟦'1'⟧"), "'1' is unknown"),
    "missing name": Case("OB201", "⟦offbus⟧: 1\nsteps:\n  - {id: a, uses: deploy}\n", "needs the key 'name'", "Short name"),
    "missing id": Case("OB201", steps("{⟦uses⟧: deploy}"), "needs the key 'id'"),
    "missing param": Case("OB201", steps("{id: d, uses: deploy}\n{id: a, uses: ⟦inject⟧, with: {}}"), "step type inject needs the key 'xid'", "The XID"),
    "missing param without with": Case("OB201", steps("{id: d, uses: deploy}\n{id: a, uses: ⟦inject⟧}"), "needs the key 'xid'"),
    "missing key in a param": Case("OB201", steps("{id: a, uses: deploy, with: {existing: {⟦kind⟧: D}}}"), "existing needs the key 'name'"),
    "unknown key": Case("OB202", f"offbus: 1\nname: x\n⟦sumary⟧: y\nsteps:\n  - {DEPLOY}", "no key 'sumary'", "allowed: environment, expect", "summary"),
    "misspelt key that is required": Case("OB202", steps("{id: a, uses: hold, with: {⟦exrp⟧: node.cordoned, for: 1s}}"), "no key 'exrp'", "expr, for", "expr"),
    "unknown key of a step": Case("OB202", steps("{id: a, uses: deploy, ⟦timout⟧: 1m}"), "step a has no key 'timout'", "background", "timeout"),
    "unknown param": Case("OB202", steps("{id: a, uses: ask, with: {⟦rat⟧: 1}}"), "step type ask has no key 'rat'", "allowed: env, hint, node", "rate"),
    "unknown key in a param": Case("OB202", steps("{id: a, uses: deploy, with: {existing: {kind: D, name: x, ⟦nam⟧: y}}}"), "existing has no key 'nam'", "kind", "name"),
    "param of a type without params": Case("OB202", steps("{id: a, uses: await_cordon, with: {⟦x⟧: y}}"), "no key 'x'", "takes no keys"),
    "text for a number": Case("OB203", steps("{id: a, uses: ask, with: {rate: ⟦'50'⟧}}"), "rate: must be a number, and this is the text '50'", "without quotes"),
    "expression that comes to a number for text": Case("OB203", drill('{id: a, uses: ask, with: {node: ⟦"${{ inputs.n }}"⟧}}', "inputs: {n: {type: integer, default: 3}}\n"), "must be text, and this is the integer 3"),
    "number for text": Case("OB203", steps("{id: a, uses: ask, with: {env: {A: ⟦1⟧}}}"), "env.A: must be text, and this is the integer 1", 'quote it if text is meant: "1"'),
    "text for a boolean": Case("OB203", steps('{id: a, uses: deploy, always: ⟦"yes"⟧}'), "must be true or false"),
    "integer for a boolean": Case("OB203", steps("{id: a, uses: deploy, always: ⟦1⟧}"), "must be true or false"),
    "text for a list": Case("OB203", steps(DEPLOY + "{id: b, uses: deploy, needs: ⟦a⟧}"), "must be a list", "write [a]"),
    "boolean for an expectation": Case("OB203", steps("{id: a, uses: ask, expect: [⟦true⟧]}"), "must be text", "quote it"),
    "fraction for an integer": Case("OB203", steps(DEPLOY + "{id: b, uses: inject, with: {xid: ⟦79.0⟧}}"), "must be an integer"),
    "neither of two types": Case("OB203", steps("{id: a, uses: ask, with: {size: ⟦true⟧}}"), "must be an integer or a duration"),
    "step that is no mapping": Case("OB203", steps("⟦deploy⟧"), "a step must be a mapping", "uses"),
    "not one of a few": Case("OB204", steps(DEPLOY + "{id: b, uses: inject, with: {xid: 1, planes: [kernel, ⟦kuda⟧]}}"), "planes[1]: the text 'kuda' is not allowed", "kernel, cuda, nvml", "cuda"),
    "not in an enumeration": Case("OB204", steps("{id: b, uses: deploy, with: {backend: ⟦vlm⟧}}"), "the text 'vlm'", "vllm, sglang", "vllm"),
    "too large": Case("OB204", steps(DEPLOY + "{id: b, uses: inject, with: {xid: ⟦500⟧}}"), "less than or equal to 200"),
    "no steps": Case("OB204", "offbus: 1\nname: x\nsteps: ⟦[]⟧\n", "must have at least 1, and this has 0"),
    "no time": Case("OB204", steps("{id: a, uses: deploy, timeout: ⟦0s⟧}"), "longer than 0"),
    "no attempts": Case("OB204", steps("{id: a, uses: deploy, retry: {attempts: ⟦0⟧}}"), "retry.attempts"),
    "not a duration": Case("OB205", steps("{id: a, uses: deploy, timeout: ⟦3x⟧}"), "'3x' is not a duration", None),
    "duration without unit": Case("OB205", steps("{id: a, uses: deploy, timeout: ⟦30⟧}"), "must be a duration, and this is the integer 30", '"90s"'),
    "duration out of order": Case("OB205", steps(DEPLOY + "{id: b, uses: inject, with: {xid: 1, ttl: ⟦1s2h⟧}}"), "from large to small"),
    "plain timedelta without unit": Case("OB205", steps(DEPLOY + "{id: b, uses: inject, with: {xid: 1, wait: ⟦30⟧}}"), "must be a duration", '"90s"'),
    "plain timedelta with nonsense": Case("OB205", steps(DEPLOY + "{id: b, uses: inject, with: {xid: 1, wait: ⟦soon⟧}}"), "must be a duration"),
    "capital in an id": Case("OB206", steps("{id: ⟦Deploy⟧, uses: deploy}"), "id: 'Deploy' is not allowed", "^[a-z]"),
    "line end in an id": Case("OB206", steps('{id: ⟦"a\\n"⟧, uses: deploy}'), "is not allowed"),
    "keyword as an id": Case("OB206", steps("{id: ⟦in⟧, uses: deploy}"), "keyword of CEL", "another id"),
    "keyword as an input": Case("OB206", drill(DEPLOY, "inputs: {⟦for⟧: {type: integer, default: 1}}\n"), "an input cannot be called 'for'"),
    "path as a name": Case("OB206", f"offbus: 1\nname: ⟦../x⟧\nsteps:\n  - {DEPLOY}", "name: '../x'"),
    "same id": Case("OB301", steps(DEPLOY + "{id: ⟦a⟧, uses: deploy}"), "a step 'a' already, on line 4", "unique"),
    "unknown type": Case("OB302", steps("{id: a, uses: ⟦deplay⟧}"), "no step type 'deplay'", "offbus steps", "deploy"),
    "broken type": Case("OB303", steps("{id: a, uses: ⟦broken⟧}"), "acme-drills 2.1 cannot be loaded: ModuleNotFoundError", "uninstall acme-drills"),
    "unknown need": Case("OB304", steps("{id: first, uses: deploy}\n{id: b, uses: deploy, needs: [⟦frist⟧]}"), "no step 'frist'", None, "first"),
    "unknown need of a step that takes an output": Case("OB304", steps("{id: first, uses: deploy}\n{id: b, uses: inject, needs: [⟦frist⟧], with: {xid: 1}}\n{id: c, uses: inject, with: {xid: 1}}"), "no step 'frist'", None, "first"),
    "cycle that cuts off an output": Case("OB305", steps("{id: d, uses: deploy, needs: [⟦i⟧]}\n{id: i, uses: inject, with: {xid: 1}}"), "d → i → d"),
    "merge key with what is required": Case("OB110", "offbus: 1\nname: x\ninputs:\n  a: &a {type: integer, default: 1}\n  b: {⟦<<⟧: *a}\nsteps:\n  - {id: a, uses: deploy}\n", "merge keys"),
    "cycle": Case("OB305", steps("{id: a, uses: deploy, needs: [⟦c⟧]}\n{id: b, uses: deploy, needs: [a]}\n{id: c, uses: deploy, needs: [b]}"), "a → c → b → a", "remove one"),
    "cycle through a default": Case("OB305", steps("{id: a, uses: deploy, needs: [⟦b⟧]}\n{id: b, uses: deploy}"), "a → b → a"),
    "needs itself": Case("OB305", steps("{id: a, uses: deploy, needs: [⟦a⟧]}"), "needs itself"),
    "nobody outputs it": Case("OB306", steps("{id: a, uses: deploy}\n{id: b, uses: ⟦inject⟧, needs: [], with: {xid: 1}}"), "no ancestor of step 'b' outputs 'target'", "let it need one of: a"),
    "two output it": Case("OB307", steps("{id: a, uses: deploy}\n{id: b, uses: deploy}\n{id: c, uses: ⟦inject⟧, with: {xid: 1}}"), "several ancestors output 'target': a, b", "steps.b.outputs.target"),
    "cleanup of a later step": Case("OB308", steps(DEPLOY + "{id: c, uses: cleanup, with: {steps: [a, ⟦z⟧]}}\n{id: z, uses: deploy}"), "'z': it is not an ancestor", "ancestors: a"),
    "cleanup of nothing": Case("OB308", steps(DEPLOY + "{id: c, uses: cleanup, with: {steps: [⟦b⟧]}}"), "it does not exist"),
    "cleanup of itself": Case("OB308", steps(DEPLOY + "{id: c, uses: cleanup, with: {steps: [⟦c⟧]}}"), "is not an ancestor"),
    "cleanup of who knows": Case("OB308", steps('{id: a, uses: inject, needs: [], with: {xid: 1, target: {kind: D, name: x}}}\n{id: c, uses: cleanup, with: ⟦{steps: ["${{ steps.a.outputs.node }}"]}⟧}'), "must name its steps"),
    "a file that is missing": Case("OB310", steps("{id: a, uses: read, with: {file: ⟦nowhere.txt⟧}}"), "nowhere.txt cannot be read", "a text file"),
    "background of what ends": Case("OB309", steps("{id: a, uses: deploy, ⟦background⟧: true}"), "deploy cannot run in the background", "leave `background` out"),
    "background and always": Case("OB309", steps("{id: a, uses: load, background: true, ⟦always⟧: true}"), "cannot be both"),
    "half an expression": Case("OB401", steps('{id: a, uses: ask, expect: ["outputs.ok &&⟦"⟧]}'), "ends too early"),
    "not an expression": Case("OB401", steps('{id: a, uses: ask, expect: ["outputs.ok ⟦=⟧ true"]}'), "not an expression", "compare with =="),
    "nested too deeply": Case("OB401", steps(f"{{id: a, uses: ask, expect: [\"⟦{'(' * 60}true{')' * 60}⟧\"]}}"), "recursion limit"),
    "unknown output": Case("OB402", steps("{id: a, uses: ask, expect: [⟦outputs.succes_rate⟧ > 0.5]}"), "no 'outputs.succes_rate'", "known outputs", "outputs.success_rate"),
    "unknown nested output": Case("OB402", steps(DEPLOY + '{id: b, uses: ask, when: "⟦steps.a.outputs.target.nam⟧ == \'x\'"}'), "target.nam'", None, "steps.a.outputs.target.name"),
    "unknown step": Case("OB402", steps(DEPLOY + "{id: b, uses: ask, when: ⟦steps.aa.outcome⟧ == 'passed'}"), "no step 'aa'", None, "steps.a.outcome"),
    "unknown metric": Case("OB402", drill("{id: c, uses: await_cordon}", "expect: [⟦metrics.time_to_cordn⟧ < duration('1m')]\n"), "no 'metrics.time_to_cordn'", "metrics.time_to_cordon", "metrics.time_to_cordon"),
    "unknown input": Case("OB402", drill('{id: a, uses: ask, with: {node: "${{ ⟦inputs.nod⟧ }}"}}', "inputs: {node: {type: string, default: x}}\n"), "no 'inputs.nod'", None, "inputs.node"),
    "unknown function": Case("OB402", steps("{id: a, uses: ask, expect: ['⟦sized⟧(\"x\") == 1']}"), "no function 'sized'"),
    "unquoted text": Case("OB402", steps(DEPLOY + "{id: a2, uses: ask, when: steps.a.outcome == ⟦passed⟧}"), "no name 'passed'", "a text needs quotes"),
    "own outputs in when": Case("OB402", steps("{id: a, uses: ask, when: ⟦outputs.ok⟧}"), "only in a step's own `expect`"),
    "step without outputs": Case("OB402", steps(DEPLOY + "{id: b, uses: ask, when: ⟦steps.a⟧ == 'x'}"), "steps.a is not a value", "steps.ID.outcome"),
    "step by index": Case("OB402", steps(DEPLOY + "{id: b, uses: ask, when: \"⟦steps⟧['a'].outcome == 'x'\"}"), "steps is not a value"),
    "steps in options": Case("OB402", drill(DEPLOY, 'environment: {uses: local, label: "${{ ⟦steps.a.outcome⟧ }}"}\n'), "no step has run yet"),
    "variable of a param": Case("OB402", steps("{id: a, uses: hold, with: {expr: ⟦node.cordned⟧, for: 1s}}"), "no 'node.cordned'", "node.cordoned", "node.cordoned"),
    "double and string": Case("OB403", steps("{id: a, uses: ask, expect: [\"outputs.success_rate ⟦>⟧ 'x'\"]}"), "`>` does not take double and string"),
    "duration and number": Case("OB403", steps("{id: a, uses: ask, expect: [outputs.latency ⟦<⟧ 60]}"), "`<` does not take duration and int", 'duration("60s")'),
    "double and int names": Case("OB403", drill("{id: l, uses: load}", "expect: [metrics.requests.success_rate ⟦<⟧ metrics.requests]\n"), "double and int", "convert one"),
    "element of a list": Case("OB403", steps("{id: a, uses: inject, needs: [], with: {xid: 1, target: {kind: a, name: b}}, expect: [\"outputs.gpus[0] ⟦==⟧ 1\"]}"), "`==` does not take string and int"),
    "whole object in a condition": Case("OB403", steps(DEPLOY + "{id: b, uses: ask, when: ⟦steps.a.outputs.target⟧ == 'x'}"), "a whole object", "target.FIELD"),
    "integer beside a double": Case("OB404", steps("{id: a, uses: ask, expect: [outputs.success_rate == ⟦1⟧]}"), "integer literal 1 beside a double", "write 1.0", "1.0"),
    "integer before a double": Case("OB404", steps("{id: a, uses: ask, expect: [⟦0⟧ < outputs.success_rate]}"), "integer literal 0", None, "0.0"),
    "negative integer": Case("OB404", steps("{id: a, uses: ask, expect: [outputs.success_rate > -⟦1⟧]}"), "integer literal 1", None, "1.0"),
    "later step": Case("OB405", steps("{id: a, uses: ask, when: ⟦steps.b.outcome⟧ == 'passed'}\n{id: b, uses: ask}"), "step 'b' is not an ancestor of step 'a'"),
    "sibling": Case("OB405", steps('{id: a, uses: deploy}\n{id: b, uses: ask, needs: [], with: {node: "x-${{ ⟦steps.a.outputs.target.name⟧ }}"}}'), "not an ancestor", "needs: [a]"),
    "itself": Case("OB405", steps("{id: a, uses: ask, expect: [⟦steps.a.outputs.ok⟧]}"), "this step itself", "outputs.NAME"),
    "number as a condition": Case("OB406", steps('{id: a, uses: ask, when: ⟦"1 + 1"⟧}'), "must be true or false, not int", "compare"),
    "text as a param's condition": Case("OB406", steps("{id: a, uses: hold, with: {expr: ⟦node.gpus⟧, for: 1s}}"), "not int"),
    "duration for an integer": Case("OB407", steps(DEPLOY + '{id: b, uses: inject, with: {xid: ⟦"${{ steps.a.outputs.took }}"⟧}}'), "xid: an expression of type duration does not fit", "convert it"),
    "object in a text": Case("OB407", steps(DEPLOY + '{id: b, uses: ask, with: {node: "n-${{⟦ steps.a.outputs.target ⟧}}"}}'), "a model cannot be put into a text", "use it alone"),
    "never ends": Case("OB408", steps('{id: a, uses: ask, with: {node: "n-⟦${{⟧ inputs.x"}}'), "has no }}", "close it"),
    "division by zero": Case("OB409", drill('{id: a, uses: deploy}\n{id: b, uses: inject, with: {xid: ⟦"${{ 79 / inputs.n }}"⟧}}', "inputs: {n: {type: integer, default: 0}}\n"), "divide by zero"),
    "has": Case("OB410", steps('{id: a, uses: ask, expect: ["has(⟦outputs.ok⟧)"]}'), "does not tell whether it was set", "outcome"),
    "broken function": Case("OB414", steps('{id: a, uses: ask, expect: ["1 == ⟦broken⟧(2)"]}'), "No module named 'no_such_module_of_acme'", "fix or uninstall acme-drills"),
    "metric of two types": Case("OB411", "offbus: 1\nname: x\n⟦steps⟧:\n  - {id: a, uses: await_cordon}\n  - {id: b, uses: odd_metric}\n", "'time_to_cordon' is duration for step type await_cordon and int for odd_metric"),
    "still running": Case("OB412", steps("{id: a, uses: load, background: true}\n{id: b, uses: ask, needs: [a], when: ⟦steps.a.outputs.ok⟧}"), "runs in the background and has not ended", "own `expect`"),
    "braces in a condition": Case("OB413", steps('{id: a, uses: ask, when: "⟦${{⟧ true }}"}'), "inside a condition", "leave ${{ and }} out"),
    "unknown environment": Case("OB501", drill(DEPLOY, "environment: {uses: ⟦lokal⟧}\n"), "no environment 'lokal'", "broken, far, local", "local"),
    "broken environment": Case("OB502", drill(DEPLOY, "environment: {uses: ⟦broken⟧}\n"), "acme-drills 2.1 cannot be loaded"),
    "unknown guard": Case("OB503", drill(DEPLOY, "guards: {⟦max_cordoned⟧: 1}\n"), "could not be enforced, so it is refused", "allowed: max_cordoned_nodes", "max_cordoned_nodes"),
    "missing guard": Case("OB201", drill(DEPLOY, "environment: {uses: far, context: x}\n⟦guards⟧: {}\n"), "guards of environment far needs the key 'owner'", "Who answers"),
    "unknown option": Case("OB202", drill(DEPLOY, "environment: {uses: local, ⟦node⟧: 1}\n"), "environment local has no key 'node'", "nodes", "nodes"),
    "missing option": Case("OB201", drill(DEPLOY, "environment: {uses: ⟦far⟧}\nguards: {owner: me}\n"), "environment far needs the key 'context'"),
    "default of another type": Case("OB505", drill(DEPLOY, "inputs: {x: {type: boolean, default: ⟦1⟧}}\n"), "1 is not of type boolean"),
    "default not allowed": Case("OB505", drill(DEPLOY, "inputs: {x: {type: string, default: ⟦a⟧, enum: [b]}}\n"), "'a' is not one of b"),
    "enum of another type": Case("OB505", drill(DEPLOY, "inputs: {x: {type: integer, default: 1, enum: [1, ⟦b⟧]}}\n"), "'b' is not of type integer"),
    "no value for an option": Case("OB506", drill(DEPLOY, 'inputs: {⟦x⟧: {type: string}}\nenvironment: {uses: local, label: "${{ inputs.x }}"}\n'), "has no value"),
    "no value for a guard": Case("OB506", drill(DEPLOY, 'inputs: {⟦x⟧: {type: string}}\nguards: {namespaces: ["${{ inputs.x }}"]}\n'), "has no value"),
    "no value": Case("OB506", drill(DEPLOY, "inputs: {⟦x⟧: {type: boolean}}\n"), "has no value", "--set x="),
    "unknown input type": Case("OB204", drill(DEPLOY, "inputs: {x: {type: ⟦int⟧, default: 1}}\n"), "inputs.x.type", "string, integer", "integer"),
    "axis that is no input": Case("OB601", drill(WHEN, N + "matrix: {⟦m⟧: [1], n: [1]}\n"), "no such input", "inputs: n"),
    "axis that is misspelt": Case("OB601", drill(WHEN, "inputs: {n: {type: integer, default: 1}, count: {type: integer, default: 1}}\nmatrix: {⟦cuont⟧: [1]}\n"), "no such input", "inputs: n, count", "count"),
    "axis without values": Case("OB204", drill(WHEN, N + "matrix: {n: ⟦[]⟧}\n"), "at least 1"),
    "axis that is no list": Case("OB203", drill(WHEN, N + "matrix: {n: ⟦3⟧}\n"), "matrix.n: must be a list"),
    "value of another type": Case("OB505", drill(WHEN, N + "matrix: {n: [1, ⟦x⟧]}\n"), "'x' is not of type integer"),
    "value that is not listed": Case("OB505", drill(WHEN, "inputs: {n: {type: integer, default: 1, enum: [1, 2]}}\nmatrix: {n: [2, ⟦3⟧]}\n"), "3 is not one of 1, 2"),
    "value twice": Case("OB604", drill(WHEN, N + "matrix: {n: [1, 2, ⟦1⟧]}\n"), "has 1 twice"),
    "cell twice": Case("OB604", drill(WHEN, N + "matrix: {⟦n⟧: [1, 2], include: [{n: 2}]}\n"), "the cells n-2 and n-2 have the same inputs", "leave one out"),
    "matrix without cells": Case("OB602", drill(WHEN, N + "matrix: {⟦fail_fast⟧: true}\n"), "has no cells", "give it an axis"),
    "all cells excluded": Case("OB602", drill(WHEN, N + "matrix: {⟦n⟧: [1], exclude: [{n: 1}]}\n"), "has no cells"),
    "too many cells": Case("OB603", drill(WHEN, N + "matrix: {⟦n⟧: [1, 2, 3], max_cells: 2}\n"), "has 3 cells, and 2 are allowed", "raise max_cells"),
    "excluded value that no axis has": Case("OB605", drill(WHEN, N + "matrix: {n: [1], exclude: [⟦{⟧n: 2}]}\n"), "no combination of the axes"),
    "excluded input that is no axis": Case("OB605", drill(WHEN, "inputs: {n: {type: integer, default: 1}, m: {type: integer, default: 1}}\nmatrix: {n: [1, 2], exclude: [{⟦m⟧: 1}]}\n"), "no axis of the matrix", "axes: n"),
    "entry that names nothing": Case("OB204", drill(WHEN, N + "matrix: {n: [1], include: [⟦{}⟧]}\n"), "names nothing"),
    "entry that is no mapping": Case("OB203", drill(WHEN, N + "matrix: {n: [1], include: [⟦3⟧]}\n"), "matrix.include[0]: must be a mapping"),
    "no room for a cell": Case("OB204", drill(WHEN, N + "matrix: {n: [1], max_parallel: ⟦0⟧}\n"), "greater than or equal to 1"),
}  # fmt: skip

ELSEWHERE = {"OB101", "OB112", "OB115", "OB311", "OB312", "OB415", "OB504", "OB507", "OB508", "OB606"}
"""Tested below, in test_bombs.py, test_matrix.py, test_inlined_scenarios.py or test_arithmetic.py: too large to be written out here, or without a place in the file."""


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_fault_is_found_at_its_place_and_nothing_else_is(case: Case, tmp_path: Path) -> None:
    before, _, rest = case.text.partition("⟦")
    marked, _, after = rest.partition("⟧")
    found = findings(tmp_path, before + marked + after, **case.overrides)
    assert [finding.code for finding in found] == [case.code], "\n".join(map(str, found))
    (finding,) = found
    line, column = before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1
    assert (finding.where.line, finding.where.column) == (line, column), finding
    assert case.says in finding.message
    assert finding.where.file == str(tmp_path / "drill.yaml")
    assert finding.frame == (before + marked + after).split("\n")[line - 1]
    if case.advises is not None:
        assert finding.hint is not None
        assert case.advises in finding.hint
    assert finding.suggestion == case.means


def test_every_code_has_a_test_that_reads_it() -> None:
    assert {case.code for case in CASES.values()} | ELSEWHERE == set(Code)


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "drill.yaml"
    path.write_bytes("offbus: 1\nname: é".encode() + b"\xff\n")
    from offbus.findings.invalid_scenario import InvalidScenario
    from offbus.language.load import load_scenario

    with pytest.raises(InvalidScenario) as caught:
        load_scenario(path)
    (finding,) = caught.value.findings
    assert (finding.code, finding.where.line, finding.where.column) == ("OB100", 2, 8)
    assert "0xff" in finding.message


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    (finding,) = findings(tmp_path, "offbus: 1\n" + "#" * (2 * 1024 * 1024))
    assert finding.code == "OB101"
    assert "2 MiB" in finding.message


def test_a_file_that_nests_too_deeply(tmp_path: Path) -> None:
    (finding,) = findings(tmp_path, "offbus: 1\nname: " + "[" * 100 + "]" * 100)
    assert (finding.code, finding.where.line, finding.where.column) == ("OB112", 2, 7 + 63)
    assert "64 levels" in finding.message
    (finding,) = findings(tmp_path, "offbus: 1\nname: " + "[" * 100_000)  # libyaml may refuse it before we do
    assert (finding.code, finding.where.line) == ("OB112", 2)
    assert "64 levels" in finding.message


def test_what_another_value_of_an_input_would_name_is_a_warning(tmp_path: Path) -> None:
    header = "inputs: {size: {type: string, default: small, enum: [small, large, huge]}}\n"
    text = drill('{id: a, uses: read, with: {file: "${{ inputs.size }}.txt"}}', header)
    for name in ("small", "huge"):
        (tmp_path / f"{name}.txt").write_text("good")
    (warning,) = load(tmp_path, text).warnings
    assert (warning.code, warning.severity) == ("OB310", Severity.WARNING)
    assert "with --set size=large: large.txt cannot be read" in warning.message
    assert warning.where.line == 5
    found = findings(tmp_path, text, sets={"size": "large"})
    assert [(finding.code, finding.severity) for finding in found] == [("OB310", Severity.ERROR)]


def test_aliases_that_explode(tmp_path: Path) -> None:
    (finding,) = [
        f for f in findings(tmp_path, "offbus: 1\n" + BOMB + "x: [*d, *d, *d]\n") if f.code == "OB109"
    ]
    assert "more than 10000 values" in finding.message


def test_a_set_of_no_input(tmp_path: Path) -> None:
    text = drill(DEPLOY, "inputs: {backend: {type: string, default: x}}\n")
    (finding,) = findings(tmp_path, text, sets={"bakend": "vllm"})
    assert (finding.code, str(finding.where)) == ("OB504", "--set bakend=vllm")
    assert finding.suggestion == "backend"


def test_an_option_of_no_environment(tmp_path: Path) -> None:
    (finding,) = findings(tmp_path, drill(DEPLOY), env_sets={"node": "3"})
    assert (finding.code, str(finding.where), finding.suggestion) == ("OB504", "--env-set node=3", "nodes")


@pytest.mark.parametrize("value", ["mine", '""', "[1]", '"${{ inputs.x }}"', '"${{ 1 + }}"'])
def test_an_option_that_is_the_users_alone(tmp_path: Path, value: str) -> None:
    header = f"inputs: {{x: {{type: string, default: y}}}}\nenvironment: {{uses: local, keys: {value}}}\n"
    found = [one for one in findings(tmp_path, drill(DEPLOY, header)) if one.severity is Severity.ERROR]
    (finding,) = [one for one in found if one.code == "OB508"]
    assert finding.message == "keys is not for a scenario to choose: it names a file of the user's"
    assert (finding.where.line, finding.where.column) == (4, 28)
    assert "--env-set keys=" in (finding.hint or "")


def test_the_command_line_replaces_an_option_that_is_the_users_alone(tmp_path: Path) -> None:
    text = drill(DEPLOY, "environment: {uses: local, keys: theirs}\n")
    assert load(tmp_path, text, env_sets={"keys": "mine"}).environment.options == LocalOptions(keys="mine")


def test_an_input_that_is_never_used_is_a_warning(tmp_path: Path) -> None:
    scenario = load(tmp_path, drill(DEPLOY, "inputs: {x: {type: string, default: y}}\n"))
    (finding,) = scenario.warnings
    assert (finding.code, finding.severity, finding.where.line, finding.where.column) == (
        "OB507",
        Severity.WARNING,
        3,
        10,
    )
