"""What every `Store` must do for readers: one task, lists in pages, and stories from any point."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from contextlib import suppress
from dataclasses import replace

import pytest

from taskrun.domain.errors import InvalidArgument
from taskrun.domain.records import OutputSegment, StoryEntry, TaskQuery
from taskrun.domain.status import TaskStatus
from taskrun.ports.store import Batch, Store
from taskrun.testing.contracts.store_cases import (
    COMPLETED,
    PENDING,
    RUNNING,
    TRIAGE,
    change,
    ids,
    make_task,
    moved,
    output,
    save,
    task_id,
    tell,
)


async def _found(store: Store, query: TaskQuery) -> list[str]:
    return [task.id for task in (await store.find(query)).tasks]


class FindContract:
    """Lists are newest first, filtered, and in pages that lose and repeat nothing."""

    async def test_an_empty_store_has_no_tasks(self, store: Store) -> None:
        page = await store.find(TaskQuery())
        assert (page.tasks, page.next_page_token) == ((), "")

    async def test_tasks_come_newest_first(self, store: Store) -> None:
        for n in (2, 3, 1):
            await save(store, make_task(n))
        assert (await store.find(TaskQuery())).tasks == (make_task(3), make_task(2), make_task(1))

    async def test_a_status_is_looked_for(self, store: Store) -> None:
        await save(store, *(make_task(n, status) for n, status in enumerate([PENDING, RUNNING, COMPLETED] * 2)))
        assert await _found(store, TaskQuery(status=RUNNING)) == ids(4, 1)
        assert await _found(store, TaskQuery(status=TaskStatus.FAILED)) == []

    async def test_a_task_is_found_only_under_the_status_it_has(self, store: Store) -> None:
        await save(store, make_task(1))
        for status in (RUNNING, PENDING, RUNNING, COMPLETED):
            await save(store, moved(make_task(1), status))
            assert {each: await _found(store, TaskQuery(status=each)) for each in TaskStatus} == {
                each: ids(1) if each is status else [] for each in TaskStatus
            }

    async def test_an_agent_is_looked_for(self, store: Store) -> None:
        await save(store, make_task(1), make_task(2, needs=TRIAGE), make_task(3, COMPLETED), make_task(4, RUNNING))
        assert await _found(store, TaskQuery(agent="general")) == ids(4, 3, 1)
        assert await _found(store, TaskQuery(agent="unheard-of")) == []

    async def test_labels_must_all_match(self, store: Store) -> None:
        await save(store, make_task(1, labels={"team": "red"}), make_task(2), make_task(3, labels={"team": "blue"}))
        await save(store, make_task(4, labels={"team": "red", "env": "test"}))
        assert await _found(store, TaskQuery(labels={"team": "red"})) == ids(4, 1)
        assert await _found(store, TaskQuery(labels={"team": "red", "env": "test"})) == ids(4)
        assert await _found(store, TaskQuery(labels={"team": ""})) == []

    async def test_filters_are_joined(self, store: Store) -> None:
        red = {"team": "red"}
        await save(store, make_task(1, RUNNING, labels=red), make_task(2, RUNNING), make_task(3, labels=red))
        await save(store, make_task(4, RUNNING, needs=TRIAGE, labels=red), make_task(5, RUNNING, labels=red))
        assert await _found(store, TaskQuery(RUNNING, "general", red)) == ids(5, 1)

    async def test_a_page_holds_no_more_than_the_limit(self, store: Store) -> None:
        await save(store, *(make_task(n) for n in range(5)))
        assert await _found(store, TaskQuery(limit=3)) == ids(4, 3, 2)

    async def test_the_last_page_has_no_token_even_if_it_is_full(self, store: Store) -> None:
        await save(store, *(make_task(n) for n in range(4)))
        first = await store.find(TaskQuery(limit=2))
        assert first.next_page_token
        last = await store.find(TaskQuery(limit=2, page_token=first.next_page_token))
        assert [task.id for task in last.tasks] == ids(1, 0)
        assert last.next_page_token == ""

    @pytest.mark.parametrize(
        "query",
        [
            TaskQuery(limit=3),
            TaskQuery(limit=3, agent="general"),
            TaskQuery(limit=3, status=PENDING),
            TaskQuery(limit=3, agent="general", status=PENDING),
            TaskQuery(limit=3, labels={"team": "red"}),
        ],
        ids=["all", "agent", "status", "agent and status", "labels"],
    )
    async def test_pages_show_every_task_once_whatever_is_created_meanwhile(
        self, store: Store, query: TaskQuery
    ) -> None:
        await save(store, *(make_task(n, labels={"team": "red"}) for n in range(10)))
        seen: list[str] = []
        for n in range(100, 200):
            page = await store.find(query)
            seen += [task.id for task in page.tasks]
            if not page.next_page_token:
                break
            await save(store, make_task(n, labels={"team": "red"}))
            query = TaskQuery(query.status, query.agent, query.labels, query.limit, page.next_page_token)
        assert seen == ids(*reversed(range(10)))

    async def test_a_page_goes_on_where_the_last_ended_although_its_tasks_match_no_more(self, store: Store) -> None:
        await save(store, *(make_task(n) for n in range(4)))
        page = await store.find(TaskQuery(status=PENDING, limit=2))
        await save(store, *(moved(task, RUNNING) for task in page.tasks))
        assert await _found(store, TaskQuery(PENDING, limit=2, page_token=page.next_page_token)) == ids(1, 0)

    @pytest.mark.parametrize("token", ["x", "no token", task_id(1), "ü", "=", "A" * 1000])
    async def test_a_token_of_another_is_refused(self, store: Store, token: str) -> None:
        await save(store, make_task(1))
        with pytest.raises(InvalidArgument):
            await store.find(TaskQuery(page_token=token))

    async def test_an_id_that_no_store_could_keep_is_nobodys(self, store: Store) -> None:
        """Ids and tokens come from anybody. PostgreSQL keeps no NUL in a text."""
        assert await store.get("\0") is None
        assert list(await store.story("\0", 0)) == []
        with suppress(InvalidArgument):
            assert (
                await store.find(TaskQuery(page_token=urlsafe_b64encode(b"after:\0").decode().rstrip("=")))
            ).tasks == ()

    async def test_a_rare_label_is_found_among_many(self, store: Store) -> None:
        await save(store, *(make_task(n, labels={"rare": "yes"} if n % 700 == 1 else {}) for n in range(1500)))
        page = await store.find(TaskQuery(labels={"rare": "yes"}, limit=2))
        assert [task.id for task in page.tasks] == ids(1401, 701)
        assert await _found(store, TaskQuery(labels={"rare": "yes"}, page_token=page.next_page_token)) == ids(1)

    async def test_following_the_pages_finds_what_few_have(self, store: Store) -> None:
        await save(store, *(make_task(n, labels={"rare": "yes"} if n == 1 else {}) for n in range(12_000)))
        query = TaskQuery(labels={"rare": "yes"})
        seen: list[str] = []
        for _ in range(100):
            page = await store.find(query)
            seen += [task.id for task in page.tasks]
            if not page.next_page_token:
                break
            query = replace(query, page_token=page.next_page_token)
        assert seen == ids(1)


class StoryContract:
    """A story is read from any seq, in order, without gaps."""

    #: Takes the seqs 0 to 7.
    STORY = (change(0), output(1, "a", "b", "c"), change(4), output(5, "d", "e", first_seq=3), change(7, COMPLETED))

    async def test_an_unknown_task_has_no_story(self, store: Store) -> None:
        assert list(await store.story(task_id(1), 0)) == []

    async def test_a_task_without_entries_has_no_story(self, store: Store) -> None:
        await save(store, make_task(1))
        assert list(await store.story(task_id(1), 0)) == []

    async def test_a_story_is_read_as_it_was_told(self, store: Store) -> None:
        await tell(store, make_task(1), *self.STORY)
        assert tuple(await store.story(task_id(1), 0)) == self.STORY

    async def test_a_story_told_in_parts_is_one(self, store: Store) -> None:
        for entry in self.STORY:
            await tell(store, make_task(1), entry)
        assert tuple(await store.story(task_id(1), 0)) == self.STORY

    async def test_a_story_grows_without_its_task_being_saved(self, store: Store) -> None:
        await tell(store, make_task(1), change(0))
        await store.commit(Batch(story={task_id(1): [change(1)]}))
        assert list(await store.story(task_id(1), 0)) == [change(0), change(1)]

    @pytest.mark.parametrize(("from_seq", "skipped"), [(1, 1), (4, 2), (5, 3), (7, 4)])
    async def test_a_story_is_read_from_the_entry_that_begins_there(
        self, store: Store, from_seq: int, skipped: int
    ) -> None:
        await tell(store, make_task(1), *self.STORY)
        assert tuple(await store.story(task_id(1), from_seq)) == self.STORY[skipped:]

    @pytest.mark.parametrize(("from_seq", "contents"), [(2, ("b", "c")), (3, ("c",))])
    async def test_a_segment_is_cut_to_begin_where_the_reader_does(
        self, store: Store, from_seq: int, contents: tuple[str, ...]
    ) -> None:
        await tell(store, make_task(1), *self.STORY)
        rest = OutputSegment("run-1", from_seq - 1, contents, {"stream": "stdout"})
        expected = (StoryEntry(from_seq, 5001, rest), *self.STORY[2:])
        assert tuple(await store.story(task_id(1), from_seq)) == expected

    @pytest.mark.parametrize("from_seq", [8, 9, 10**9])
    async def test_past_the_end_is_nothing(self, store: Store, from_seq: int) -> None:
        await tell(store, make_task(1), *self.STORY)
        assert list(await store.story(task_id(1), from_seq)) == []

    async def test_a_mark_of_dropped_output_takes_one_seq(self, store: Store) -> None:
        mark = StoryEntry(1, 5001, OutputSegment("run-1", 7, (), truncated=True))
        await tell(store, make_task(1), change(0), mark, change(2))
        assert list(await store.story(task_id(1), 1)) == [mark, change(2)]

    async def test_a_reader_gets_no_more_than_the_limit_and_goes_on(self, store: Store) -> None:
        await tell(store, make_task(1), *self.STORY)
        read: list[StoryEntry] = []
        while part := await store.story(task_id(1), read[-1].next_seq if read else 0, limit=2):
            assert len(part) <= 2
            read += part
        assert tuple(read) == self.STORY

    async def test_stories_are_apart(self, store: Store) -> None:
        await tell(store, make_task(1), change(0))
        await tell(store, make_task(2), change(0, RUNNING))
        assert list(await store.story(task_id(1), 0)) == [change(0)]
        assert list(await store.story(task_id(2), 0)) == [change(0, RUNNING)]
