"""Slow watchers miss steps, never states."""

from __future__ import annotations

import asyncio
import threading

from calotype.bus import Bus
from calotype.events import Cancelled, Event, Finished, Paused, Queued, Started, Stepped


async def _settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_slow_watcher_keeps_the_latest_step_and_every_state() -> None:
    async def scenario() -> list[Event]:
        bus = Bus()
        watcher = bus.watch("j")
        events: list[Event] = [Queued("j", 2), Queued("j", 1), Started("j")]
        events += [Stepped("j", k, 100) for k in range(1, 101)]
        events += [Stepped("other", 1, 1), Finished("j", ())]
        for event in events:
            bus.publish(event)
        await _settled()
        seen = [await watcher.next() for _ in range(4)]
        watcher.close()
        assert bus.watched() == []
        return seen

    assert asyncio.run(scenario()) == [Queued("j", 1), Started("j"), Stepped("j", 100, 100), Finished("j", ())]


def test_what_was_noted_at_the_start_is_kept_until_the_job_is_over() -> None:
    bus, noted = Bus(), Started("j", ("a note",))
    assert bus.started("j") == Started("j")
    bus.publish(noted)
    bus.publish(Stepped("j", 1, 2))
    assert bus.started("j") == noted
    assert bus.started("other") == Started("other")
    bus.publish(Finished("j", ()))
    assert bus.started("j") == Started("j")


def test_events_of_other_threads_arrive_in_order() -> None:
    async def scenario() -> list[Event]:
        bus = Bus()
        watcher = bus.watch("j")
        thread = threading.Thread(target=lambda: [bus.publish(Started("j")), bus.publish(Cancelled("j"))])
        thread.start()
        seen = [await asyncio.wait_for(watcher.next(), 5) for _ in range(2)]
        thread.join()
        watcher.close()
        return seen

    assert asyncio.run(scenario()) == [Started("j"), Cancelled("j")]


def test_a_watcher_whose_loop_has_ended_is_forgotten() -> None:
    bus = Bus()

    async def scenario() -> None:
        bus.watch("j")

    asyncio.run(scenario())
    assert bus.is_watched("j")
    bus.publish(Started("j"))
    assert not bus.is_watched("j")


def test_pausing_again_and_again_makes_no_queue() -> None:
    async def scenario() -> list[Event]:
        bus = Bus()
        watcher = bus.watch("j")
        for k in range(1, 100):
            for event in (Started("j"), Stepped("j", k, 100), Paused("j")):
                bus.publish(event)
        bus.publish(Started("j"))
        await asyncio.sleep(0.01)
        return list(watcher._events)

    assert asyncio.run(scenario()) == [Stepped("j", 99, 100), Started("j")]


def test_many_watchers_are_told_of_fewer_steps_and_of_the_end_at_once() -> None:
    async def scenario() -> list[Event]:
        bus = Bus()
        watcher = bus.watch("j")
        others = [bus.watch("k") for _ in range(40_000)]
        assert bus.pace > 10
        seen: list[Event] = []

        async def read() -> None:
            while not isinstance(event := await watcher.next(), Finished):
                seen.append(event)

        reading = asyncio.create_task(read())
        for step in range(1, 50):
            bus.publish(Stepped("j", step, 50))
            await _settled()
        assert seen == [Stepped("j", 1, 50)]
        bus.publish(Finished("j", ()))
        await asyncio.wait_for(reading, 5)
        for other in others:
            other.close()
        assert bus.pace < 0.001
        return seen

    assert asyncio.run(scenario()) == [Stepped("j", 1, 50), Stepped("j", 49, 50)]


def test_a_paced_step_comes_in_its_time() -> None:
    async def scenario() -> list[Event]:
        bus = Bus()
        watcher = bus.watch("j")
        others = [bus.watch("k") for _ in range(200)]
        for step in (1, 2, 3):
            bus.publish(Stepped("j", step, 3))
            await _settled()
        first = await watcher.next()
        bus.publish(Stepped("j", 4, 4))
        second = await asyncio.wait_for(watcher.next(), 5)
        del others
        return [first, second]

    assert asyncio.run(scenario()) == [Stepped("j", 3, 3), Stepped("j", 4, 4)]
