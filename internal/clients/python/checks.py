"""What the Python sweeps share: running checks, and the data they use.

A sweep prints "ok NAME" or "FAIL NAME: reason" for each check and exits with 1 if any failed.
"""

import asyncio
import inspect
import sys
import traceback

MEGABYTE = 1 << 20
BIG = bytes(range(256)) * (10 * MEGABYTE // 256)
BINARY_KEYS = [b"", b"\x00", b"\r\n", b"$5\r\nhello\r\n", b"{", b"{}x", b"{\xff}y", bytes(range(256)), b"k" * 70000]
BINARY_KEYS += [b"bin:" + bytes([i]) for i in range(256)]


def equal(got, want):
    if got != want:
        raise AssertionError(f"got {shorten(got)}, want {shorten(want)}")


def shorten(value):
    text = repr(value)
    return text if len(text) <= 200 else text[:200] + "..."


def run(checks):
    """Runs checks, a list of (name, function or coroutine function), and ends the program."""
    failed = False
    for name, check in checks:
        failed |= not report(name, lambda: check())
    sys.exit(1 if failed else 0)


async def run_async(checks):
    """As run, for coroutine functions that share one event loop. Returns the exit code."""
    code = 0
    for name, check in checks:
        try:
            await asyncio.wait_for(check(), 60)
            print("ok", name, flush=True)
        except BaseException as e:
            code = 1
            fail(name, e)
    return code


def report(name, check):
    try:
        check()
        print("ok", name, flush=True)
        return True
    except BaseException as e:
        fail(name, e)
        return False


def fail(name, e):
    reason = " ".join(f"{type(e).__name__}: {e}".split())
    print(f"FAIL {name}: {reason[:500]}", flush=True)
    traceback.print_exception(e, file=sys.stderr)
