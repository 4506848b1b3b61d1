"""The life of a job moves one way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from calotype.job import TRANSITIONS, JobStatus, new_job_id


@given(st.sampled_from(JobStatus), st.sampled_from(JobStatus))
def test_what_is_over_stays_over(status: JobStatus, other: JobStatus) -> None:
    if status.final:
        assert not status.may_become(other)
    assert not status.may_become(status)


def test_every_status_has_its_transitions() -> None:
    assert set(TRANSITIONS) == set(JobStatus)
    assert [s for s in JobStatus if s.final] == [JobStatus.FINISHED, JobStatus.FAILED, JobStatus.CANCELLED]


def test_ids_are_unique_and_unguessable() -> None:
    ids = {new_job_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(i) == 32 for i in ids)
    assert len({i[12:] for i in ids}) == 1000
