"""How much of anything is let in, and what ids and names may look like.

Every check raises `InvalidArgument` with one sentence that names the value, what is wrong with it and the rule. What
passed a check is safe to store, to send, and to show.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence, Sized
from operator import attrgetter

from taskrun.domain.errors import InvalidArgument
from taskrun.domain.json_text import check_json_text
from taskrun.domain.protocol import DEFAULT_MAX_CONCURRENT_RUNS, FEATURES, Hello
from taskrun.domain.records import NO_LABELS, AgentSpec, Labels, ModelBackend, TaskQuery, TaskSpec, WorkerInfo

# Bytes of UTF-8.
MAX_INPUT_BYTES = 1024 * 1024
MAX_CHUNK_BYTES = 64 * 1024
#: Of what is said to an agent while it runs or afterwards.
MAX_MESSAGE_BYTES = 64 * 1024
#: Of one run. What comes after it is dropped, and the story says so.
MAX_OUTPUT_BYTES = 64 * 1024 * 1024

#: Levels of arrays and objects in a task's input.
MAX_INPUT_DEPTH = 64

# Entries.
MAX_LABELS = 64
MAX_AGENTS = 100
MAX_BACKENDS = 100
MAX_BACKEND_ITEMS = 100
MAX_CREATE = 1000
#: Chunks of output in one message of a worker.
MAX_CHUNKS = 8192
MAX_PAGE = 1000
DEFAULT_PAGE = 100

# Characters.
MAX_LABEL_KEY = 63
MAX_LABEL_VALUE = 255
MAX_NAME = 255
MAX_DESCRIPTION = 4096
MAX_PAGE_TOKEN = 1024

MAX_CONCURRENT_RUNS = 10_000
MAX_TIMEOUT_MS = 7 * 24 * 3600 * 1000
#: How long an idempotency key is remembered.
KEY_LIFE_MS = 24 * 3600 * 1000
#: How keys begin that a client has made up, only to repeat a call of which it does not know what became; and for how
#: long a finished task is kept for the sake of one.
RETRY_KEY, RETRY_KEY_LIFE_MS = "taskrun.retry-", 10 * 60 * 1000

#: The whole numbers of a task spec, each with its least and greatest value.
_RANGES = (
    ("priority", -1000, 1000),
    ("timeout_ms", 0, MAX_TIMEOUT_MS),
    ("silence_timeout_ms", 0, MAX_TIMEOUT_MS),
    ("queue_timeout_ms", 0, MAX_TIMEOUT_MS),
    ("max_attempts", 1, 100),
)
_NUMBERS = attrgetter(*(name for name, _, _ in _RANGES))

_AGENT_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_WORKER_ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,55}[a-z0-9])?")
_OLD_WORKER_ID = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,55}[A-Za-z0-9_])?")
#: What moves a terminal's cursor, splits a line or cannot be encoded. A description may have lines.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def check_agent_name(name: str) -> None:
    """Raises unless it is a name that an agent may have."""
    if not _AGENT_NAME.fullmatch(name):
        rule = "1 to 63 of a-z, 0-9, '_' and '-', the first a letter or digit"
        raise InvalidArgument(f"{_shown(name)} is no agent name: one is {rule}.")


def check_worker_id(worker_id: str) -> None:
    """Raises unless it is an id that a worker may be given."""
    if not _WORKER_ID.fullmatch(worker_id):
        rule = "1 to 57 of a-z, 0-9 and '-', the first and last a letter or digit"
        raise InvalidArgument(f"{_shown(worker_id)} is no worker id: one is {rule}.")


def check_old_worker_id(worker_id: str) -> None:
    """Like `check_worker_id`, but also lets in what older systems gave out: capitals and underscores."""
    if not _OLD_WORKER_ID.fullmatch(worker_id):
        rule = "1 to 57 of letters, digits, '_' and '-', the first and last no '-'"
        raise InvalidArgument(f"{_shown(worker_id)} is no worker id: one is {rule}.")


def check_labels(labels: Labels, what: str = "labels") -> None:
    """Raises unless there are at most 64, with keys of 1 to 63 and values of 0 to 255 characters, none a control one.

    `what` they are called in the message.
    """
    _check_pairs(labels, what, MAX_LABEL_VALUE)


def check_json(text: str) -> None:
    """Raises unless it can be a task's input: at most 1 MiB of valid JSON (RFC 8259), at most 64 levels deep.

    Refused besides, since programs disagree about what they mean: NaN and Infinity, an object that names one key
    twice, and text that UTF-8 cannot carry (lone surrogates).
    """
    check_json_text(text, "input_json", MAX_INPUT_BYTES, MAX_INPUT_DEPTH)


def check_message(text: str) -> None:
    """Raises unless it can be said to an agent: it says something, in at most 64 KiB of UTF-8 as a JSON string."""
    if not text.strip():
        raise InvalidArgument("The message is empty: it has to say something.")
    check_json_text(json.dumps(text, ensure_ascii=False), "message", MAX_MESSAGE_BYTES, MAX_INPUT_DEPTH)


def check_key(key: str) -> None:
    """Raises unless it can be an idempotency key: a line of at most 255 characters."""
    _check_line(key, "idempotency_key")


def check_owner(owner: str) -> None:
    """Raises unless certificates of it can be asked for: a line of at most 255 characters."""
    _check_line(owner, "owner")


def checked_spec(spec: TaskSpec) -> TaskSpec:
    """The spec as it is stored, with labels of its own and its selector in order, or raises."""
    check_agent_name(spec.agent)
    check_json(spec.input_json)
    for value, (name, least, most) in zip(_NUMBERS(spec), _RANGES, strict=True):
        if not least <= value <= most:
            raise InvalidArgument(f"{name} is {value}: it must be {least} to {most}.")
    key = spec.idempotency_key
    if key:
        check_key(key)
    return TaskSpec(
        spec.agent,
        spec.input_json,
        _checked_labels(spec.labels, "labels"),
        spec.timeout_ms,
        spec.priority,
        spec.max_attempts,
        frozenset(spec.retry_on),
        _checked_selector(spec.selector),
        key,
        spec.silence_timeout_ms,
        spec.queue_timeout_ms,
    )


def checked_hello(hello: Hello) -> Hello:
    """The hello with the features that we know and a number of runs, or raises."""
    info = hello.info
    _check_line(info.hostname, "hostname")
    _check_line(info.version, "version")
    _check_line(hello.process, "process")
    _check_count(info.agents, "agents", MAX_AGENTS)
    for agent in info.agents:
        _check_agent(agent)
    names = {agent.name for agent in info.agents}
    if len(names) < len(info.agents):
        raise InvalidArgument("agents holds two of one name: a worker offers each agent once.")
    runs = hello.max_concurrent_runs or DEFAULT_MAX_CONCURRENT_RUNS
    if not 1 <= runs <= MAX_CONCURRENT_RUNS:
        raise InvalidArgument(f"max_concurrent_runs is {runs}: it must be 1 to {MAX_CONCURRENT_RUNS}.")
    return Hello(
        WorkerInfo(info.hostname, info.version, info.agents, _checked_labels(info.labels, "labels")),
        hello.features.intersection(FEATURES),
        runs,
        # Never trusted and only logged, so not worth a refusal.
        hello.claimed_id[:MAX_NAME],
        hello.process,
        hello.live_runs,
        hello.stream,
    )


def checked_query(query: TaskQuery) -> TaskQuery:
    """The query with a limit of 1 to 1000 (0 and less mean 100, more means 1000), or raises."""
    if query.agent:
        check_agent_name(query.agent)
    if len(query.page_token) > MAX_PAGE_TOKEN:
        raise InvalidArgument("page_token is none of ours: give the one of the page before.")
    limit = min(query.limit, MAX_PAGE) if query.limit > 0 else DEFAULT_PAGE
    return TaskQuery(query.status, query.agent, _checked_labels(query.labels, "labels"), limit, query.page_token)


def _checked_labels(labels: Labels, what: str) -> Labels:
    if not labels:
        return NO_LABELS
    check_labels(labels, what)
    return dict(labels)


def _checked_selector(selector: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    if not selector:
        return ()
    labels = dict(selector)
    check_labels(labels, "worker_selector")
    if len(labels) < len(selector):
        raise InvalidArgument("worker_selector names a label twice: a worker has one value for each.")
    return tuple(sorted(labels.items()))


def _check_agent(agent: AgentSpec) -> None:
    check_agent_name(agent.name)
    whose = f"of agent {agent.name}"
    _check_text(agent.description, f"the description {whose}", MAX_DESCRIPTION, _CONTROL_BUT_LINES)
    check_labels(agent.labels, f"the labels {whose}")
    _check_count(agent.backends, f"the backends {whose}", MAX_BACKENDS)
    for backend in agent.backends:
        _check_backend(backend, whose)


def _check_backend(backend: ModelBackend, whose: str) -> None:
    _check_line(backend.provider, f"a provider {whose}")
    _check_line(backend.model_name, f"a model_name {whose}")
    for what, items in (("modalities", backend.modalities), ("tools", backend.tools)):
        _check_count(items, f"the {what} {whose}", MAX_BACKEND_ITEMS)
        for item in items:
            _check_line(item, f"one of the {what} {whose}")
    _check_pairs(backend.metadata, f"the metadata {whose}", MAX_DESCRIPTION)


def _check_pairs(pairs: Mapping[str, str], what: str, max_value: int) -> None:
    _check_count(pairs, what, MAX_LABELS)
    for key, value in pairs.items():
        if not key:
            raise InvalidArgument(f"{what} holds an empty key: a key has 1 to {MAX_LABEL_KEY} characters.")
        _check_text(key, f"a key of {what}", MAX_LABEL_KEY)
        _check_text(value, f"the value of {_shown(key)} in {what}", max_value)


def _check_line(text: str, what: str) -> None:
    _check_text(text, what, MAX_NAME)


def _check_text(text: str, what: str, most: int, refused: re.Pattern[str] = _CONTROL) -> None:
    if len(text) > most:
        raise InvalidArgument(f"{what} has {len(text)} characters: at most {most} are allowed.")
    # The first test is much the faster one, and nearly every text passes it.
    if not text.isprintable() and (match := refused.search(text)):
        raise InvalidArgument(f"{what} holds the character U+{ord(match[0]):04X}: none that controls is allowed.")


def _check_count(items: Sized, what: str, most: int) -> None:
    count = len(items)
    if count > most:
        raise InvalidArgument(f"{what} has {count} entries: at most {most} are allowed.")


def _shown(text: str) -> str:
    """The text, short and harmless, for a message."""
    return ascii(text if len(text) <= 64 else text[:61] + "...")
