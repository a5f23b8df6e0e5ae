"""Everything that `offbus init` can be asked for with its options: their product."""

from collections.abc import Iterator
from itertools import product

from offbus_steps.commands.scaffold.recipes import BACKENDS, DEFAULT_BACKEND, ENVIRONMENTS, RECIPES, SEVERAL

__all__ = ["combinations", "recipes_and_xids"]

ON_A_CLUSTER = ([], ["--context", "staging"], ["--image", "registry.example/llm@sha256:12ab"])
NAMED = ([], ["--name", "79", "--namespace", "on"])
"""Names that YAML takes for a number and a boolean, too."""
OTHER_XIDS = {
    "cordon-and-drain": "74",
    "contained": "43",
    "matrix": "140,137",
    "detect": "145",
    "crash": "13",
}


def recipes_and_xids() -> Iterator[list[str]]:
    """A recipe or none, and its own XIDs or others."""
    yield []
    yield ["--xid", "63"]
    yield ["--xid", "79", "--xid", "94,48,79"]
    for recipe in RECIPES:
        yield ["--recipe", recipe]
        yield ["--recipe", recipe, "--xid", OTHER_XIDS[recipe]]
    yield ["--recipe", SEVERAL, "--xid", "43"]


def combinations() -> Iterator[list[str]]:
    """The options of a new target's scenario, all that go together."""
    where = [[], *(["--env", env] for env in ENVIRONMENTS)]
    for env, cluster in product(where, ON_A_CLUSTER):
        if cluster and env == ["--env", "local"]:
            continue
        for what, backend, named in product(
            recipes_and_xids(),
            [[] if one == DEFAULT_BACKEND else ["--backend", one] for one in BACKENDS],
            NAMED,
        ):
            yield [*what, *env, *cluster, *backend, *named]
