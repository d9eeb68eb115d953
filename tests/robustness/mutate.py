"""``make mutation``: change the code at random places; the package's own unit tests must notice.

Cosmic Ray finds the places and makes the mutants. Places are drawn first, and then one mutant of
each, so that operators with many alternatives do not dominate. What changes no result is left
alone: annotations, caches, and whether classes can be changed.
"""

import argparse
import ast
import difflib
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Final, NamedTuple

import cosmic_ray.plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

PROJECT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("bars", "features", "forecaster")
COPIED: Final = ("src", "tests", "conf", "docs", "deploy", "pyproject.toml")
REFERENCE: Final = Path("tests/unit/reference")
MOST_SECONDS: Final = 300
"""A mutant whose tests take more CPU time counts as killed: it does not end."""

UNOBSERVABLE: Final = ("cache", "lru_cache", "dataclass")
"""Decorators that change no result."""

Position = tuple[int, int]


class Mutant(NamedTuple):
    """A changed module.

    Attributes:
        module: Its path, relative to the project.
        line: The changed line, from 1.
        operator: Name of the change.
        code: The whole changed module.
    """

    module: Path
    line: int
    operator: str
    code: str

    def diff(self) -> str:
        """Show the changed lines."""
        before = (PROJECT / self.module).read_text(encoding="utf-8").splitlines()
        lines = difflib.unified_diff(before, self.code.splitlines(), lineterm="", n=0)
        return "\n".join(line for line in lines if line[:3] not in {"---", "+++"})


def draw(package: str, number: int, seed: int) -> list[Mutant]:
    """Draw mutants of a package, at most one at each place."""
    chance = random.Random(f"{package} {seed}")  # noqa: S311 (places, no secrets)
    places = [
        (module.relative_to(PROJECT), place, operators)
        for module in sorted((PROJECT / "src/stock_volume" / package).glob("*.py"))
        for place, operators in find_places(module.read_text(encoding="utf-8")).items()
    ]
    chance.shuffle(places)
    mutants = (
        mutant
        for module, place, operators in places
        if (mutant := mutate(module, place, operators, chance))
    )
    return [mutant for mutant, _ in zip(mutants, range(number), strict=False)]


def find_places(code: str) -> dict[Position, list[tuple[str, int]]]:
    """Find what can be changed: operator and occurrence, by position."""
    left_alone = list(find_what_changes_no_result(code))
    places: dict[Position, list[tuple[str, int]]] = defaultdict(list)
    tree = get_ast(code)
    for name in sorted(cosmic_ray.plugins.operator_names()):
        operator = cosmic_ray.plugins.get_operator(name)
        if operator.arguments():
            continue
        positions = [
            start for node in ast_nodes(tree) for start, _ in operator().mutation_positions(node)
        ]
        for occurrence, start in enumerate(positions):
            if not any(first <= start < last for first, last in left_alone):
                places[start].append((name, occurrence))
    return places


def find_what_changes_no_result(code: str) -> Iterator[tuple[Position, Position]]:
    """Find the positions of annotations and of decorators that no test can observe."""
    for node in ast.walk(ast.parse(code)):
        annotation = getattr(node, "annotation", None) or getattr(node, "returns", None)
        if annotation is not None:
            yield _bounds_of(annotation)
        for decorator in getattr(node, "decorator_list", []):
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            if getattr(called, "id", "") in UNOBSERVABLE:
                yield _bounds_of(decorator)
        if isinstance(node, ast.keyword) and node.arg == "frozen":
            yield _bounds_of(node.value)


def _bounds_of(node: ast.expr) -> tuple[Position, Position]:
    """Return where an expression begins and ends; a decorator begins with its at sign."""
    begin = (node.lineno, max(node.col_offset - 1, 0))
    return begin, (node.end_lineno or node.lineno, node.end_col_offset or 0)


def mutate(
    module: Path, place: Position, operators: list[tuple[str, int]], chance: random.Random
) -> Mutant | None:
    """Make one of the mutants of a place; None if none of them is valid and different."""
    before = (PROJECT / module).read_text(encoding="utf-8")
    for name, occurrence in chance.sample(operators, len(operators)):
        code = mutate_code(before, cosmic_ray.plugins.get_operator(name)(), occurrence)
        try:
            if code and ast.dump(ast.parse(code)) != ast.dump(ast.parse(before)):
                return Mutant(module, place[0], name.removeprefix("core/"), code)
        except SyntaxError:
            continue
    return None


def is_killed(mutant: Mutant, project: Path) -> bool:
    """Run the tests of the mutant's module, then of its package, then of the reference.

    The reference lists parameters with their defaults and bounds.
    """
    path = project / mutant.module
    before = path.read_text(encoding="utf-8")
    path.write_text(mutant.code, encoding="utf-8")
    package = Path("tests/unit", mutant.module.parent.name)
    own = package / f"test_{mutant.module.name}"
    try:
        return any(
            (project / tests).exists() and run_tests(project, tests)
            for tests in (own, package, REFERENCE)
        )
    finally:
        path.write_text(before, encoding="utf-8")


def run_tests(project: Path, tests: Path) -> bool:
    """Run tests in a copy; return whether one fails, or they do not end."""
    return (
        subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", tests],
            cwd=project,
            env={
                **os.environ,
                "PYTHONPATH": str(project / "src"),
                "PYTHONDONTWRITEBYTECODE": "1",  # a mutant may be written within a second
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # the plugins take seconds to load
                "POLARS_MAX_THREADS": "1",
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
            preexec_fn=_limit_cpu_time,
        ).returncode
        != 0
    )


def _limit_cpu_time() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS))


def copy_project(folder: Path) -> Path:
    """Copy what the tests need, so that mutants never touch the checkout."""
    for name in COPIED:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    return folder


def find_survivors(
    mutants: Sequence[Mutant], copies: "SimpleQueue[Path]", jobs: int
) -> list[Mutant]:
    """Test mutants, as many at a time as there are copies; print and return those that survive."""

    def survives(mutant: Mutant) -> bool:
        project = copies.get()
        try:
            killed = is_killed(mutant, project)
        finally:
            copies.put(project)
        outcome = "killed" if killed else f"survives\n{mutant.diff()}\n"
        print(f"{mutant.module}:{mutant.line} {mutant.operator} {outcome}", flush=True)
        return not killed

    with ThreadPoolExecutor(jobs) as pool:
        alive = pool.map(survives, mutants)
        return [one for one, survived in zip(mutants, alive, strict=True) if survived]


def main() -> int:
    """Mutate, print outcomes and a table; return 1 if the unchanged code fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=150, help="of each package")
    parser.add_argument("--packages", nargs="+", default=PACKAGES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    table = []
    with tempfile.TemporaryDirectory(prefix="mutation-") as name:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(options.jobs):
            copies.put(copy_project(Path(name, str(number))))
        for package in options.packages:
            mutants = draw(package, options.mutants, options.seed)
            tests = Path("tests/unit", package)
            if run_tests(Path(name, "0"), tests) or run_tests(Path(name, "0"), REFERENCE):
                print(f"the tests of {package} fail without a mutant")
                return 1
            survivors = find_survivors(mutants, copies, options.jobs)
            table.append((package, len(mutants), len(mutants) - len(survivors)))
    print(f"{'package':12} {'mutants':>7} {'killed':>7}")
    for package, number, killed in table:
        print(f"{package:12} {number:7} {killed:7} {killed / number:7.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
