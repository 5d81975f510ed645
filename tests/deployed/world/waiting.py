"""Waiting for a fact. The stack works by itself, so there is nothing to wake: one looks until it is so."""

import time


def until(fact, what, within=60.0):
    """The first answer of `fact` that is true; fails with `what` after `within` seconds."""
    end = time.monotonic() + within
    while True:
        answer = fact()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"after {within:.0f} s still not so: {what}; last seen: {answer!r}")
        time.sleep(0.1)
