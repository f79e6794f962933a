"""The agent over real HTTP, with a scripted model at the other end."""

from __future__ import annotations

import asyncio
import errno
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from taskrun.adapters.agents.definitions import make_workshop
from taskrun.adapters.agents.openai import conversation
from taskrun.adapters.agents.openai.agent import OpenAIAgent
from taskrun.adapters.agents.openai.asking import MAX_KEPT, Waiting
from taskrun.adapters.agents.openai.definition import OpenAIDefinition
from taskrun.adapters.agents.sessions.shelf import Keeping
from taskrun.domain.records import Usage
from taskrun.domain.status import FailureKind
from taskrun.ports.agent_events import (
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionStarted,
    Logged,
    OutputGenerated,
    Retried,
    SessionInitialized,
    Severity,
    Thought,
    UsageReported,
)
from taskrun.ports.agents import AgentRequest, AgentResult
from taskrun.testing.model_scripts import (
    BreakOff,
    Fail,
    Hang,
    Reply,
    Say,
    Stall,
    Tokens,
    UseTool,
    default_script,
    in_turn,
)
from taskrun.testing.recording_sink import RecordingSink
from taskrun.testing.scripted_model import ScriptedModel

K = FailureKind


class World:
    """A model, an endpoint's variables, and agents that ask it. Pauses pass at once, and are kept."""

    def __init__(self, model: ScriptedModel, work_dir: Path, environ: dict[str, str]) -> None:
        self.model = model
        self.environ = {**environ, "OPENAI_BASE_URL": f"{model.url}/v1", "OPENAI_API_KEY": "sk-1"}
        self.sink = RecordingSink()
        self.pauses: list[float] = []
        self._work_dir = work_dir

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def agent(self, **keys: Any) -> OpenAIAgent:
        definition = OpenAIDefinition(name="model", **{"model": "m", **keys})
        workshop = make_workshop(self._work_dir, self.environ, 1.0, Keeping())
        return OpenAIAgent(definition, workshop, Waiting(self._pause, lambda: sum(self.pauses)))

    async def run(self, *replies: Reply, input: Any = "hi", session: str = "", fork: bool = False, **keys: Any) -> Any:
        """Runs one input; the model answers with the replies, if there are any, one after the other."""
        if replies:
            self.model.script = in_turn(*replies)
        request = AgentRequest("run-1", "task-1", json.dumps(input), session_id=session, fork=fork)
        self.sink = RecordingSink()
        return await self.agent(**keys).run(request, self.sink)

    @property
    def asked(self) -> Any:
        """The body of the latest request."""
        return self.model.requests[-1].body


@pytest.fixture
def world(work_dir: Path, environ: dict[str, str]) -> Iterator[World]:
    with ScriptedModel() as model:
        yield World(model, work_dir, environ)


@pytest.fixture(params=["chat", "responses"])
def api(request: pytest.FixtureRequest) -> Any:
    return request.param


def failure(result: AgentResult) -> tuple[FailureKind | None, str]:
    return result.failure, result.error


# Answers.


async def test_an_answer_is_streamed_as_it_comes(world: World, api: str) -> None:
    result = await world.run(Say("one two three"), api=api)
    assert failure(result) == (None, "")
    assert world.sink.texts == ["one", " two", " three"]


async def test_a_run_is_told_from_its_beginning_to_its_end(world: World, api: str) -> None:
    result = await world.run(Say("yes no", thinking="let me see", tokens=Tokens(10, 5, 7, 8)), api=api)
    assert world.sink.events == [
        ExecutionStarted("openai"),
        SessionInitialized(result.session_id, "m"),
        *(Thought(word) for word in ("let", " me", " see")),
        UsageReported("m", 10, 5, 7, 8),
        OutputGenerated("yes no", 6),
        ExecutionCompleted(),
    ]
    assert result.usage == Usage(10, 5, 7, 8)
    assert (result.backend.provider, result.backend.model_name) == ("openai", "m")


async def test_the_model_is_told_what_the_definition_says(world: World, api: str) -> None:
    keys: dict[str, Any] = {
        "system_prompt": "Be brief.",
        "prompt": "Review {input.path}.",
        "temperature": 0.0,
        "body": {"top_p": 0.5},
    }
    await world.run(input={"path": "src"}, api=api, headers={"X-Title": "t"}, max_output_tokens=9, **keys)
    request = world.model.requests[-1]
    assert (request.system, request.prompt) == ("Be brief.", "Review src.")
    assert (world.asked["temperature"], world.asked["top_p"], world.asked["stream"]) == (0.0, 0.5, True)
    assert world.asked["max_completion_tokens" if api == "chat" else "max_output_tokens"] == 9
    assert (request.headers["X-Title"], request.headers["Authorization"]) == ("t", "Bearer sk-1")


async def test_what_the_definition_does_not_say_is_left_to_the_endpoint(world: World, api: str) -> None:
    await world.run(api=api)
    ours = {"chat": {"messages", "stream_options"}, "responses": {"input", "store"}}
    assert world.asked.keys() == {"model", "stream", *ours[api]}


async def test_an_endpoint_may_want_no_key_and_has_its_variables_by_other_names(world: World) -> None:
    world.environ = {"LLAMA_URL": f"{world.model.url}/v1/"}
    result = await world.run(Say("yes"), base_url_variable="LLAMA_URL", api_key_variable="LLAMA_KEY")
    assert result.failure is None
    assert "Authorization" not in world.model.requests[-1].headers


async def test_a_key_may_have_the_end_of_its_line_still(world: World) -> None:
    world.environ["OPENAI_API_KEY"] = "sk-1\r\n"
    assert (await world.run(Say("yes"))).failure is None
    assert world.model.requests[-1].headers["Authorization"] == "Bearer sk-1"


@pytest.mark.parametrize("key", ["sk-\nsecret", "sk-\u2019secret"])
async def test_a_key_that_is_none_is_not_told(world: World, key: str) -> None:
    world.environ["OPENAI_API_KEY"] = key
    result = await world.run(Say("yes"))
    assert (result.failure, "secret" in result.error) == (K.AGENT_UNAVAILABLE, False)


async def test_an_input_without_the_templates_key_fails_in_clear_words(world: World) -> None:
    kind, error = failure(await world.run(prompt="Review {input.path}."))
    assert (kind, "'path'" in error) == (K.AGENT_ERROR, True)


async def test_an_empty_input_asks_nothing(world: World) -> None:
    assert ((await world.run(input=" ")).failure, len(world.model.requests)) == (K.AGENT_ERROR, 0)


async def test_a_promised_answer_is_checked(world: World) -> None:
    form = {"verdict": ("good", "bad")}
    assert failure(await world.run(Say('{"verdict": "good"}'), answer=form)) == (None, "")
    result = await world.run(Say("good"), answer=form)
    assert failure(result) == (K.BAD_OUTPUT, "The answer is no JSON.")
    assert result.usage.output_tokens > 0


async def test_a_very_long_answer_is_passed_on_and_not_kept(world: World) -> None:
    text = " ".join(["x" * 100_000] * (MAX_KEPT // 100_000 + 1))
    result = await world.run(Say(text))
    assert (result.failure, result.session_id, world.sink.output == text) == (None, "", True)
    kind, error = failure(await world.run(answer={"verdict": ()}))
    assert (kind, error) == (K.BAD_OUTPUT, "The answer is too long to be what was promised.")


# How an answer may end.


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Say("I would rather not.", stop_reason="refusal"), K.REFUSED),
        (Say("Once upon", stop_reason="max_tokens"), K.LIMIT_REACHED),
        (Say("Once upon", stop_reason="content_filter"), K.REFUSED),
        (UseTool("Bash", {"command": "ls"}, "Let me look."), K.BAD_OUTPUT),
    ],
)
async def test_only_a_whole_answer_is_a_success(world: World, api: str, reply: Any, kind: FailureKind) -> None:
    result = await world.run(reply, api=api)
    assert (result.failure, result.session_id, world.sink.output) == (kind, "", reply.text)
    assert result.error.endswith(".")
    assert world.sink.events[-1] == ExecutionFailed(kind)


async def test_a_stream_that_breaks_before_it_said_anything_is_asked_for_again(world: World, api: str) -> None:
    result = await world.run(BreakOff("", thinking="hm"), BreakOff("", error="Overloaded"), Say("yes"), api=api)
    assert (result.failure, world.sink.output) == (None, "yes")
    assert [told.attempt for told in world.sink.those(Retried)] == [1, 2]
    assert world.pauses == [0.5, 1.0]


@pytest.mark.parametrize("error", ["", "Overloaded"])
async def test_a_stream_that_breaks_after_it_said_something_is_a_failure(world: World, api: str, error: str) -> None:
    result = await world.run(BreakOff("one two", error=error), Say("yes"), api=api)
    assert (result.failure, error in result.error) == (K.AGENT_ERROR, True)
    assert (world.sink.output, len(world.model.requests)) == ("one two", 1)


# An endpoint in trouble.


@pytest.mark.parametrize(
    ("status", "kind", "requests"),
    [
        (400, K.AGENT_ERROR, 1),
        (401, K.AGENT_UNAVAILABLE, 1),
        (403, K.AGENT_UNAVAILABLE, 1),
        (404, K.AGENT_UNAVAILABLE, 1),
        (500, K.AGENT_UNAVAILABLE, 4),
        (529, K.AGENT_UNAVAILABLE, 4),
        (302, K.AGENT_UNAVAILABLE, 1),
    ],
)
async def test_an_error_is_tried_again_where_that_may_help(
    world: World, api: str, status: int, kind: FailureKind, requests: int
) -> None:
    result = await world.run(Fail(status, "The cat sat on it."), api=api)
    assert (result.failure, "The cat sat on it." in result.error) == (kind, True)
    assert (len(world.model.requests), len(world.pauses)) == (requests, requests - 1)


async def test_what_is_passing_passes(world: World) -> None:
    result = await world.run(Fail(500), Fail(503, retry_after=7), Say("yes"))
    assert (result.failure, world.sink.output, world.pauses) == (None, "yes", [0.5, 7.0])
    assert [told.delay_ms for told in world.sink.those(Retried)] == [500, 7000]


async def test_a_limit_that_is_reset_within_a_minute_is_waited_for(world: World) -> None:
    result = await world.run(Fail(429, retry_after=20), Say("yes"))
    assert (result.failure, world.pauses) == (None, [20.0])


async def test_a_limit_that_is_reset_later_is_told(world: World) -> None:
    result = await world.run(Fail(429, retry_after=7200), Say("yes"))
    assert (result.failure, world.pauses) == (K.LIMIT_REACHED, [])
    assert re.search(r"The limit is reset at 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC\.$", result.error)


async def test_nobody_there_is_known_after_four_tries(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        world.environ["OPENAI_BASE_URL"] = f"http://user:secret@127.0.0.1:{gone.getsockname()[1]}/v1"
    kind, error = failure(await world.run())
    assert (kind, "connection" in error, "secret" in error) == (K.AGENT_UNAVAILABLE, True, False)
    assert world.pauses == [0.5, 1.0, 2.0]


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/v1", "http://[::1", "127.0.0.1:80"])
async def test_an_address_that_is_none_is_known_at_once(world: World, url: str) -> None:
    world.environ["OPENAI_BASE_URL"] = url
    kind, error = failure(await world.run())
    assert (kind, "cannot be asked" in error, world.pauses) == (K.AGENT_UNAVAILABLE, True, [])


@pytest.mark.parametrize(("reply", "kind"), [(Hang(), K.AGENT_UNAVAILABLE), (Stall("one"), K.AGENT_ERROR)])
async def test_an_endpoint_that_falls_silent_is_given_up(world: World, reply: Reply, kind: FailureKind) -> None:
    result = await world.run(reply, silence=0.5)
    assert (result.failure, "said nothing for too long" in result.error) == (kind, True)


async def test_certificates_that_are_not_there_are_said(world: World) -> None:
    world.environ |= {"OPENAI_BASE_URL": "https://127.0.0.1:1/v1", "SSL_CERT_FILE": "/no/such/file"}
    kind, error = failure(await world.run())
    assert (kind, "No such file" in error) == (K.AGENT_UNAVAILABLE, True)


async def test_the_request_goes_through_the_proxy_that_the_worker_has(world: World) -> None:
    """A proxy is asked for the whole URL; the model takes this path for none of its own."""
    world.environ |= {"OPENAI_BASE_URL": "http://provider.invalid/v1", "HTTP_PROXY": world.model.url}
    kind, error = failure(await world.run())
    assert (kind, error) == (K.AGENT_UNAVAILABLE, "The endpoint answered 404: No such path.")


# Stopping.


@pytest.mark.parametrize("reply", [Hang(), Stall("one")])
async def test_a_cancel_ends_the_run(world: World, reply: Reply) -> None:
    world.model.script = in_turn(reply)
    run = asyncio.create_task(world.agent().run(AgentRequest("run-1", "task-1", '"hi"'), world.sink))
    assert await asyncio.to_thread(world.model.wait_for_requests, 1)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run


async def test_the_endpoint_sees_at_once_that_it_is_over(world: World) -> None:
    asked, closed = asyncio.Event(), asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        asked.set()
        await reader.read()
        writer.close()
        closed.set()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        world.environ["OPENAI_BASE_URL"] = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        run = asyncio.create_task(world.run())
        await asked.wait()
        run.cancel()
        await closed.wait()
        await asyncio.wait([run])
        assert run.cancelled()


async def test_the_time_limit_ends_the_run(world: World) -> None:
    assert (await world.run(Hang(), timeout=0.05)).failure is K.TIMEOUT


# Conversations.


async def test_a_follow_up_goes_on_with_what_was_said(world: World, api: str) -> None:
    world.model.script = default_script
    first = await world.run(input="I am Ada", api=api)
    second = await world.run(input="[[recall]]", session=first.session_id, api=api)
    assert (second.session_id, world.sink.output) == (first.session_id, "You told me before:\nI am Ada")
    assert [turn.role for turn in world.model.requests[-1].turns] == ["user", "assistant", "user"]
    await world.run(input="[[recall]]", session=first.session_id, api=api)
    assert world.sink.output == "You told me before:\nI am Ada\n[[recall]]"


async def test_each_turn_tells_its_own_usage(world: World) -> None:
    first = await world.run(Say("a", tokens=Tokens(10, 5)))
    second = await world.run(Say("b", tokens=Tokens(20, 6, 3)), session=first.session_id)
    assert second.usage == Usage(20, 6, 3)
    assert world.sink.those(UsageReported) == [UsageReported("m", 20, 6, 3)]


async def test_a_fork_leaves_the_session_as_it_was(world: World) -> None:
    world.model.script = default_script
    first = await world.run(input="I am Ada")
    fork = await world.run(input="My cat is grey", session=first.session_id, fork=True)
    assert fork.session_id not in ("", first.session_id)
    await world.run(input="[[recall]]", session=first.session_id)
    assert world.sink.output == "You told me before:\nI am Ada"


async def test_a_turn_that_fails_leaves_the_session_as_it_was(world: World) -> None:
    world.model.script = default_script
    first = await world.run(input="I am Ada")
    failed = await world.run(Fail(400), input="My cat is grey", session=first.session_id)
    assert (failed.failure, failed.session_id) == (K.AGENT_ERROR, first.session_id)
    world.model.script = default_script
    await world.run(input="[[recall]]", session=first.session_id)
    assert world.sink.output == "You told me before:\nI am Ada"


async def test_a_session_that_is_not_there_is_said(world: World) -> None:
    kind, error = failure(await world.run(session="nobody's"))
    assert (kind, "session" in error, len(world.model.requests)) == (K.AGENT_UNAVAILABLE, True, 0)


async def test_a_session_that_is_not_to_be_kept_has_no_id(world: World) -> None:
    result = await world.run(Say("a"), keep_sessions=0.0)
    assert (result.session_id, world.sink.those(SessionInitialized)) == ("", [SessionInitialized("", "m")])


async def test_a_session_that_cannot_be_written_takes_nothing_from_the_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(directory: Path, conversation: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(conversation, "save", full)
    result = await world.run(Say("a"))
    assert (result.failure, result.session_id) == (None, "")
    assert world.sink.those(Logged) == [Logged("The session is not kept: No space left on device.", Severity.WARNING)]


async def test_a_session_that_cannot_be_read_is_said(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "save", lambda directory, _: (directory / "conversation.json").write_text("[]"))
    first = await world.run(Say("a"))
    kind, error = failure(await world.run(session=first.session_id))
    assert (kind, "cannot be read" in error) == (K.AGENT_ERROR, True)


async def test_half_a_character_that_json_can_say_becomes_one_that_utf8_can(world: World, api: str) -> None:
    result = await world.run(Say("a \ud83d b", thinking="\udc00"), api=api)
    assert (world.sink.output, world.sink.those(Thought)) == ("a ? b", [Thought("?")])
    assert result.session_id != ""


# What no honest endpoint does.


@pytest.fixture
def served(world: World) -> Iterator[Callable[[bytes], None]]:
    """Answers one request with exactly these bytes."""
    threads: list[threading.Thread] = []

    def serve(answer: bytes) -> None:
        server = socket.create_server(("127.0.0.1", 0))
        world.environ["OPENAI_BASE_URL"] = f"http://127.0.0.1:{server.getsockname()[1]}"

        def answer_once() -> None:
            with server, server.accept()[0] as connection:
                asked = b""
                while not asked.endswith(b"}"):
                    asked += connection.recv(65536)
                try:
                    connection.sendall(answer)
                except OSError:
                    pass  # it was enough for him

        threads.append(threading.Thread(target=answer_once))
        threads[-1].start()

    yield serve
    for thread in threads:
        thread.join()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (HEAD + b"data: " + b"x" * 2**24, "longer than 1 MiB"),
        (HEAD + b"data: {\n\n", "no JSON object"),
        (HEAD + b"data: []\n\n", "no JSON object"),
        (HEAD + b"data: " + b"[" * 100_000 + b"\n\n", "no JSON object"),
    ],
    ids=["endless", "cut", "list", "deep"],
)
async def test_an_event_that_is_none_is_bad_output(
    world: World, served: Callable[[bytes], None], answer: bytes, words: str
) -> None:
    served(answer)
    kind, error = failure(await world.run())
    assert (kind, words in error) == (K.BAD_OUTPUT, True)


@pytest.mark.parametrize("event", ['{"choices": 7, "usage": [], "model": 1}', '{"choices": [1, {"delta": "x"}]}'])
async def test_an_event_of_another_form_says_nothing(world: World, served: Callable[[bytes], None], event: str) -> None:
    end = '{"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]}'
    served(HEAD + f"data: {event}\n\ndata: {end}\n\n".encode())
    assert failure(await world.run()) == (None, "")
    assert world.sink.output == "a"


async def test_a_connection_that_breaks_when_the_model_is_done_takes_nothing_from_its_answer(
    world: World, served: Callable[[bytes], None]
) -> None:
    event = b'data: {"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]}\n\n'
    served(HEAD.replace(b"Connection: close", b"Transfer-Encoding: chunked") + b"%x\r\n%b\r\n" % (len(event), event))
    result = await world.run()
    assert (result.failure, world.sink.output) == (None, "a")
    # What it consumed was not told.
    assert (result.usage, world.sink.those(UsageReported)) == (None, [])


async def test_an_error_without_end_is_read_to_a_limit(world: World, served: Callable[[bytes], None]) -> None:
    served(b"HTTP/1.1 400 Bad\r\nConnection: close\r\n\r\n" + b"x" * 2**24)
    kind, error = failure(await world.run())
    assert (kind, len(error) < 2000) == (K.AGENT_ERROR, True)


async def test_a_redirect_is_not_followed(world: World, served: Callable[[bytes], None]) -> None:
    served(f"HTTP/1.1 307 Go\r\nLocation: {world.model.url}/v1/chat/completions\r\n\r\n".encode())
    kind, error = failure(await world.run())
    assert (kind, "307" in error, len(world.model.requests)) == (K.AGENT_UNAVAILABLE, True, 0)
