"""The scenario language: from a YAML file to a validated, frozen `Scenario`, or to every finding at once.

In the order in which a file passes through them:

- `syntax`      bytes -> tree of nodes that know their positions, strictly
- `format`      the shape of the file as pydantic models; `shape` applies them
- `check`       what the file means: inputs, environment, steps, params, conditions
- `cel`         typed CEL expressions, `${{ }}`
- `scenario`    the result, which the runner takes
- `load`        the entry point: `load_scenario`; `gc_pause` makes it faster
- `jsonschema`  the JSON Schema for editors, generated from the same models; `plan`, `explain`: for the commands

Nothing here changes anything outside; files are read by `syntax.source`, and by
`check.referenced_files`; `check.parts` says which may be inlined.
"""
