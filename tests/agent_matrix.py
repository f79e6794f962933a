"""The table in docs/agents.md of what each kind of agent can, made of what the tests of their contract report.

A plugin of pytest: with `--agents-matrix write` the run of the contracts writes the table, with `check` it fails if the
table says something else. A kind whose tests did not run here, for its program is not installed, keeps its column, and
is said not to have been looked at.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import cast

import pytest

from taskrun.testing.contracts.agent_acts import Act
from taskrun.testing.contracts.agent_stage import TRIED

PAGE = Path(__file__).parents[1] / "docs" / "agents.md"
#: Why a kind that keeps its column cannot what was not asked when it was last tried.
UNTRIED = "not tried yet"
BEGIN, END = "<!-- scripts/agents writes from here -->\n", "<!-- to here -->\n"

#: For each agent and each act why it cannot; "" = it can.
Matrix = dict[str, dict[Act, str]]


def render(matrix: Matrix) -> str:
    """The table and its notes."""
    agents = sorted(matrix)
    matrix = {agent: {act: matrix[agent].get(act, UNTRIED) for act in Act} for agent in agents}
    reasons = list(dict.fromkeys(matrix[agent][act] for act in Act for agent in agents if matrix[agent][act]))
    cell = {reason: f"no ({number})" for number, reason in enumerate(reasons, 1)}
    rows = [[act.value, *(cell.get(matrix[agent][act], "yes") for agent in agents)] for act in Act]
    head = [["", *(f"`{agent}`" for agent in agents)], ["---"] * (len(agents) + 1)]
    table = [f"| {' | '.join(row)} |" for row in (*head, *rows)]
    return "\n".join([*table, "", *(f"{number}. {reason}" for number, reason in enumerate(reasons, 1))]) + "\n"


def parse(text: str) -> Matrix:
    """What a rendered table says."""
    reasons = dict(re.findall(r"^(\d+)\. (.+)$", text, re.MULTILINE))
    rows = [[cell.strip() for cell in line.strip("|").split(" |")] for line in text.splitlines() if line[:1] == "|"]
    if not rows:
        return {}
    matrix: Matrix = {agent.strip("`"): {} for agent in rows[0][1:]}
    acts = {act.value: act for act in Act}
    for title, *cells in rows[2:]:
        for agent, cell in zip(matrix, cells, strict=True):
            if title in acts:
                matrix[agent][acts[title]] = reasons.get(cell.strip("no ()"), "")
    return matrix


def on_page(page: str) -> str:
    """The part of the page that is rendered."""
    return page.partition(BEGIN)[2].partition(END)[0]


def unseen(page: str, tried: Collection[str]) -> list[str]:
    """The agents that have a column on the page and were not tried."""
    return sorted(parse(on_page(page)).keys() - set(tried))


class Collector:
    """Gathers what the tests tell, in the process that has all their reports."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._tried: defaultdict[str, dict[Act, str]] = defaultdict(dict)
        self._complaints: list[str] = []
        self._unseen: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, value in report.user_properties:
            if name == TRIED:
                agent, act, reason = cast("list[str]", value)
                self._tried[agent][Act[act]] = reason

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self._complaints = [
            f"{agent} was not asked: {act.value}"
            for agent, acts in self._tried.items()
            for act in Act
            if act not in acts
        ]
        page = PAGE.read_text()
        self._unseen = unseen(page, self._tried)
        fresh = page.replace(on_page(page), render({**parse(on_page(page)), **self._tried}))
        if self._config.getoption("--agents-matrix") == "check":
            self._complaints += ["docs/agents.md is stale: run scripts/agents"] if fresh != page else []
        elif not self._complaints and session.testsfailed == 0:
            PAGE.write_text(fresh)
        if self._complaints:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._unseen:
            names = ", ".join(self._unseen)
            sys.stderr.write(
                f"tests: WARNING: what docs/agents.md says of these was NOT CHECKED in this run: {names}\n"
            )
        for complaint in self._complaints:
            terminalreporter.write_line(f"agents: {complaint}", red=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--agents-matrix", choices=["write", "check"], required=True, help="the table in docs/agents.md")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Collector(config))
