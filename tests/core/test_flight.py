"""Single flight: shared runs that never strand anyone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_refresh.flight import Flight

pytestmark = pytest.mark.anyio


class Work:
    """Runs that wait until they are told to end, and say in which order they began."""

    def __init__(self) -> None:
        self.given: list[int | None] = []
        self.gates: list[anyio.Event] = []
        self.failing: set[int] = set()

    async def __call__(self, last: int | None) -> int:
        number = len(self.gates)
        self.given.append(last)
        self.gates.append(anyio.Event())
        await self.gates[number].wait()
        if number in self.failing:
            raise LookupError(number)
        return number

    @property
    def runs(self) -> int:
        return len(self.gates)


class Callers:
    """Tasks that ask a flight for one key, each in a cancel scope of its own."""

    def __init__(self, group: anyio.abc.TaskGroup, flight: Flight[int], work: Any) -> None:
        self.group, self.flight, self.work = group, flight, work
        self.answers: dict[str, Any] = {}
        self.scopes: dict[str, anyio.CancelScope] = {}
        self.after: dict[str, Callable[[], object]] = {}

    async def ask(self, *names: str, key: str = "key") -> None:
        for name in names:
            self.group.start_soon(self._ask, name, key)
            await anyio.wait_all_tasks_blocked()

    async def _ask(self, name: str, key: str) -> None:
        with anyio.CancelScope() as self.scopes[name]:
            try:
                self.answers[name] = await self.flight.run(key, self.work)
            except LookupError as error:
                self.answers[name] = error
            self.after.get(name, lambda: None)()
        if self.scopes[name].cancelled_caught:
            self.answers[name] = "cancelled"

    async def cancel(self, name: str) -> None:
        self.scopes[name].cancel()
        await anyio.wait_all_tasks_blocked()

    async def end(self, number: int) -> None:
        self.work.gates[number].set()
        await anyio.wait_all_tasks_blocked()


async def test_a_lone_caller_runs_it_and_gets_the_result() -> None:
    flight = Flight[str]()

    async def work(last: str | None) -> str:
        assert last is None
        return "result"

    assert await flight.run("key", work) == "result"


async def test_who_asks_while_a_run_is_under_way_waits_for_the_next() -> None:
    work = Work()
    async with anyio.create_task_group() as group:
        callers = Callers(group, Flight(), work)
        await callers.ask("first", "second", "third")
        await callers.end(0)

        assert callers.answers == {"first": 0}
        await callers.end(1)

    assert callers.answers == {"first": 0, "second": 1, "third": 1}


async def test_all_who_wait_share_one_run() -> None:
    work = Work()
    async with anyio.create_task_group() as group:
        callers = Callers(group, Flight(), work)
        await callers.ask("first", *(f"waiter {n}" for n in range(100)))
        await callers.end(0)
        await callers.end(1)

    assert work.runs == 2
    assert len(callers.answers) == 101


async def test_who_asks_during_the_shared_run_waits_for_another() -> None:
    work = Work()
    async with anyio.create_task_group() as group:
        callers = Callers(group, Flight(), work)
        await callers.ask("first", "second")
        await callers.end(0)
        await callers.ask("third")
        await callers.end(1)

        assert "third" not in callers.answers
        await callers.end(2)

    assert callers.answers["third"] == 2


async def test_a_run_is_given_the_result_of_the_run_just_before() -> None:
    work = Work()
    async with anyio.create_task_group() as group:
        callers = Callers(group, Flight(), work)
        await callers.ask("first", "second")
        await callers.end(0)
        await callers.end(1)
        await callers.ask("third")
        await callers.end(2)

    assert work.given == [None, 0, None]


async def test_a_run_that_failed_leaves_nothing_to_the_next() -> None:
    work = Work()
    work.failing = {0}
    async with anyio.create_task_group() as group:
        callers = Callers(group, Flight(), work)
        await callers.ask("first", "second")
        await callers.end(0)
        await callers.end(1)

    assert work.given == [None, None]


async def test_different_keys_do_not_wait_for_each_other() -> None:
    work = Work()
    async with anyio.create_task_group() as group:
        callers = Callers(group, Flight(), work)
        await callers.ask("first", key="one")
        await callers.ask("second", key="two")
        await callers.end(1)

        assert callers.answers == {"second": 1}
        await callers.end(0)


async def test_when_the_leader_is_cancelled_the_next_takes_over() -> None:
    work = Work()
    async with anyio.create_task_group() as group:
        callers = Callers(group, Flight(), work)
        await callers.ask("first", "second", "third")
        await callers.cancel("first")
        await callers.end(1)

    assert callers.answers == {"first": "cancelled", "second": 1, "third": 1}


async def test_an_error_is_the_leaders_alone() -> None:
    work = Work()
    work.failing = {0}
    async with anyio.create_task_group() as group:
        callers = Callers(group, Flight(), work)
        await callers.ask("first", "second", "third")
        await callers.end(0)
        await callers.end(1)

    assert isinstance(callers.answers.pop("first"), LookupError)
    assert callers.answers == {"second": 1, "third": 1}


async def test_when_everything_fails_everyone_gets_an_error_of_their_own() -> None:
    work = Work()
    work.failing = {0, 1, 2}
    async with anyio.create_task_group() as group:
        callers = Callers(group, Flight(), work)
        await callers.ask("first", "second", "third")
        for number in range(3):
            await callers.end(number)

    assert sorted(error.args[0] for error in callers.answers.values()) == [0, 1, 2]


async def test_a_waiter_that_is_cancelled_leaves_the_others_served() -> None:
    work = Work()
    async with anyio.create_task_group() as group:
        callers = Callers(group, Flight(), work)
        await callers.ask("first", "second", "third")
        await callers.cancel("second")
        await callers.end(0)
        await callers.end(1)

    assert callers.answers == {"first": 0, "second": "cancelled", "third": 1}


async def test_a_waiter_cancelled_as_it_is_chosen_to_lead_passes_the_lead_on() -> None:
    work = Work()
    async with anyio.create_task_group() as group:
        callers = Callers(group, Flight(), work)
        await callers.ask("first", "second", "third")
        # In the leader's task, with "second" chosen and not yet resumed.
        callers.after["first"] = callers.scopes["second"].cancel
        await callers.end(0)
        for gate in work.gates:
            gate.set()

    assert callers.answers["second"] == "cancelled"
    assert callers.answers["third"] in (1, 2)


def test_a_waiter_whose_task_is_cancelled_as_it_is_chosen_passes_the_lead_on() -> None:
    # A cancellation of asyncio's own, which is delivered where the task waits.
    async def main() -> None:
        flight, gate = Flight[str](), asyncio.Event()

        async def work(_last: str | None) -> str:
            await gate.wait()
            return "result"

        async def lead() -> None:
            await flight.run("key", work)
            second.cancel()  # chosen, and not yet resumed

        first = asyncio.create_task(lead())
        second, third = (asyncio.create_task(flight.run("key", work)) for _ in range(2))
        await asyncio.sleep(0)
        gate.set()
        async with asyncio.timeout(5):
            await first
            with pytest.raises(asyncio.CancelledError):
                await second
            assert await third == "result"
        assert flight._lines == {}

    asyncio.run(main())


def test_the_last_waiter_cancelled_as_it_is_chosen_leaves_no_key_behind() -> None:
    async def main() -> None:
        flight, gate = Flight[str](), asyncio.Event()

        async def work(_last: str | None) -> str:
            await gate.wait()
            return "result"

        async def lead() -> None:
            await flight.run("key", work)
            second.cancel()  # chosen, and not yet resumed

        first = asyncio.create_task(lead())
        second = asyncio.create_task(flight.run("key", work))
        await asyncio.sleep(0)
        gate.set()
        async with asyncio.timeout(5):
            await first
            with pytest.raises(asyncio.CancelledError):
                await second
        assert flight._lines == {}

    asyncio.run(main())


def test_a_waiter_whose_task_is_cancelled_as_it_is_served_disturbs_nobody() -> None:
    async def main() -> None:
        flight, gate = Flight[str](), asyncio.Event()

        async def work(_last: str | None) -> str:
            await gate.wait()
            return "result"

        async def lead() -> str:
            result = await flight.run("key", work)
            served.cancel()  # has its answer, and has not yet resumed
            return result

        first = asyncio.create_task(flight.run("key", work))
        leads = asyncio.create_task(lead())
        served = asyncio.create_task(flight.run("key", work))
        await asyncio.sleep(0)
        gate.set()
        async with asyncio.timeout(5):
            assert await first == await leads == "result"
            with pytest.raises(asyncio.CancelledError):
                await served
        assert flight._lines == {}

    asyncio.run(main())


async def test_a_result_of_none_is_shared_like_any_other() -> None:
    flight, gate, runs = Flight[None](), anyio.Event(), 0

    async def work(_last: None) -> None:
        nonlocal runs
        runs += 1
        await gate.wait()

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(flight.run, "key", work)
        await anyio.wait_all_tasks_blocked()
        gate.set()

    assert runs == 2


async def test_a_waiter_cancelled_in_a_shared_run_that_fails_strands_nobody() -> None:
    work = Work()
    work.failing = {1}
    flight = Flight[int]()
    async with anyio.create_task_group() as group:
        callers = Callers(group, flight, work)
        await callers.ask("first", "leads", "shares", "shares too")
        await callers.end(0)
        await callers.cancel("shares")
        await callers.end(1)
        await callers.end(2)

    assert isinstance(callers.answers.pop("leads"), LookupError)
    assert callers.answers == {"first": 0, "shares": "cancelled", "shares too": 2}
    assert flight._lines == {}


async def test_all_of_a_shared_run_that_fails_may_be_cancelled() -> None:
    work = Work()
    work.failing = {1}
    flight = Flight[int]()
    async with anyio.create_task_group() as group:
        callers = Callers(group, flight, work)
        await callers.ask("first", "leads", "shares")
        await callers.end(0)
        await callers.cancel("shares")
        await callers.end(1)

        assert flight._lines == {}


async def test_those_who_shared_a_failed_run_come_before_those_who_asked_later() -> None:
    work = Work()
    work.failing = {1, 2}
    async with anyio.create_task_group() as group:
        callers = Callers(group, Flight(), work)
        await callers.ask("first", "leads", "shares")
        await callers.end(0)
        await callers.ask("later")
        await callers.end(1)
        await callers.end(2)
        await callers.end(3)

    assert callers.answers["shares"].args == (2,)
    assert callers.answers["later"] == 3


@pytest.mark.parametrize("ending", ["result", "error", "cancelled"])
async def test_no_key_is_kept_once_nobody_runs_or_waits(ending: str) -> None:
    work = Work()
    work.failing = {0} if ending == "error" else set()
    flight = Flight[int]()
    async with anyio.create_task_group() as group:
        callers = Callers(group, flight, work)
        await callers.ask("first")
        assert len(flight._lines) == 1
        await (callers.cancel("first") if ending == "cancelled" else callers.end(0))

        assert flight._lines == {}


async def test_the_last_waiters_cancellation_leaves_no_key_behind() -> None:
    work = Work()
    flight = Flight[int]()
    async with anyio.create_task_group() as group:
        callers = Callers(group, flight, work)
        await callers.ask("first", "second")
        await callers.cancel("second")
        await callers.cancel("first")

        assert flight._lines == {}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_loops_in_two_threads_do_not_wait_for_each_other(backend: str) -> None:
    flight, both = Flight[int](), threading.Barrier(2, timeout=10)
    answers: list[int] = []

    async def work(_last: int | None) -> int:
        both.wait()  # passed only while a run of the other loop is under way
        return threading.get_ident()

    async def main() -> None:
        answers.append(await flight.run("key", work))

    def run() -> None:
        anyio.run(main, backend=backend)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(answers)) == 2
    assert flight._lines == {}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@given(
    plans=st.lists(
        st.tuples(
            st.integers(0, 4),  # when it asks
            st.sampled_from(["result", "error"]),
            st.integers(0, 4),  # how long its run takes
            st.none() | st.integers(0, 8),  # when it is cancelled
        ),
        min_size=1,
        max_size=8,
    )
)
def test_nobody_is_stranded_and_no_answer_is_older_than_its_question(
    backend: str, plans: list[tuple[int, str, int, int | None]]
) -> None:
    flight = Flight[int]()
    began = 0
    outcomes: list[str] = []

    async def steps(count: int) -> None:
        for _ in range(count):
            await anyio.lowlevel.checkpoint()

    async def caller(delay: int, ending: str, duration: int, cancelled: int | None) -> None:
        await steps(delay)
        asked = began

        async def work(_last: int | None) -> int:
            nonlocal began
            began += 1
            number = began
            await steps(duration)
            if ending == "error":
                raise LookupError
            return number

        async with anyio.create_task_group() as group:
            if cancelled is not None:
                group.start_soon(cancel_after, group.cancel_scope, cancelled)
            try:
                assert await flight.run("key", work) > asked
                outcomes.append("result")
            except LookupError:
                assert ending == "error", "somebody else's error"
                outcomes.append("error")
            group.cancel_scope.cancel()

    async def cancel_after(scope: anyio.CancelScope, count: int) -> None:
        await steps(count)
        scope.cancel()

    async def main() -> None:
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                for plan in plans:
                    group.start_soon(caller, *plan)

    anyio.run(main, backend=backend)

    assert len(outcomes) >= sum(cancelled is None for *_, cancelled in plans)
    assert flight._lines == {}
