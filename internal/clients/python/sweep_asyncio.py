"""The sweep of redis-py's asyncio client: sweep_asyncio.py HOST PORT [RESP version]"""

import asyncio
import sys

import redis.asyncio as redis
from redis.exceptions import NoScriptError, RedisError, ResponseError, WatchError

from checks import BIG, BINARY_KEYS, equal, run_async

HOST, PORT = sys.argv[1], int(sys.argv[2])
OPTIONS = {"protocol": int(sys.argv[3])} if len(sys.argv) > 3 else {}


def connect(**more):
    return redis.Redis(host=HOST, port=PORT, **OPTIONS, **more)


async def main():
    r = connect(decode_responses=True)
    raw = connect()
    await r.flushall()

    async def strings():
        equal(await r.set("s:a", "1"), True)
        equal(await r.incrby("s:a", 6), 7)
        equal(await r.mset({f"s:{i}": i for i in range(20)}), True)
        equal(await r.mget([f"s:{i}" for i in range(20)] + ["s:none"]), [str(i) for i in range(20)] + [None])
        equal(await r.delete(*[f"s:{i}" for i in range(20)]), 20)
        equal(sorted(await asyncio.gather(*[r.incr("s:a") for _ in range(50)])), list(range(8, 58)))
        try:
            await r.hget("s:a", "f")
            raise AssertionError("HGET of a string worked")
        except ResponseError as e:
            equal("WRONGTYPE" in str(e) or "wrong kind of value" in str(e), True)

    async def hashes():
        equal(await r.hset("h", mapping={"a": "1", "b": "2"}), 2)
        equal(await r.hgetall("h"), {"a": "1", "b": "2"})
        equal(dict([p async for p in r.hscan_iter("h")]), {"a": "1", "b": "2"})

    async def lists():
        equal(await r.rpush("{l}1", "a", "b", "c"), 3)
        equal(await r.lmove("{l}1", "{l}2"), "a")
        equal(await r.lrange("{l}1", 0, -1), ["b", "c"])

    async def sets():
        equal(await r.sadd("{t}1", "a", "b"), 2)
        equal(await r.sadd("{t}2", "b", "c"), 2)
        equal(set(await r.sinter("{t}1", "{t}2")), {"b"})
        equal({m async for m in r.sscan_iter("{t}1")}, {"a", "b"})

    async def sorted_sets():
        equal(await r.zadd("z", {"a": 1, "b": 2.5}), 2)
        equal([tuple(p) for p in await r.zrange("z", 0, -1, withscores=True)], [("a", 1.0), ("b", 2.5)])
        equal(await r.zscore("z", "b"), 2.5)

    async def streams():
        ids = [await r.xadd("x", {"n": n}) for n in range(5)]
        equal([i for i, _ in await r.xrange("x")], ids)
        equal(await r.xgroup_create("x", "g", id="0"), True)
        equal(len(await r.xreadgroup("g", "me", {"x": ">"}, count=4)), 1)
        equal((await r.xpending("x", "g"))["pending"], 4)
        equal(await r.xack("x", "g", *ids), 4)

    async def hyperloglog():
        await r.pfadd("{p}1", *range(1000))
        await r.pfmerge("{p}2", "{p}1")
        equal(abs(await r.pfcount("{p}1", "{p}2") - 1000) < 50, True)

    async def geo():
        equal(await r.geoadd("g", (13.361389, 38.115556, "Palermo")), 1)
        equal(await r.geosearch("g", longitude=13, latitude=38, radius=100, unit="km"), ["Palermo"])

    async def bits():
        equal(await r.setbit("{b}1", 7, 1), 0)
        equal(await r.bitop("NOT", "{b}2", "{b}1"), 1)
        equal(await r.bitcount("{b}2"), 7)

    async def scan():
        want = {f"scan:{i}" for i in range(1000)}
        await r.mset(dict.fromkeys(want, "x"))
        equal({k async for k in r.scan_iter(match="scan:*", count=50)}, want)

    async def pipeline():
        async with r.pipeline(transaction=False) as p:
            for i in range(1000):
                p.set(f"pipe:{i}", i).get(f"pipe:{i}")
            equal(await p.execute(), [v for i in range(1000) for v in (True, str(i))])

    async def transaction():
        async with r.pipeline(transaction=True) as p:
            equal(await p.set("{tx}a", 1).incr("{tx}a").rpush("{tx}b", "x").execute(), [True, 2, 1])
        async with r.pipeline(transaction=True) as p:
            for i in range(50):
                p.set(f"tx:{i}", i)
            try:
                await p.execute()
                raise AssertionError("a transaction over several nodes worked")
            except RedisError as e:
                equal("hash to the same slot" in str(e) or "EXECABORT" in str(e) or "previous errors" in str(e), True)

    async def watch():
        await r.set("{w}a", 5)
        async with r.pipeline() as p:
            await p.watch("{w}a")
            equal(await p.get("{w}a"), "5")
            p.multi()
            p.incr("{w}a")
            equal(await p.execute(), [6])
            await p.watch("{w}a")
            await r.set("{w}a", "changed")
            p.multi()
            p.incr("{w}a")
            try:
                await p.execute()
                raise AssertionError("EXEC worked although the key had changed")
            except WatchError:
                pass

    async def scripts():
        script = r.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
        equal(await asyncio.gather(*[script(keys=[f"ev:{i}"], args=[i]) for i in range(30)]), list(range(30)))
        try:
            await r.evalsha("0" * 40, 1, "k")
            raise AssertionError("EVALSHA of an unknown script worked")
        except NoScriptError:
            pass

    async def blocking():
        popped = [asyncio.create_task(connect(decode_responses=True).blpop([f"bl:{i}"], timeout=5)) for i in range(20)]
        await asyncio.sleep(0.1)
        for i in range(20):
            await r.rpush(f"bl:{i}", i)
        equal([tuple(p) for p in await asyncio.gather(*popped)], [(f"bl:{i}", str(i)) for i in range(20)])
        equal(await r.blpop(["bl:none"], timeout=0.1), None)

    async def pubsub():
        async with r.pubsub() as sub:
            await sub.subscribe("news")
            equal((await next_message(sub))["type"], "subscribe")
            equal(await r.publish("news", "hello"), 1)
            equal((await next_message(sub))["data"], "hello")
            await sub.unsubscribe("news")
            equal((await next_message(sub))["type"], "unsubscribe")

    async def patterns():
        async with r.pubsub() as sub:
            await sub.psubscribe("pat.*")
            equal((await next_message(sub))["type"], "psubscribe")
            await asyncio.gather(*[r.publish(f"pat.{i}", i) for i in range(50)])
            equal(sorted([(await next_message(sub))["channel"] for _ in range(50)]), sorted(f"pat.{i}" for i in range(50)))

    async def big_value():
        equal(await raw.set("big", BIG), True)
        equal(await raw.get("big") == BIG, True)
        equal(await raw.delete("big"), 1)

    async def binary_keys():
        equal(await raw.mset({k: b"v" + k for k in BINARY_KEYS}), True)
        equal(await raw.mget(BINARY_KEYS) == [b"v" + k for k in BINARY_KEYS], True)
        equal(await raw.delete(*BINARY_KEYS), len(BINARY_KEYS))

    async def mget():
        keys = [f"many:{i}" for i in range(10000)]
        equal(await r.mset(dict(zip(keys, keys))), True)
        equal(await r.mget(keys) == keys, True)
        equal(await r.delete(*keys), 10000)

    code = await run_async([
        ("strings", strings), ("hashes", hashes), ("lists", lists), ("sets", sets), ("sorted-sets", sorted_sets),
        ("streams", streams), ("hyperloglog", hyperloglog), ("geo", geo), ("bits", bits), ("scan", scan),
        ("pipeline", pipeline), ("transaction", transaction), ("watch", watch), ("scripts", scripts),
        ("blocking", blocking), ("pubsub", pubsub), ("patterns", patterns), ("big-value", big_value),
        ("binary-keys", binary_keys), ("mget", mget),
    ])
    await r.aclose()
    await raw.aclose()
    return code


async def next_message(sub):
    for _ in range(50):
        m = await sub.get_message(timeout=0.2)
        if m is not None:
            return m
    raise AssertionError("no message came within ten seconds")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
