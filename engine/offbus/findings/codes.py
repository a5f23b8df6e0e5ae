"""The codes of findings. They are stable: never reused, never renumbered."""

from enum import StrEnum, unique
from typing import Self

__all__ = ["Code"]


@unique
class Code(StrEnum):
    """What is wrong, as programs read it: its value is what is printed. A new one takes a free number of its group."""

    meaning: str
    """What it stands for, for people."""

    def __new__(cls, value: str, meaning: str) -> Self:
        code = str.__new__(cls, value)
        code._value_, code.meaning = value, meaning
        return code

    # reading YAML
    UNREADABLE_TEXT = "OB100", "the file is not UTF-8, or holds control characters"
    TOO_LARGE = "OB101", "the file is too large"
    NOT_YAML = "OB102", "the file is not YAML"
    UNQUOTED_TEMPLATE = "OB103", "an unquoted ${{ }} inside {…} or […]"
    TAB = "OB104", "a tab where YAML wants spaces"
    SEVERAL_DOCUMENTS = "OB105", "several documents in one file"
    REPEATED_KEY = "OB106", "a key occurs twice"
    OLD_BOOLEAN = "OB107", "a word that YAML 1.1 reads as a boolean"
    AMBIGUOUS_NUMBER = "OB108", "a number that versions of YAML read differently"
    ENDLESS_ALIAS = "OB109", "aliases that explode or contain themselves"
    MERGE_KEY = "OB110", "a merge key"
    YAML_TAG = "OB111", "a YAML tag"
    TOO_DEEP = "OB112", "nested too deeply"
    KEY_NOT_TEXT = "OB113", "a key that is not a string"
    NO_MAPPING = "OB114", "the file is empty, or not a mapping"
    TOO_MANY_FINDINGS = "OB115", "more findings than are looked for"
    # the shape of the file
    FORMAT_VERSION = "OB200", "the format version is missing or unknown"
    MISSING_KEY = "OB201", "a required key is missing"
    UNKNOWN_KEY = "OB202", "an unknown key"
    WRONG_TYPE = "OB203", "a value of the wrong type"
    NOT_ALLOWED = "OB204", "a value that is not allowed"
    NOT_A_DURATION = "OB205", "not a duration"
    BAD_NAME = "OB206", "a name that is not allowed"
    # OB207 stood for what 0.1 did not support yet
    # steps
    REPEATED_STEP = "OB301", "two steps have the same id"
    UNKNOWN_STEP_TYPE = "OB302", "an unknown step type"
    STEP_TYPE_NOT_LOADED = "OB303", "a step type that cannot be loaded"
    UNKNOWN_NEED = "OB304", "`needs` names no step"
    CIRCULAR_NEEDS = "OB305", "steps need each other"
    MISSING_OUTPUT = "OB306", "a required value that no ancestor outputs"
    AMBIGUOUS_OUTPUT = "OB307", "a required value that several ancestors output"
    CLEANUP_OF_NO_ANCESTOR = "OB308", "cleanup names a step that is not an ancestor"
    EXCLUSIVE_OPTIONS = "OB309", "options of a step that exclude each other"
    BAD_FILE = "OB310", "a file that a step reads is missing or wrong"
    OF_A_RUN = "OB311", "a file that is inlined says what only a run has"
    BAD_OUTPUT = "OB312", "an output of a scenario that names no output of its steps"
    # expressions
    NOT_AN_EXPRESSION = "OB401", "an expression that cannot be parsed"
    UNKNOWN_NAME = "OB402", "an unknown name in an expression"
    WRONG_OPERANDS = "OB403", "operands that do not fit together"
    INTEGER_BESIDE_DOUBLE = "OB404", "an integer literal beside a double"
    NO_ANCESTOR = "OB405", "a reference to a step that is not an ancestor"
    NOT_BOOLEAN = "OB406", "a condition that is not boolean"
    UNSUITABLE_TYPE = "OB407", "an expression whose type does not suit its field"
    UNCLOSED_TEMPLATE = "OB408", "a ${{ without its }}"
    NOT_EVALUABLE = "OB409", "an expression that cannot be evaluated"
    HAS_OF_DECLARED = "OB410", "has() of a declared name"
    METRIC_OF_TWO_TYPES = "OB411", "a metric declared with two types"
    STILL_RUNNING = "OB412", "outputs of a step that is still running"
    MISPLACED_TEMPLATE = "OB413", "${{ }} where it does not belong"
    FUNCTION_NOT_LOADED = "OB414", "a function that cannot be loaded"
    SURPRISING_FUNCTION = "OB415", "a function of CEL that does not tell what its name says"
    # environment, guards, inputs
    UNKNOWN_ENVIRONMENT = "OB501", "an unknown environment"
    ENVIRONMENT_NOT_LOADED = "OB502", "an environment that cannot be loaded"
    GUARD_NOT_ENFORCED = "OB503", "a guard that cannot be enforced"
    UNKNOWN_SETTING = "OB504", "a value for an input or an option that does not exist"
    BAD_INPUT = "OB505", "an input's value does not fit"
    INPUT_WITHOUT_VALUE = "OB506", "an input has no value"
    UNUSED_INPUT = "OB507", "an input is never used"
    COMMAND_LINE_ONLY = "OB508", "an option that only the command line may set"
    # the matrix
    UNKNOWN_AXIS = "OB601", "the matrix names no input"
    NO_CELLS = "OB602", "a matrix without cells"
    TOO_MANY_CELLS = "OB603", "a matrix of too many cells"
    REPEATED_CELL = "OB604", "two cells of the matrix are the same"
    EXCLUDES_NOTHING = "OB605", "`exclude` names no combination"
    UNKNOWN_CELL = "OB606", "--cell or --set names no cell"
