"""The codes of findings. They are stable: never reused, never renumbered."""

from collections.abc import Mapping

__all__ = ["CODES"]

CODES: Mapping[str, str] = {
    # reading YAML
    "OB100": "the file is not UTF-8, or holds control characters",
    "OB101": "the file is too large",
    "OB102": "the file is not YAML",
    "OB103": "an unquoted ${{ }} inside {…} or […]",
    "OB104": "a tab where YAML wants spaces",
    "OB105": "several documents in one file",
    "OB106": "a key occurs twice",
    "OB107": "a word that YAML 1.1 reads as a boolean",
    "OB108": "a number that versions of YAML read differently",
    "OB109": "aliases that explode or contain themselves",
    "OB110": "a merge key",
    "OB111": "a YAML tag",
    "OB112": "nested too deeply",
    "OB113": "a key that is not a string",
    "OB114": "the file is empty, or not a mapping",
    # the shape of the file
    "OB200": "the format version is missing or unknown",
    "OB201": "a required key is missing",
    "OB202": "an unknown key",
    "OB203": "a value of the wrong type",
    "OB204": "a value that is not allowed",
    "OB205": "not a duration",
    "OB206": "a name that is not allowed",
    "OB207": "not supported by this version",
    # steps
    "OB301": "two steps have the same id",
    "OB302": "an unknown step type",
    "OB303": "a step type that cannot be loaded",
    "OB304": "`needs` names no step",
    "OB305": "steps need each other",
    "OB306": "a required value that no ancestor outputs",
    "OB307": "a required value that several ancestors output",
    "OB308": "cleanup names a step that is not an ancestor",
    "OB309": "options of a step that exclude each other",
    "OB310": "a file that a step reads is missing or wrong",
    # expressions
    "OB401": "an expression that cannot be parsed",
    "OB402": "an unknown name in an expression",
    "OB403": "operands that do not fit together",
    "OB404": "an integer literal beside a double",
    "OB405": "a reference to a step that is not an ancestor",
    "OB406": "a condition that is not boolean",
    "OB407": "an expression whose type does not suit its field",
    "OB408": "a ${{ without its }}",
    "OB409": "an expression that cannot be evaluated",
    "OB410": "has() of a declared name",
    "OB411": "a metric declared with two types",
    "OB412": "outputs of a step that is still running",
    "OB413": "${{ }} where it does not belong",
    # environment, guards, inputs
    "OB501": "an unknown environment",
    "OB502": "an environment that cannot be loaded",
    "OB503": "a guard that cannot be enforced",
    "OB504": "--set or --env-set names nothing",
    "OB505": "an input's value does not fit",
    "OB506": "an input has no value",
    "OB507": "an input is never used",
    "OB508": "an option that only the command line may set",
}
"""Every code, and what it stands for. Codes are stable: never reused, never renumbered."""
