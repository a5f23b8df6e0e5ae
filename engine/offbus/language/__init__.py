"""The scenario language: from a YAML file to a validated, frozen `Scenario`, or to every finding at once.

In the order in which a file passes through them:

- `source`      bytes -> tree of nodes with places, strictly (`scalars`, `unquoted`, `places` help it)
- `format`      the shape of the file as pydantic models; `shape` applies them, `complaints` words their errors
- `inputs`, `settings`, `steps`, `bindings`, `conditions`: what the file means; `check` puts them together
- `celtypes`, `names`, `expressions`, `templates`: typed CEL, and `${{ }}` in params
- `scenario`    the result, which the runner takes
- `load`        the front door: `load_scenario`
- `jsonschema`  the JSON Schema for editors, generated from the same models

Nothing here changes anything outside; only `load` and `source` read files.
"""
