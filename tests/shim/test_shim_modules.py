"""The C files use each other downwards only: what nm says of the objects has no circle but the ones named here."""

import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

# Of a build, one of these is in it: where the real driver comes from.
REAL = ("real_preload", "real_proxy_cuda", "real_proxy_nvml")

# The way in, generated or in assembly: the table holds the thunks' addresses, a thunk reads the table, and slow.S
# enters the C at one place. No build is without that ring, so these two are left out and tested by themselves.
WAY_IN = {
    "thunks": {"page": {"offbus_word"}, "table": {"offbus_real"}, "slow": {"offbus_slow"}},
    "slow": {"decide": {"offbus_dispatch"}},
}

# The driver API's own: what a captured stream is given goes into a graph, and the launch of a graph goes into a stream.
CAPTURE = frozenset({"cuda_copy", "cuda_graph", "cuda_module", "cuda_stream"})

# Of each object, the objects that it uses and by which symbols.
Uses = Mapping[str, Mapping[str, set[str]]]


def nm(path: Path) -> list[tuple[str, str]]:
    """The symbols of an object and their types; lower case is local, U and w come from another object."""
    done = subprocess.run(["nm", "-P", path], capture_output=True, text=True, check=True)
    return [(line.split()[0], line.split()[1]) for line in done.stdout.splitlines()]


def uses(objects: Iterable[Path]) -> Uses:
    """Which object uses a symbol that another one defines: functions and data."""
    symbols = {path.stem: nm(path) for path in objects}
    home = {
        name: stem
        for stem, found in symbols.items()
        for name, kind in found
        if kind.isupper() and kind != "U"
    }
    arrows: dict[str, dict[str, set[str]]] = {stem: {} for stem in symbols}
    for stem, found in symbols.items():
        for name, kind in found:
            if kind in "Uw" and name in home:
                arrows[stem].setdefault(home[name], set()).add(name)
    return arrows


def reached(arrows: Uses, start: str) -> set[str]:
    """All that an object uses, itself or through others."""
    seen: set[str] = set()
    ahead = [start]
    while ahead:
        new = arrows[ahead.pop()].keys() - seen
        seen |= new
        ahead += new
    return seen


def circles(arrows: Uses) -> set[frozenset[str]]:
    """Groups of objects each of which uses all others, itself or through them."""
    reach = {stem: reached(arrows, stem) for stem in arrows}
    return {frozenset(b for b in reach[a] if a in reach[b]) for a in arrows if a in reach[a]}


def shim_objects(build: Path, real: str) -> list[Path]:
    """What is linked into one of the shim's three builds."""
    return [
        path for path in sorted((build / "preload").glob("*.o")) if path.stem == real or path.stem not in REAL
    ]


@pytest.mark.parametrize("real", REAL)
def test_the_shim_has_no_circle(build: Path, real: str) -> None:
    objects = [path for path in shim_objects(build, real) if path.stem not in WAY_IN]
    arrows = uses(objects)
    assert {"decide", "page", "process", real} <= arrows.keys()
    assert circles(arrows) == set()


@pytest.mark.parametrize("real", REAL)
def test_thunks_enter_the_shim_at_one_place(build: Path, real: str) -> None:
    arrows = uses(shim_objects(build, real))
    assert {stem: arrows[stem] for stem in WAY_IN} == WAY_IN


def test_the_standin_driver_has_no_circle_but_that_of_its_api(build: Path) -> None:
    assert circles(uses((build / "standin").glob("*.o"))) == {CAPTURE}


A_USES_B = "int b(void); int a(void) { return b(); }"
A_READS_B = "extern int b; int a(void) { return b; }"


@pytest.mark.parametrize(
    ("sources", "found"),
    [
        pytest.param((A_USES_B, "int b(void) { return 0; }"), False, id="no circle"),
        pytest.param(
            (A_USES_B, "static int a(void) { return 0; } int b(void) { return a(); }"), False, id="local"
        ),
        pytest.param((A_USES_B, "int a(void); int b(void) { return a(); }"), True, id="calls"),
        pytest.param((A_READS_B, "int a(void); int b; int c(void) { return a(); }"), True, id="data"),
        pytest.param(
            (
                A_USES_B,
                "int c(void); int b(void) { return c(); }",
                "int a(void); int c(void) { return a(); }",
            ),
            True,
            id="three files",
        ),
    ],
)
def test_a_circle_that_comes_back_is_found(tmp_path: Path, sources: tuple[str, ...], *, found: bool) -> None:
    objects = [tmp_path / f"{n}.o" for n in range(len(sources))]
    for path, source in zip(objects, sources, strict=True):
        path.with_suffix(".c").write_text(f"{source}\n", encoding="ascii")
        subprocess.run(["cc", "-c", path.with_suffix(".c"), "-o", path], check=True)
    assert circles(uses(objects)) == ({frozenset(path.stem for path in objects)} if found else set())
