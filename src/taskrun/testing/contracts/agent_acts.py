"""What an agent is asked to play before its contract: a closed list, and the words that the acts have in common."""

from __future__ import annotations

from enum import Enum

#: Said one after the other, in pieces that are streamed as they come.
PIECES = ("one", " two", " three")
#: Said before an agent does what it is to be stopped in, and around what is hard to read.
READY, BEFORE, AFTER = "ready", "<before>", "<after>"
#: Why an agent fails, in its own words.
REASON = "The ticket 4711 does not exist."
#: A value in the worker's environment that no agent may see.
SECRET = "the worker's own secret"
#: What a program says that looks around; a line for each variable, and then the directory it is in.
LOOK = "env; pwd"
#: What a tool is asked to do, and what it answers.
TOOL_COMMAND, TOOL_ANSWER = "echo from the tool", "from the tool"
#: The same of one that may not be used. It is none of those that some agents take for harmless.
DENIED_COMMAND, DENIED_ANSWER = "touch forbidden && echo it is done", "it is done"
#: What is thought, which is no part of an answer.
THOUGHT = "let me see"
#: The steps of a plan, of which the first is done, and the plan as it is told.
STEPS, PLAN = ("look", "tell"), "[x] look\n[ ] tell"

LONG_LINE_BYTES = 50 * 2**20
#: More than any buffer between an agent and its worker may hold.
FLOOD_BYTES = 32 * 2**20

#: What a nasty program's processes are called, and how many there are.
NASTY_COMMAND, NASTY_PROCESSES = "sleep 1000", 4
#: Goes before a command: it drops its environment, and of the run only a test still finds it.
UNLABELLED = "env -i WAS=$TASKRUN_RUN_ID"
#: A shell's command that ignores whatever can be ignored, forks twice, gets away into a session of its own, drops its
#: environment, and holds standard output open in all of its processes.
NASTY = (
    f"trap '' TERM HUP INT; (setsid sh -c '({NASTY_COMMAND} &); {NASTY_COMMAND}; :' &); "
    f"({UNLABELLED} setsid {NASTY_COMMAND} &); {NASTY_COMMAND}; :"
)


class Act(Enum):
    """One thing that a kind of agent can or cannot do. The value is a row of the matrix in docs/agents.md, the comment
    is what is to be played."""

    #: Says PIECES, each by itself, and succeeds.
    STREAM = "says its text in order and once"
    #: Says READY, and for ever is in the middle of that message.
    MIDST = "streams a message while it is being said"
    #: As STREAM, and names a model in its result.
    MODEL = "names its model"
    #: As STREAM, has input and output tokens in its result, and tells of what it consumed before it ends.
    USAGE = "counts its tokens, and tells of them before its end"
    #: As STREAM, with a session that has an id.
    SESSION = "names its session"
    #: Has a tool do TOOL_COMMAND, and says what that answered.
    TOOL = "tells its tool calls"
    #: Wants a tool to do DENIED_COMMAND, is denied that by whoever decides here, tells so, and succeeds.
    ASKED = "tells a tool call that was denied"
    #: Thinks THOUGHT, then as STREAM.
    THINK = "tells its thoughts"
    #: Means to do STEPS, then has done the first of them, and succeeds.
    PLAN = "tells its plan"
    #: A call of its model fails as one does that may be made again; it is, and then as STREAM.
    RETRY = "tells a call of its model that is made again"
    #: As STREAM, and tells the whole of what it said when it has said it.
    ANSWER = "tells its answer whole"
    #: Fails for REASON, and says so itself.
    FAIL = "fails by its own word: `agent_error`"
    #: What it needs is not there, or not in order: a program, a provider, a key.
    UNAVAILABLE = "cannot be had: `agent_unavailable`"
    #: Declines to do what is asked.
    REFUSE = "declines: `refused`"
    #: Has used up what it may use.
    LIMIT = "has used up its limit: `limit_reached`"
    #: Breaks a promise about its answer, or is not to be understood.
    BAD_OUTPUT = "breaks its word: `bad_output`"
    #: Says READY, and works on for ever.
    TIME_OUT = "overruns its limit: `timeout`"
    #: Says BEFORE, begins a message, and ends in the middle of it as if all were well.
    HALF = "ends within a message: a failure"
    #: Says PIECES, then ends as if all were well, and never says how it went.
    NO_RESULT = "ends without a result: a failure"
    #: Says BEFORE, then a line of LONG_LINE_BYTES, which a program with messages makes one that is none and one that is
    #: one; then AFTER, and succeeds.
    LONG_LINE = "a line of 50 MiB is survived"
    #: Says BEFORE, then bytes that are no UTF-8, then AFTER, and succeeds.
    NOT_UTF8 = "bytes that are no UTF-8 are survived"
    #: Says FLOOD_BYTES and more, as fast as it can, and succeeds.
    FLOOD = "waits for a slow reader"
    #: Says READY, and then nothing more.
    HANG = "is cancelled within the grace"
    #: Says READY, and then becomes NASTY.
    NASTY = "leaves no process, however it tries"
    #: Says what LOOK says.
    LOOK = "keeps to its directory and environment"
    #: Wants a tool to do DENIED_COMMAND, which nothing in its table allows; says what came of it, and succeeds.
    DENIED = "denies a tool that nobody allowed"
    #: Has a session with an id, and says everything that it was ever told in it, this time's input at the end.
    REMEMBER = "goes on with an earlier session"
    #: As REMEMBER, and can go on with a copy.
    FORK = "goes on with a copy of a session"
