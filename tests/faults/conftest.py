"""Every fault on both databases, on processes that are forked after their imports unless ``COLD=1``."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from databases import PostgresServer, postgres_server
from faults.harness import service
from faults.harness.figures import Figure, Figures
from faults.harness.launching import Cold, Launcher, Warm
from faults.harness.service import ALONE, HERE, Kind, Service

_figures = pytest.StashKey[Figures]()
Record = Callable[..., None]
Open = Callable[..., Service]


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_figures] = Figures()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.faults)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    figures = config.stash[_figures]
    if not figures.rows:
        return
    terminalreporter.section("faults")
    terminalreporter.write_line(figures.table())
    terminalreporter.write_line(f"seed: {service.seed()} (the same again: make faults SEED={service.seed()})")
    if os.environ.get("KEEP"):
        figures.keep(service.seed())


@pytest.fixture(scope="session")
def path_of_strangers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The community plugins of this folder, installed as pip would: their modules and a distribution."""
    folder = tmp_path_factory.mktemp("strangers")
    for module in (HERE / "strangers_here").glob("*.py"):
        shutil.copy(module, folder)
    info = folder / "strangers-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strangers\nVersion: 1.0\n", "utf-8")
    points = "[calotype.plugins]\nfaulty = faulty\n\n[calotype.frontends]\nmailbox = mailbox:Mailbox\n"
    (info / "entry_points.txt").write_text(points, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]))
        yield


@pytest.fixture(scope="session")
def cold(path_of_strangers: None) -> Launcher:
    """Begins processes as an operator does."""
    return Cold()


@pytest.fixture(scope="session")
def launcher(path_of_strangers: None, cold: Launcher) -> Iterator[Launcher]:
    """Begins processes without their imports, unless ``COLD`` is set."""
    if os.environ.get("COLD"):
        yield cold
        return
    warm = Warm({name: value for name, value in os.environ.items() if not name.startswith("CALOTYPE_")})
    yield warm
    warm.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def database(request: pytest.FixtureRequest) -> str:
    """Which of the two."""
    return str(request.param)


@pytest.fixture
def open_service(request: pytest.FixtureRequest, database: str, launcher: Launcher, tmp_path: Path) -> Iterator[Open]:
    """Makes services on new databases of the kind; none of their processes outlives the test."""
    made: list[Service] = []
    numbers = itertools.count()

    def open_one(
        *, kinds: tuple[Kind, ...] = ALONE, by: Launcher = launcher, url: str | None = None, **settings: str
    ) -> Service:
        if url is None and database == "PostgreSQL":
            url = request.getfixturevalue("postgres").empty()
        folder = tmp_path / f"service-{next(numbers)}"
        folder.mkdir()
        made.append(Service(folder, by, url, kinds, **settings))
        return made[-1]

    yield open_one
    for each in made:
        each.close()


@pytest.fixture
def record(pytestconfig: pytest.Config, database: str) -> Record:
    """Takes a row for the table, and checks that nothing was lost or doubled."""

    def take(fault: str, **values: object) -> None:
        figure = Figure(fault, **{"database": database, "runs": 1, **values})  # type: ignore[arg-type]
        pytestconfig.stash[_figures].add(figure)
        assert (figure.lost, figure.doubled) == (0, 0), figure

    return take
