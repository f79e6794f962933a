from __future__ import annotations

from pytest_bdd import step, then, when

from taskrun.domain.records import TaskChange
from taskrun.domain.status import TaskStatus
from tests.acceptance.steps.reader import Reader
from tests.acceptance.steps.scene import Scene
from tests.acceptance.steps.words import says


@step(says("somebody watches {title:text}"))
def watch(scene: Scene, title: str) -> None:
    scene.title = title
    scene.readers.append(Reader(scene.driver.watch(scene.tasks[title])))


@when(says("somebody watches {title:text} to the end"))
def watch_to_end(scene: Scene, title: str) -> None:
    watch(scene, title)
    scene.readers[-1].read_to_end()


@when(says("somebody watches {title:text} from the number {seq:number}"))
def watch_from(scene: Scene, title: str, seq: int) -> None:
    scene.readers.append(Reader(scene.driver.watch(scene.tasks[title], seq)))


@when("somebody tries to watch a task that does not exist")
def watch_nothing(scene: Scene) -> None:
    reader = Reader(scene.driver.watch("00000000-0000-7000-8000-000000000000"))
    with scene.trying():
        reader.read_to_end()


@step(says("the watcher reads {text:text}"))
def reads(scene: Scene, text: str) -> None:
    scene.readers[-1].read_until_said(text)


@when("the watcher goes away")
def go_away(scene: Scene) -> None:
    scene.readers[-1].close()


@when("the watcher comes back for the rest")
def come_back(scene: Scene) -> None:
    reader = scene.readers[-1]
    reader.come_back(scene.driver.watch(scene.tasks[scene.title], reader.next_seq))


@then(says("the watch ends with the task {status:task_status}"))
def ends_with(scene: Scene, status: TaskStatus) -> None:
    reader = scene.readers[-1]
    reader.read_to_end()
    assert reader.entries[-1].is_end
    assert _statuses(reader)[-1] is status


@then("the watch ends without a word")
def ends_silently(scene: Scene) -> None:
    scene.readers[-1].read_to_end()
    assert scene.readers[-1].entries == []


@then("the story is numbered from 0 without a gap")
@then("the watcher has read the whole story once")
def complete(scene: Scene) -> None:
    entries = scene.readers[-1].entries
    assert [entry.seq for entry in entries] == list(range(len(entries)))
    assert entries[-1].is_end


@then(says("the story begins with {first:task_status} and ends with {last:task_status}"))
def begins_and_ends(scene: Scene, first: TaskStatus, last: TaskStatus) -> None:
    statuses = _statuses(scene.readers[-1])
    assert (statuses[0], statuses[-1]) == (first, last)


@then("both have read the same story")
def same_story(scene: Scene) -> None:
    one, other = scene.readers
    one.read_to_end()
    assert one.entries == other.entries


@then(says("the watcher has read the output of {count:number} runs"))
def runs_told_apart(scene: Scene, count: int) -> None:
    reader = scene.readers[-1]
    reader.read_to_end()
    assert [run.id for run in scene.task().runs] == list(reader.outputs())
    assert len(reader.outputs()) == count


def _statuses(reader: Reader) -> list[TaskStatus]:
    return [entry.body.status for entry in reader.entries if isinstance(entry.body, TaskChange)]
