"""The scenario language: from a YAML file to a validated, frozen `Scenario`, or to every finding at once.

In the order in which a file passes through them:

- `source`      bytes -> tree of nodes with places, strictly (`tree`, `scalars`, `unquoted`, `braces`, `places` help it)
- `format`      the shape of the file as pydantic models; `shape` applies them, `complaints` words their errors
- `inputs`, `settings`, `steps`, `bindings`, `params`, `conditions`, `meaning`: what the file means; `check` joins them
- `celtypes`, `lexing`, `vocabulary`, `library`, `wording`, `guarded`, `expressions`, `templates`: typed CEL, `${{ }}`
- `scenario`    the result, which the runner takes
- `load`        the front door: `load_scenario`; `collecting` makes it faster
- `jsonschema`  the JSON Schema for editors, generated from the same models; `plan`, `explain`: for the commands

Nothing here changes anything outside; only `load` and `source` read files.
"""
