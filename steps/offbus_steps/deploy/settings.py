"""Settings that `deploy` writes into a manifest before it is created: image, model, tensor parallelism, log level.

    with: {manifest: targets/vllm.yaml, set: {model: Qwen/Qwen3-8B, tensor_parallel: 2, log_level: debug}}

Each is written where the target's own containers have it, and a setting without such a field is refused: a drill must
not run with another model than it names. Only the objects in memory are changed. Pure.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from offbus.errors import StepError
from offbus_steps.deploy.step_types import Settings
from offbus_steps.port import Object
from offbus_steps.workloads import gpus
from offbus_steps.workloads.base import Template
from offbus_steps.workloads.fields import MISSING, Segment, apply, plan, read
from offbus_steps.workloads.workload_kinds import workload_of

__all__ = ["with_settings"]

MODEL_FLAGS = (
    "--model",
    "--model-path",
    "--served-model-name",
    "--model-name",
    "--model_path",
    "--served_model_name",
)
MODEL_ENV = frozenset({"MODEL_PATH", "SERVED_MODEL_NAME", "DYN_MODEL_NAME", "MODEL_NAME"})
PARALLEL_FLAGS = ("--tensor-parallel-size", "--tp-size", "--tp", "-tp", "--tp_size", "--tensor_parallel_size")
"""The spellings of vLLM, SGLang and `trtllm-serve` (underscores; vLLM takes them, too)."""

Path = tuple[Segment, ...]


def with_settings(obj: Object, settings: Settings) -> Object:
    """A copy of the target's object with the settings. Raises StepError for one that cannot be applied."""
    try:
        for change in (_image, _model, _tensor_parallel, _environment):
            obj = change(obj, settings)
    except (AttributeError, KeyError, TypeError, ValueError) as err:
        raise StepError(
            f"{obj['metadata']['name']} is not a valid {obj['kind']}: {type(err).__name__}: {err}",
            hint="run `kubectl apply --dry-run=server` to see what is wrong with the manifest",
        ) from err
    return obj


def _image(obj: Object, settings: Settings) -> Object:
    if settings.image is None:
        return obj
    engines = {_container(template) for template in _templates(obj)}
    had = {(_at(obj, path) or {}).get("image") for path in engines}
    paths = [
        path
        for path in workload_of(obj).container_paths()
        if path in engines or _at(obj, path).get("image") in had
    ]
    return _set(obj, {(*path, "image"): settings.image for path in paths})


def _model(obj: Object, settings: Settings) -> Object:
    model = settings.model
    if model is None:
        return obj
    wanted: dict[Path, Any] = {}
    for path in workload_of(obj).container_paths():
        for name in ("command", "args"):
            words = _at(obj, path).get(name)
            if not isinstance(words, list):
                continue
            changed = _flagged(words, MODEL_FLAGS, model)
            if "serve" in changed[:-1] and not str(changed[changed.index("serve") + 1]).startswith("-"):
                changed[changed.index("serve") + 1] = model
            if changed != words:
                wanted[*path, name] = changed
        for entry in _at(obj, path).get("env") or ():
            if entry["name"] in MODEL_ENV and "value" in entry:
                wanted[*path, "env", ("name", entry["name"])] = {**entry, "value": model}
    if not wanted:
        raise StepError(
            f"set.model cannot be applied: no container of {obj['metadata']['name']} names a model",
            hint=f"name it by {', '.join(MODEL_FLAGS)} or `serve MODEL` in command or args",
        )
    return _set(obj, wanted)


def _flagged(words: Sequence[Any], flags: Sequence[str], value: str) -> list[Any]:
    """The words with the value of each flag replaced: `--flag value`, `--flag=value`, or inside a shell command."""
    changed: list[Any] = list(words)
    line = re.compile(rf"((?:^|\s)(?:{'|'.join(map(re.escape, flags))})[ =])(\S+)")
    for index, word in enumerate(words):
        flag, equals, _ = str(word).partition("=")
        if equals and flag in flags:
            changed[index] = f"{flag}={value}"
        elif word in flags and index + 1 < len(words):
            changed[index + 1] = value
        elif " " in str(word):
            changed[index] = line.sub(lambda found: f"{found[1]}{value}", str(word))
    return changed


def _tensor_parallel(obj: Object, settings: Settings) -> Object:
    size = settings.tensor_parallel
    for template in _templates(obj) if size is not None else ():
        nodes = template.nodes
        if size is None or size % nodes:
            raise StepError(
                f"set.tensor_parallel {size} cannot be divided by the {nodes} nodes of {template.name}",
                hint=f"use a multiple of {nodes}",
            )
        wanted = _parallel_words(obj, template, str(size))
        for kind in ("limits", "requests"):  # the amount of GPUs, in each field that has one now
            short = [(*template.short, kind, "gpu")] if template.short else []
            custom = [(*template.short, kind, "custom", name) for name in gpus.WHOLE_GPUS if template.short]
            own = [(*_container(template), "resources", kind, name) for name in gpus.WHOLE_GPUS]
            each = (path for path in (*short, *custom, *own) if read(obj, path) is not MISSING)
            wanted |= dict.fromkeys(each, str(size // nodes))
        obj = _set(obj, wanted)
    return obj


def _parallel_words(obj: Object, template: Template, size: str) -> dict[Path, Any]:
    path = _container(template)
    container = _at(obj, path)
    for name in ("args", "command"):
        words = container.get(name)
        if not isinstance(words, list):
            continue
        if (changed := _flagged(words, PARALLEL_FLAGS, size)) != words:
            return {(*path, name): changed}
        present = {part.partition("=")[0] for word in words for part in str(word).split()}
        if present & set(PARALLEL_FLAGS):
            return {}  # already set to the wanted size
    if isinstance(container.get("args"), list) and not any(" " in str(one) for one in container["args"]):
        return {(*path, "args"): [*container["args"], PARALLEL_FLAGS[0], size]}
    raise StepError(
        f"set.tensor_parallel cannot be applied to {template.name}",
        hint=f"add {PARALLEL_FLAGS[0]} to its args",
    )


def _environment(obj: Object, settings: Settings) -> Object:
    wanted = dict(settings.env)
    if settings.log_level is not None:
        wanted["DYN_LOG"] = settings.log_level
    for template in _templates(obj) if wanted else ():
        obj = _set(
            obj, {(*template.env, ("name", key)): {"name": key, "value": one} for key, one in wanted.items()}
        )
    return obj


def _templates(obj: Object) -> list[Template]:
    found = workload_of(obj).gpu_templates()
    if not found:
        others = [name for one in workload_of(obj).pod_specs for name in gpus.other_gpus(one)]
        raise gpus.refusal(obj["metadata"]["name"], others, "requests no GPUs: `set` has nothing to change")
    return found


def _container(template: Template) -> Path:
    """The container's own path: `mounts` is one of its lists."""
    return template.mounts[:-1]


def _at(obj: Object, path: Path) -> Mapping[str, Any]:
    found = read(obj, path)
    return found if isinstance(found, Mapping) else {}


def _set(obj: Object, wanted: Mapping[Path, Any]) -> Object:
    return apply(obj, [plan(obj, path, value) for path, value in wanted.items()])
