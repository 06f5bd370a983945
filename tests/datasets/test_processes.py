import multiprocessing
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from datasets import processes

ROOT = Path(__file__).parents[2]

COUNT = 5 * processes.CHUNK // 2  # the last task is smaller than the others


def where(item: int) -> tuple[int, int]:
    return item, os.getpid()


def refuse(item: int) -> int:
    raise ValueError(f"{item} was refused")


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setattr(processes, "cores", lambda: 2)


def test_many_items_are_shared_and_their_results_in_order():
    items, where_made = zip(*processes.mapped(where, range(COUNT)), strict=True)
    assert items == tuple(range(COUNT))
    assert os.getpid() not in where_made
    assert len(set(where_made)) <= 2


def test_few_items_need_no_process():
    assert list(processes.mapped(where, range(3))) == [(item, os.getpid()) for item in range(3)]


def test_one_core_needs_no_process(monkeypatch):
    monkeypatch.setattr(processes, "cores", lambda: 1)
    assert {process for _, process in processes.mapped(where, range(COUNT))} == {os.getpid()}


def test_an_error_reaches_the_caller():
    with pytest.raises(ValueError, match="0 was refused"):
        list(processes.mapped(refuse, range(COUNT)))


def test_processes_end_with_a_parent_that_is_killed(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    code = """
from datasets.processes import process_pool
from tests.datasets.test_processes import where
pool = process_pool(1)
print(pool.submit(where, 0).result()[1], flush=True)
input()
"""
    script = tmp_path / "script.py"  # without a guard of `__main__`, so the process must not import it
    script.write_text(code)
    parent = subprocess.Popen(
        [sys.executable, script], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        parent.send_signal(signal.SIGKILL)
        parent.communicate(timeout=30)  # the child has the other end of standard output, until it ends
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def test_a_daemonic_process_makes_all_by_itself(monkeypatch):
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    assert {process for _, process in processes.mapped(where, range(COUNT))} == {os.getpid()}
