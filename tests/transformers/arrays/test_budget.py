"""A budget is never exceeded, and no thread waits for ever."""

import threading
import time

import pytest

from kserve_transformers.arrays.budget import Budget


def test_never_more_than_the_limit_and_all_get_their_turn():
    budget, lock = Budget(10), threading.Lock()
    spent, most, done = 0, 0, []

    def work(amount):
        nonlocal spent, most
        with budget.spend(amount):
            with lock:
                spent += min(amount, 10)
                most = max(most, spent)
            time.sleep(0.001)
            with lock:
                spent -= min(amount, 10)
        done.append(amount)

    amounts = [1, 9, 3, 50, 2, 10] * 20
    threads = [threading.Thread(target=work, args=(amount,)) for amount in amounts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert sorted(done) == sorted(amounts)
    assert 5 < most <= 10


def test_a_large_amount_is_not_overtaken_by_small_ones():
    budget, order = Budget(10), []
    first = budget.spend(1)
    first.__enter__()

    def work(name, amount):
        with budget.spend(amount):
            order.append(name)

    threads = []
    for name, amount in (("large", 10), ("small", 1), ("small", 1)):
        threads.append(threading.Thread(target=work, args=(name, amount)))
        threads[-1].start()
        while not budget._turn.locked():  # the large one waits
            time.sleep(0.001)
    assert order == []
    first.__exit__(None, None, None)
    for thread in threads:
        thread.join(300)
    assert order == ["large", "small", "small"]


def test_what_was_spent_comes_back_after_a_failure():
    budget = Budget(1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), budget.spend(1):
            raise ZeroDivisionError
