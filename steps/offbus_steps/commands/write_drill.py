"""What `offbus init` does: settle what is wanted, make the texts, write all files or none, and say what comes next."""

import os
import shlex
from pathlib import Path

from offbus.cli.commands.schema import schema_text
from offbus.cli.output import say
from offbus.errors import UsageError
from offbus_steps.commands.scaffold.drill import Asked, Drill, NewTarget, drill_of
from offbus_steps.commands.scaffold.new_files import write_all
from offbus_steps.commands.scaffold.questions import ask
from offbus_steps.commands.scaffold.recipes import SEVERAL
from offbus_steps.commands.scaffold.render import SCHEMA, manifest_name, manifest_text, scenario_text

__all__ = ["write_drill"]


def write_drill(asked: Asked, folder: Path, *, force: bool, asks: bool) -> None:
    """Raises UsageError, CouldNotRun, PortError; then nothing was written."""
    if folder.suffix in (".yaml", ".yml"):
        hint = f"such as `offbus init {shlex.quote(str(folder.parent))} --name {shlex.quote(folder.stem)}`"
        raise UsageError(f"{folder} is the name of a file, and a folder is wanted", hint=hint)
    if os.path.exists(folder) and not os.path.isdir(folder):  # noqa: PTH110, PTH112  Path's raise where one may not look
        raise UsageError(f"{folder} is not a folder", hint="name a folder, or one that does not exist yet")
    drill = drill_of(
        ask(asked, lambda name: not force and os.path.lexists(_scenario(folder, name))) if asks else asked
    )
    scenario, schema = _scenario(folder, drill.name), folder / SCHEMA
    is_new = force or not os.path.lexists(schema)
    files = {schema: schema_text("scenario").encode()} if is_new else {}
    if isinstance(drill.target, NewTarget):
        files[folder / manifest_name(drill)] = manifest_text(drill, drill.target).encode()
    files[scenario] = scenario_text(drill).encode()  # last: it names the others
    write_all(files, force=force)
    for path in reversed(files):
        say(f"wrote {path}")
    say("")
    say("Next:")
    for line in _next(drill, scenario):
        say(f"  {line}")


def _scenario(folder: Path, name: str) -> Path:
    return folder / f"{name}.yaml"


def _next(drill: Drill, scenario: Path) -> list[str]:
    file = shlex.quote(str(scenario))
    flags = "".join(f" --env-set {shlex.quote(f'{key}={text}')}" for key, text in drill.flags.items())
    commands = ["validate", *(["matrix"] if drill.recipe.name == SEVERAL else []), "plan", "run"]
    return [f"offbus {one} {file}{flags if one in ('plan', 'run') else ''}" for one in commands]
