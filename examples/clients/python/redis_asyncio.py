"""A first program with redis-py and asyncio: redis_asyncio.py [HOST PORT]"""

import asyncio
import sys

import redis.asyncio as redis


async def main(host="127.0.0.1", port="6380"):
    async with redis.Redis(host=host, port=int(port), decode_responses=True) as r:
        await r.set("greeting", "hello", ex=3600)
        print("get:", await r.get("greeting"))

        # One round trip, whichever servers the keys are on.
        async with r.pipeline(transaction=False) as p:
            for i in range(100):
                p.set(f"item:{i}", i, ex=3600)
            print("pipeline:", len(await p.execute()), "replies")

        print("mget:", await r.mget("item:1", "item:2", "no such item", "item:99"))


asyncio.run(main(*sys.argv[1:3]))
