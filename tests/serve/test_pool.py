"""Workers die alone, are ended when nobody waits, and take no more than may wait."""

import asyncio
import os
import time

import pytest

pytest.importorskip("fastapi")

from fastapi import HTTPException

from overtone.serve.pool import BusyError, CrashError, Pool
from overtone.serve.service import unless_gone
from overtone.serve.settings import Limits
from overtone.serve.uploads import bounded


def work(_, item, report):
    if item == "crash":
        os._exit(3)
    if item == "sleep":
        time.sleep(60)
    report(0.5)
    return os.getpid()


def test_a_worker_that_dies_or_is_not_waited_for_is_replaced():
    async def talk():
        pool = Pool(int, work, workers=1, queue=0)
        try:
            told = []
            first = await pool.run("", told.append)
            assert told == [0.5]
            with pytest.raises(CrashError, match="code 3"):
                await pool.run("crash")
            second = await pool.run("")
            sleeping = asyncio.create_task(pool.run("sleep"))
            await asyncio.sleep(0.1)
            assert pool.busy == 1
            with pytest.raises(BusyError):
                await pool.run("")
            sleeping.cancel()
            await asyncio.wait([sleeping])
            third = await pool.run("")
            assert len({first, second, third}) == 3
        finally:
            await pool.close()

    asyncio.run(asyncio.wait_for(talk(), 60))


def test_what_never_ends_is_given_up():
    async def talk():
        pool = Pool(int, work, workers=1, queue=0, timeout_s=5)
        try:
            with pytest.raises(CrashError, match="not done within 5 s"):
                await pool.run("sleep")
        finally:
            await pool.close()

    asyncio.run(asyncio.wait_for(talk(), 60))


def test_work_ends_when_the_client_goes():
    ended = []

    class Request:
        async def receive(self):
            return {"type": "http.disconnect"}

    async def long():
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    with pytest.raises(HTTPException, match="gone"):
        asyncio.run(unless_gone(Request(), long()))
    assert ended == [True]


def test_a_byte_now_and_then_is_too_slow():
    async def drip():
        while True:
            await asyncio.sleep(0.01)
            yield b"x"

    async def read():
        limits = Limits(upload_timeout_s=0.1, upload_floor=1000)
        return [chunk async for chunk in bounded(drip(), limits)]

    with pytest.raises(HTTPException) as refused:
        asyncio.run(read())
    assert refused.value.status_code == 408
