"""Dealing files to workers that crash, stall, start late or cannot see the files."""

from collections import deque

import pytest

from edgehar._version import __version__
from edgehar.batch.clip_worker import ClipStatus, Outcome, Reply
from edgehar.batch.dispatch import Beat, Dispatch, Ended, Ready
from edgehar.batch.listing import BatchFile
from edgehar.errors import BundleError, ConfigError, EdgeharError, SourceError


class FakeWorkers:
    """Workers whose messages are decided by `answer(worker, file)`; time passes by one second a `wait`."""

    def __init__(self, answer, *, started=lambda worker: Ready(__version__)):
        self.answer, self.started = answer, started
        self.now_s, self.count = 0.0, 0
        self.alive, self.calls = set(), []
        self.messages = deque()

    def start(self):
        self.count += 1
        self.alive.add(self.count)
        self.messages.append((self.count, self.started(self.count)))
        return self.count

    def send(self, worker, file):
        assert worker in self.alive
        self.calls.append((worker, file.name))
        self.messages.extend((worker, message) for message in self.answer(worker, file))

    def wait(self, timeout_s):
        self.now_s += timeout_s
        return [self.messages.popleft()] if self.messages else []

    def stop(self, worker):
        self.alive.discard(worker)

    def where(self, worker):
        return f"node-{worker}"


def done(_worker, file):
    return [Reply(Outcome(source=file.name))]


def run(workers, names="abcd", jobs=2, address="/{}", **options):
    files = [BatchFile(name, address.format(name)) for name in names]
    replies = list(Dispatch(workers, jobs, clock=lambda: workers.now_s, **options).run(files))
    assert workers.alive == set()
    return {reply.outcome.source: reply.outcome.status for reply in replies}, len(replies)


def test_every_file_is_answered_once():
    workers = FakeWorkers(done)
    assert run(workers, "abcdefg") == (dict.fromkeys("abcdefg", ClipStatus.DONE), 7)
    assert sorted(name for _, name in workers.calls) == list("abcdefg")
    assert workers.count == 2


def test_no_more_workers_than_files_are_started():
    workers = FakeWorkers(done)
    run(workers, "a", jobs=8)
    assert workers.count == 1


def test_a_file_that_ends_its_worker_twice_is_set_aside_and_the_others_go_on():
    workers = FakeWorkers(lambda w, f: [Ended("killed")] if f.name == "b" else done(w, f))
    statuses, count = run(workers)
    assert count == 4
    assert statuses == {**dict.fromkeys("acd", ClipStatus.DONE), "b": ClipStatus.CRASHED}
    assert [name for _, name in workers.calls].count("b") == 2


def test_a_worker_that_dies_once_costs_nothing():
    died = []

    def answer(worker, file):
        if file.name == "b" and not died:
            died.append(worker)
            return [Ended("killed")]
        return done(worker, file)

    assert run(FakeWorkers(answer)) == (dict.fromkeys("abcd", ClipStatus.DONE), 4)


def test_a_worker_without_progress_is_ended_and_its_file_tried_again():
    tried = []

    def answer(worker, file):
        if file.name == "b":
            tried.append(worker)
            return [] if len(tried) == 1 else [*[Beat()] * 3, *done(worker, file)]
        return done(worker, file)

    statuses, _ = run(FakeWorkers(answer), stall_s=5.0)
    assert statuses["b"] is ClipStatus.DONE
    assert len(tried) == 2


def test_progress_keeps_a_slow_file_alive():
    def answer(worker, file):
        return [*[Beat()] * 20, *done(worker, file)]

    assert run(FakeWorkers(answer), "a", stall_s=1.5)[0] == {"a": ClipStatus.DONE}


def test_an_error_at_the_start_is_raised_as_it_is():
    error = BundleError("no such operator")
    with pytest.raises(BundleError, match="no such operator"):
        run(FakeWorkers(done, started=lambda _: Ended("failed", error)))


def test_workers_that_never_start_end_the_batch():
    with pytest.raises(EdgeharError, match="cannot be started: out of memory"):
        run(FakeWorkers(done, started=lambda _: Ended("out of memory")))


def test_a_worker_that_fails_to_start_once_is_replaced():
    started = lambda worker: Ended("lost") if worker == 1 else Ready(__version__)  # noqa: E731
    assert run(FakeWorkers(done, started=started))[1] == 4


def test_another_version_of_edgehar_is_refused():
    with pytest.raises(ConfigError, match=r"node-1 has edgehar 0\.0\.1"):
        run(FakeWorkers(done, started=lambda _: Ready("0.0.1")))


def unseen(worker, file):
    missing = worker == 1
    status = ClipStatus.DAMAGED if missing else ClipStatus.DONE
    return [Reply(Outcome(source=file.name, status=status), missing=missing)]


def test_a_machine_without_the_files_is_not_used(tmp_path, caplog):
    for name in "abcd":
        (tmp_path / name).touch()
    workers = FakeWorkers(unseen)
    statuses, _ = run(workers, address=f"{tmp_path}/{{}}")
    assert set(statuses.values()) == {ClipStatus.DONE}
    assert "cannot be read on node-1" in caplog.text


def test_files_that_no_machine_sees_end_the_batch(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(SourceError, match="every machine needs the files"):
        run(FakeWorkers(unseen), "a", jobs=1, address=f"{tmp_path}/{{}}")


def test_a_file_that_exists_nowhere_is_only_damaged():
    assert run(FakeWorkers(unseen), "a", jobs=1, address="/nowhere/{}")[0] == {"a": ClipStatus.DAMAGED}


def test_closing_ends_the_workers():
    workers = FakeWorkers(done)
    replies = Dispatch(workers, 2).run([BatchFile(name, name) for name in "abcd"])
    next(replies)
    assert workers.alive
    replies.close()
    assert workers.alive == set()
