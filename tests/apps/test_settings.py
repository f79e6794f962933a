from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec
import pytest

from taskrun.adapters.agents.command import CommandDefinition
from taskrun.adapters.agents.kinds import find_kind, offered
from taskrun.apps.agent_tables import _rule
from taskrun.apps.configuration import SettingRow, load, table
from taskrun.apps.kinds import HostPort, StorePlace
from taskrun.apps.limit_tables import limits_text
from taskrun.apps.settings import ControlPlaneSettings, WorkerSettings
from taskrun.domain.errors import FailedPrecondition, InvalidArgument
from taskrun.domain.identity import Role
from taskrun.domain.quotas import Limit
from taskrun.domain.timers import MAX_STOP_GRACE, ControlPlaneTimers, DaemonTimers

#: A value for each setting, as a flag or variable has it, and what it means. No default is among them.
VALUES: dict[type, dict[str, tuple[str, Any]]] = {
    ControlPlaneSettings: {
        "grpc_addr": ("127.0.0.1:1", HostPort("127.0.0.1", 1)),
        "http_addr": ("localhost:2", HostPort("localhost", 2)),
        "advertise_addr": ("https://plane:2", "https://plane:2"),
        "http_tls": ("true", True),
        "http_keys": ("true", True),
        "http_unsafe_no_tls": ("true", True),
        "http_unsafe_no_keys": ("true", True),
        "http_host": ("plane.example.org", ("plane.example.org",)),
        "certs_dir": ("/tls", Path("/tls")),
        "data_dir": ("/var/lib/taskrun", Path("/var/lib/taskrun")),
        "store": ("sqlite:/fast/tasks.db", StorePlace("sqlite", Path("/fast/tasks.db"))),
        "retention_age": ("30d", 30 * 86_400.0),
        "retention_size": ("1GiB", 2**30),
        "worker_cert_life": ("1d", 86_400.0),
        "silence_timeout": ("1m", 60.0),
        "worker_grace": ("3m", 180.0),
        "retry_delay": ("3s", 3.0),
        "retry_delay_max": ("2m", 120.0),
        "poison_window": ("0", 0.0),
        "lease": ("3s", 3.0),
        "fair_by": ("label:team", "label:team"),
        "priority_ageing": ("5m", 300.0),
        "start_timeout": ("3s", 3.0),
        "stop_timeout": ("4", 4.0),
        "log_format": ("json", "json"),
        "log_level": ("debug", "DEBUG"),
    },
    WorkerSettings: {
        "addr": ("https://plane:1,https://plane:2 h:3", ("https://plane:1", "https://plane:2", "h:3")),
        "certs_dir": ("/tls", Path("/tls")),
        "ca_cert": ("a.crt", Path("a.crt")),
        "cert": ("b.crt", Path("b.crt")),
        "key": ("b.key", Path("b.key")),
        "enroll_ca_cert": ("web.crt", Path("web.crt")),
        "enroll_insecure": ("true", True),
        "labels": ("gpu=yes", {"gpu": "yes"}),
        "max_concurrent_runs": ("3", 3),
        "work_dir": ("/work", Path("/work")),
        "drain_timeout": ("1h", 3600.0),
        "keep_sessions": ("2h", 7200.0),
        "keep_sessions_count": ("5", 5),
        "keep_sessions_size": ("1MiB", 2**20),
        "stop_grace": ("0", 0.0),
        "heartbeat": ("500ms", 0.5),
        "reconnect": ("1", 1.0),
        "reconnect_max": ("2", 2.0),
        "resume_timeout": ("2m", 120.0),
        "log_format": ("text", "text"),
        "log_level": ("ERROR", "ERROR"),
    },
}
#: Said together, or with one possible value only: tests of their own follow.
APART = {"enroll", "token", "token_file", "agents", "limits"}
EACH = [(of, key) for of, values in VALUES.items() for key in values]


def row_of(of: type, key: str) -> SettingRow:
    return next(row for row in table(of) if row.key == key)


def toml(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("of", [ControlPlaneSettings, WorkerSettings])
def test_every_setting_is_in_these_tests(of: type) -> None:
    assert {field.name for field in fields(of)} <= VALUES[of].keys() | APART


@pytest.mark.parametrize(("of", "key"), EACH)
def test_a_setting_has_a_default_a_flag_a_variable_and_a_key(tmp_path: Path, of: type, key: str) -> None:
    text, value = VALUES[of][key]
    row = row_of(of, key)
    assert getattr(load(of, {}, {}, None), key) == row.default != value
    assert getattr(load(of, {key: (text,) if row.kind.many else text}, {}, None), key) == value
    assert getattr(load(of, {}, {row.variable: text}, None), key) == value
    assert getattr(load(of, {}, {}, toml(tmp_path, f'{key} = "{text}"')), key) == value


NUMBERS = [(of, key) for of, key in EACH if row_of(of, key).kind.metavar in {"DURATION", "SIZE", "NUMBER"}]


@pytest.mark.parametrize("endless", ["inf", "-inf", "nan", "1e999", "9" * 400])
@pytest.mark.parametrize(("of", "key"), NUMBERS)
def test_no_number_is_endless(tmp_path: Path, of: type, key: str, endless: str) -> None:
    row = row_of(of, key)
    said = [
        refusal_of(of, {}, {}, toml(tmp_path, f"{key} = {endless}")),
        refusal_of(of, {}, {}, toml(tmp_path, f'{key} = "{endless}"')),
        refusal_of(of, {}, {row.variable: endless}),
        refusal_of(of, {key: endless}, {}),
    ]
    assert [each for each in said if f"it must be {row.kind.rule}." not in each] == []


def refusal_of(of: type, flags: dict[str, Any], environ: dict[str, str], config: Path | None = None) -> str:
    """What is said of settings that are refused."""
    with pytest.raises(InvalidArgument) as refusal:
        load(of, flags, environ, config)
    return refusal.value.message


@pytest.mark.parametrize("life", ["1s", "2500ms", "366d"])
def test_a_worker_s_certificate_lives_for_whole_seconds_up_to_a_year(life: str) -> None:
    with pytest.raises(InvalidArgument, match="2 seconds to a year, in whole seconds"):
        load(ControlPlaneSettings, {"worker_cert_life": life}, {}, None)


def test_no_variable_of_the_command_line_is_taken_for_the_workers() -> None:
    own = {row.variable for row in table(WorkerSettings)}
    assert own.isdisjoint({"TASKRUN_CA_CERT", "TASKRUN_CERT", "TASKRUN_KEY", "TASKRUN_JSON"})
    assert {"TASKRUN_WORKER_CA_CERT", "TASKRUN_WORKER_CERT", "TASKRUN_WORKER_KEY"} <= own


@pytest.mark.parametrize(
    ("addr", "told", "stranger"),
    [
        ("[::1]:1", {}, Role.READ),
        ("127.0.0.9:1", {}, Role.READ),
        ("localhost:1", {}, Role.READ),
        ("[::1]:1", {"http_keys": "true"}, Role.NOBODY),
        ("[::]:1", {"http_tls": "true"}, Role.NOBODY),
        ("192.0.2.1:1", {"http_tls": "true"}, Role.NOBODY),
        ("plane.example.org:1", {}, Role.NOBODY),
        ("0.0.0.0:1", {"http_unsafe_no_tls": "true"}, Role.NOBODY),
        ("[::]:1", {"http_tls": "true", "http_unsafe_no_keys": "true"}, Role.READ),
    ],
)
def test_http_asks_for_keys_wherever_others_can_come(addr: str, told: dict[str, str], stranger: Role) -> None:
    assert load(ControlPlaneSettings, {"http_addr": addr, **told}, {}, None).http_stranger is stranger


def test_keys_are_asked_for_or_they_are_not() -> None:
    both = {"http_keys": "true", "http_unsafe_no_keys": "true"}
    with pytest.raises(InvalidArgument, match="not both"):
        load(ControlPlaneSettings, both, {}, None)


def test_without_keys_is_not_without_tls() -> None:
    told = {"http_addr": "[::]:1", "http_unsafe_no_keys": "true"}
    with pytest.raises(FailedPrecondition, match="open to other machines"):
        load(ControlPlaneSettings, told, {}, None)


def test_a_flag_counts_more_than_a_variable_and_that_more_than_the_file(tmp_path: Path) -> None:
    config = toml(tmp_path, "silence_timeout = 1\nstart_timeout = 1\nstop_timeout = 1\n")
    environ = {"TASKRUN_START_TIMEOUT": "2", "TASKRUN_STOP_TIMEOUT": "2"}
    settings = load(ControlPlaneSettings, {"stop_timeout": "3"}, environ, config)
    assert settings.timers == ControlPlaneTimers(silence=1.0, start=2.0, stop=3.0)


def test_the_defaults_are_those_of_the_domain() -> None:
    assert load(ControlPlaneSettings, {}, {}, None).timers == ControlPlaneTimers()
    assert load(WorkerSettings, {}, {}, None).timers == DaemonTimers()


def test_several_addresses_are_several_flags_or_one_text_or_a_list_in_the_file(tmp_path: Path) -> None:
    two = ("https://a:1", "https://b:2")
    config = toml(tmp_path, f'addr = ["{two[0]}", "{two[1]}"]')
    assert load(WorkerSettings, {"addr": two}, {}, None).addr == two
    assert load(WorkerSettings, {"addr": (", ".join(two),)}, {}, None).addr == two
    assert load(WorkerSettings, {}, {"TASKRUN_ADDR": " ".join((*two, two[0]))}, None).addr == two
    assert load(WorkerSettings, {}, {}, config).addr == two


@pytest.mark.parametrize("text", ['"http://a:1"', "[]", '["https://a:1", "://"]', "[1]", "7", '" , "'])
def test_what_is_no_list_of_addresses_is_refused_by_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"config\.toml: addr"):
        load(WorkerSettings, {}, {}, toml(tmp_path, f"addr = {text}"))


def test_a_label_table_in_the_file_is_what_it_seems(tmp_path: Path) -> None:
    config = toml(tmp_path, '[labels]\ngpu = "yes"\n')
    assert load(WorkerSettings, {}, {}, config).labels == {"gpu": "yes"}


def test_a_worker_leaves_no_run_longer_to_stop_than_a_control_plane_believes() -> None:
    assert load(WorkerSettings, {"stop_grace": "5m"}, {}, None).timers.stop_grace == MAX_STOP_GRACE
    with pytest.raises(InvalidArgument, match="--stop-grace must be at most 300 seconds"):
        load(WorkerSettings, {"stop_grace": "301"}, {}, None)


def test_an_unknown_key_of_the_file_is_refused_with_a_guess(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"config\.toml: there is no setting 'grpc_adr'\. Is 'grpc_addr' meant\?"):
        load(ControlPlaneSettings, {}, {}, toml(tmp_path, 'grpc_adr = "[::1]:1"'))


@pytest.mark.parametrize(
    ("flags", "environ", "text", "message"),
    [
        ({"grpc_addr": "x"}, {}, "", "--grpc-addr is 'x': it must be HOST:PORT"),
        ({}, {"TASKRUN_HTTP_ADDR": "x"}, "", "TASKRUN_HTTP_ADDR is 'x': it must be"),
        ({}, {}, "stop_timeout = 'x'", "stop_timeout is 'x': it must be a duration"),
        ({"stop_timeout": "1"}, {}, "stop_timeout = 'x'", "config.toml: stop_timeout is 'x'"),
        (
            {"store": "oracle"},
            {},
            "",
            "--store is 'oracle': it must be memory, sqlite, sqlite:PATH or a postgresql:// URL.",
        ),
        ({}, {}, "grpc_addr = ", "config.toml is no TOML: "),
        ({}, {}, "stop_timeout = " + "9" * 5000, "config.toml is no TOML: "),
        ({}, {}, "grpc_addr = " + "[" * 5000, "config.toml is no TOML: it is nested too deeply."),
        ({}, {}, "stop_timeout = " + "9" * 400, "config.toml: stop_timeout is 9999999999"),
        ({}, {}, "stop_timeout = 1e300", "stop_timeout is 1e+300: it must be a duration"),
        ({}, {"TASKRUN_STOP_TIMEOUT": "9" * 400}, "", "TASKRUN_STOP_TIMEOUT is '9999999999"),
        ({}, {"TASKRUN_RETENTION_SIZE": "9" * 400}, "", "TASKRUN_RETENTION_SIZE is '9999999999"),
        ({}, {"TASKRUN_DATA_DIR": "~no body/data"}, "", "TASKRUN_DATA_DIR is '~no body/data': it must be a path."),
        ({}, {}, 'store = "sqlite:a\\u0000b"', "config.toml: store is 'sqlite:a\\x00b': it must be memory"),
    ],
)
def test_a_bad_value_is_refused_in_the_name_of_its_source(
    tmp_path: Path, flags: dict[str, str], environ: dict[str, str], text: str, message: str
) -> None:
    with pytest.raises(InvalidArgument) as raised:
        load(ControlPlaneSettings, flags, environ, toml(tmp_path, text))
    assert message in raised.value.message
    assert "\n" not in raised.value.message


#: Everything that TOML has, also inside each other.
TOML = ["true", "7", "-1", "1.5", "nan", "1e999", "''", "'x'", "2026-01-01", "12:00:00", "2026-01-01T12:00:00Z"]
TOML += [f"[{each}]" for each in TOML] + [f"{{x = {each}}}" for each in TOML] + ["[]", "{}", "[[]]", "[{}]", "[[{}]]"]


@pytest.mark.parametrize(("of", "key"), [(of, row.key) for of in VALUES for row in table(of)])
def test_whatever_a_file_gives_a_setting_is_taken_or_refused_by_name(tmp_path: Path, of: type, key: str) -> None:
    def refusal(text: str) -> str:
        try:
            load(of, {}, {}, toml(tmp_path, f"{key} = {text}"))
        except InvalidArgument as error:
            return error.message.replace("-", "_")
        return ""

    assert [text for text in TOML if (said := refusal(text)) and key not in said] == []


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"missing\.toml cannot be read: No such file"):
        load(ControlPlaneSettings, {}, {}, tmp_path / "missing.toml")
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'store = "\xe9"')
    with pytest.raises(InvalidArgument, match="not in UTF-8"):
        load(ControlPlaneSettings, {}, {}, latin)


def test_an_empty_variable_says_nothing() -> None:
    assert load(ControlPlaneSettings, {}, {"TASKRUN_STORE": ""}, None).store == StorePlace("sqlite")


def test_a_long_value_is_shown_short_and_harmless() -> None:
    with pytest.raises(InvalidArgument) as raised:
        load(ControlPlaneSettings, {"grpc_addr": "\x1b" * 1000}, {}, None)
    assert len(raised.value.message) < 200
    assert raised.value.message.isprintable()


CLAUDE = '[[agents]]\nname = "c"\nkind = "claude-code"\n'
AGENT = '[[agents]]\nname = "echo"\nkind = "command"\ncommand = ["cat"]\n'


def test_agents_are_tables_of_the_file(tmp_path: Path) -> None:
    [agent] = load(WorkerSettings, {}, {}, toml(tmp_path, AGENT)).agents
    assert agent == CommandDefinition(name="echo", command=("cat",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (AGENT + 'colour = "red"\n', "agents: agent 'echo' of kind command has no key 'colour'."),
        (
            AGENT + 'descripton = "x"\n',
            "has no key 'descripton'. Is 'description' meant?",
        ),
        (AGENT + AGENT, "agents: two agents are named echo."),
        (AGENT.replace("echo", "No Name"), "agents: 'No Name' is no agent name: one is "),
        ("agents = 1\n", "config.toml: agents is 1: it must be a list of tables, each `[[agents]]`."),
        ("agents = [1]\n", "agents is [1]: it must be a list of tables"),
        (
            AGENT.replace('kind = "command"\n', ""),
            "has no `kind`: it must be one of ",
        ),
        (AGENT.replace('name = "echo"\n', ""), "agents: agent no. 1 has no `name`: it must be some text."),
        (AGENT.replace('"command"', '"magic"'), "`kind` is 'magic': it must be one of "),
        (AGENT.replace('"echo"', "7"), "agents: agent no. 1: `name` is 7: it must be some text."),
        (
            AGENT.replace('["cat"]', '"cat"'),
            "agent 'echo': `command` is 'cat': it must be a list of texts: ",
        ),
        (AGENT + 'timeout = "soon"\n', "agent 'echo': `timeout` is 'soon': it must be a duration such as 90, 90s, 10m"),
        (AGENT + "timeout = true\n", "`timeout` is True: it must be a duration"),
        (AGENT + "timeout = 0\n", "agents: Agent echo: `timeout` must be more than 0"),
        (AGENT + "keep_sessions = 1\n", "agent 'echo' of kind command has no key 'keep_sessions'"),
        (CLAUDE + "keep_sessions = 'long'\n", "agent 'c': `keep_sessions` is 'long': it must be a duration such as 90"),
        (AGENT + "labels = { a = 1 }\n", "`labels` is {'a': 1}: it must be a table of texts"),
    ],
)
def test_an_agent_that_makes_no_sense_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        load(WorkerSettings, {}, {}, toml(tmp_path, text))
    assert message in raised.value.message


@pytest.mark.parametrize(
    ("written", "limit"), [('"10m"', 600.0), ('"90s"', 90.0), ("90", 90.0), ("1.5", 1.5), ('"250ms"', 0.25)]
)
def test_an_agents_time_limit_is_a_duration_like_any_other(tmp_path: Path, written: str, limit: float) -> None:
    [agent] = load(WorkerSettings, {}, {}, toml(tmp_path, f"{AGENT}timeout = {written}\n")).agents
    assert agent.timeout == limit


@pytest.mark.parametrize("kind", offered())
def test_every_key_of_an_agent_has_its_words(kind: str) -> None:
    rules = {field.name: _rule(field) for field in msgspec.structs.fields(find_kind(kind).definition)}
    assert "something else" not in rules.values()


def test_what_msgspec_says_is_not_for_people(tmp_path: Path) -> None:
    for text in ("agents = 1", "agents = [1]", AGENT + "max_turns = 'x'", AGENT + "answer = { a = 1 }"):
        with pytest.raises(InvalidArgument) as raised:
            load(WorkerSettings, {}, {}, toml(tmp_path, text))
        assert not re.search(r"Object|Expected|\$|at `", raised.value.message)


@pytest.mark.parametrize("key", ["taskrun.containment", "taskrun.", "taskrun.mine"])
def test_a_label_that_the_worker_tells_of_itself_cannot_be_set(tmp_path: Path, key: str) -> None:
    said = f"{key!a} is not yours to set: a worker tells the labels under taskrun. itself."
    config = toml(tmp_path, f'labels = {{ "{key}" = "x" }}')
    for flags, environ, file in (
        ({"labels": (f"{key}=x",)}, {}, None),
        ({}, {"TASKRUN_LABELS": f"{key}=x"}, None),
        ({}, {}, config),
    ):
        with pytest.raises(InvalidArgument) as raised:
            load(WorkerSettings, flags, environ, file)
        assert raised.value.message.endswith(said)


@pytest.mark.parametrize(
    "flags",
    [
        {"enroll": "http://[::1]:1"},
        {"token": "t"},
        {"token_file": "t"},
        {"enroll": "http://[::1]:1", "token": "t", "token_file": "t"},
    ],
)
def test_enrolling_needs_an_address_and_one_token(flags: dict[str, str]) -> None:
    with pytest.raises(InvalidArgument, match="token"):
        load(WorkerSettings, flags, {}, None)


def test_a_token_is_not_shown_with_the_settings() -> None:
    settings = load(WorkerSettings, {"enroll": "http://[::1]:1"}, {"TASKRUN_TOKEN": "secret"}, None)
    assert settings.token == "secret"
    assert "secret" not in repr(settings)


def test_certificates_are_in_the_certs_dir_unless_they_are_named() -> None:
    settings = load(WorkerSettings, {"certs_dir": "tls", "cert": "/mine.crt"}, {}, None)
    assert settings.ca_path == Path("tls/ca.crt")
    assert settings.cert_path == Path("/mine.crt")
    assert settings.key_path == Path("tls/worker.key")


# Limits.


def limits(tmp_path: Path, text: str) -> ControlPlaneSettings:
    config = tmp_path / "plane.toml"
    config.write_text(text)
    return load(ControlPlaneSettings, {}, {}, config)


def test_limits_are_tables_of_the_file(tmp_path: Path) -> None:
    settings = limits(
        tmp_path,
        """
        fair_by = "label:team"
        priority_ageing = "5m"
        [[limits]]
        by = "client"
        waiting = 1000
        per_minute = 60
        [[limits]]
        by = "client"
        value = "ann"
        running = 5
        """,
    )
    assert settings.policy.limits == (Limit("client", waiting=1000, per_minute=60), Limit("client", "ann", running=5))
    assert (settings.policy.fair_by, settings.policy.ageing) == ("label:team", 300)
    assert limits_text(settings.limits) == "client *: waiting 1000, per_minute 60; client ann: running 5"


def test_without_them_slots_are_shared_between_clients() -> None:
    settings = ControlPlaneSettings()
    assert (settings.policy.limits, settings.policy.fair_by, settings.policy.ageing) == ((), "client", 60)
    assert load(ControlPlaneSettings, {"fair_by": "none"}, {}, None).policy.fair_by == ""
    assert limits_text(()) == "none"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("limits = 3", "limits is 3: it must be a list of tables, each `[[limits]]`."),
        ("[[limits]]\nrunning = 1", "limits: limit no. 1 has no `by`"),
        ("[[limits]]\nby = 'client'\nruning = 1", "has no key 'runing'. Is 'running' meant?"),
        ("[[limits]]\nby = 'client'\nrunning = true", "`running` is True: it must be a whole number."),
        ("[[limits]]\nby = 7\nrunning = 1", "`by` is 7: it must be some text."),
        ("[[limits]]\nby = 'user'\nrunning = 1", "limit no. 1: `by` is 'user'"),
        (
            "[[limits]]\nby = 'client'\nvalue = ''\nrunning = 1",
            "limits: limit no. 1: `value` is empty: leave it out if each value of 'client' is meant.",
        ),
        ("fair_by = 'user'", "fair_by: fair_by is 'user'"),
        ("priority_ageing = '1.5s'", "whole seconds"),
    ],
)
def test_a_limit_that_cannot_be_is_refused_in_a_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        limits(tmp_path, text)
    assert words in caught.value.message
    assert "\n" not in caught.value.message
