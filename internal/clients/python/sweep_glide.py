"""The sweep of valkey-glide: sweep_glide.py HOST PORT [RESP version]"""

import asyncio
import sys

from glide import (Batch, BitwiseOperation, GeoSearchByRadius, GeospatialData, GeoUnit, GlideClient, GlideClientConfiguration, ListDirection,
                   MaxId, MinId, NodeAddress, ProtocolVersion, RangeByIndex, RequestError, Script, StreamReadGroupOptions, StreamReadOptions)

from checks import BIG, BINARY_KEYS, equal, run_async

HOST, PORT = sys.argv[1], int(sys.argv[2])
OPTIONS = {"protocol": ProtocolVersion[f"RESP{sys.argv[3]}"]} if len(sys.argv) > 3 else {}
Modes = GlideClientConfiguration.PubSubChannelModes


async def connect(**more):
    return await GlideClient.create(GlideClientConfiguration([NodeAddress(HOST, PORT)], **(OPTIONS | more)))


async def main():
    r = await connect()
    await r.flushall()

    async def strings():
        equal(await r.set("s:a", "1"), "OK")
        equal(await r.get("s:a"), b"1")
        equal(await r.incrby("s:a", 41), 42)
        equal(await r.get("s:none"), None)
        equal(await r.mset({"s:1": "a", "s:2": "b", "s:3": "c"}), "OK")
        equal(await r.mget(["s:1", "s:none", "s:3"]), [b"a", None, b"c"])
        equal(await r.exists(["s:1", "s:none"]), 1)
        equal(await r.delete(["s:1", "s:2", "s:3"]), 3)
        equal(await r.msetnx({"{s}1": "a", "{s}2": "b"}), True)
        equal(await r.rename("{s}1", "{s}3"), "OK")
        try:
            await r.incr("{s}3")
            raise AssertionError("INCR of a word worked")
        except RequestError as e:
            equal("not an integer" in str(e), True)

    async def hashes():
        equal(await r.hset("h", {"a": "1", "b": "2"}), 2)
        equal(await r.hgetall("h"), {b"a": b"1", b"b": b"2"})
        equal(await r.hmget("h", ["a", "none"]), [b"1", None])

    async def lists():
        equal(await r.rpush("{l}1", ["a", "b", "c"]), 3)
        equal(await r.lmove("{l}1", "{l}2", ListDirection.LEFT, ListDirection.RIGHT), b"a")
        equal(await r.lrange("{l}1", 0, -1), [b"b", b"c"])

    async def sets():
        equal(await r.sadd("{t}1", ["a", "b"]), 2)
        equal(await r.sadd("{t}2", ["b", "c"]), 2)
        equal(await r.sinter(["{t}1", "{t}2"]), {b"b"})
        equal(await r.sunion(["{t}1", "{t}2"]), {b"a", b"b", b"c"})

    async def sorted_sets():
        equal(await r.zadd("z", {"a": 1, "b": 2.5}), 2)
        equal(await r.zrange_withscores("z", RangeByIndex(0, -1)), {b"a": 1.0, b"b": 2.5})
        equal(await r.zscore("z", "b"), 2.5)

    async def streams():
        ids = [await r.xadd("x", [("n", str(n))]) for n in range(5)]
        equal(list(await r.xrange("x", MinId(), MaxId())), ids)
        equal(list((await r.xread({"x": "0"}, StreamReadOptions(count=3)))[b"x"]), ids[:3])
        equal(await r.xgroup_create("x", "g", "0"), "OK")
        equal(list((await r.xreadgroup({"x": ">"}, "g", "me", StreamReadGroupOptions(count=4)))[b"x"]), ids[:4])
        equal(await r.xack("x", "g", ids), 4)

    async def hyperloglog():
        await r.pfadd("{p}1", [str(i) for i in range(1000)])
        equal(await r.pfmerge("{p}2", ["{p}1"]), "OK")
        equal(abs(await r.pfcount(["{p}1", "{p}2"]) - 1000) < 50, True)

    async def geo():
        equal(await r.geoadd("g", {"Palermo": GeospatialData(13.361389, 38.115556)}), 1)
        equal(await r.geosearch("g", GeospatialData(13, 38), GeoSearchByRadius(100, GeoUnit.KILOMETERS)), [b"Palermo"])

    async def bits():
        equal(await r.setbit("{b}1", 7, 1), 0)
        equal(await r.bitop(BitwiseOperation.NOT, "{b}2", ["{b}1"]), 1)
        equal(await r.bitcount("{b}2"), 7)

    async def scan():
        want = {f"scan:{i}".encode() for i in range(3000)}
        await r.mset(dict.fromkeys(want, "x"))
        seen, cursor = set(), b"0"
        while True:
            cursor, found = await r.scan(cursor, match="scan:*", count=100)
            seen.update(found)
            if cursor == b"0":
                break
        equal(seen, want)

    async def pipeline():
        b = Batch(is_atomic=False)
        for i in range(1000):
            b.set(f"pipe:{i}", str(i)).get(f"pipe:{i}")
        equal(await r.exec(b, raise_on_error=True), [v for i in range(1000) for v in ("OK", str(i).encode())])

    async def transaction():
        b = Batch(is_atomic=True).set("{tx}a", "1").incr("{tx}a").rpush("{tx}b", ["x"])
        equal(await r.exec(b, raise_on_error=True), ["OK", 2, 1])
        b = Batch(is_atomic=True)
        for i in range(50):
            b.set(f"tx:{i}", "x")
        try:
            await r.exec(b, raise_on_error=True)
            raise AssertionError("a transaction over several nodes worked")
        except RequestError as e:
            equal("CrossSlot" in str(e) or "ExecAbort" in str(e) or "CROSSSLOT" in str(e) or "EXECABORT" in str(e), True)
        equal(await r.exists([f"tx:{i}" for i in range(50)]), 0)

    async def watch():
        own = await connect()
        await r.set("{w}a", "5")
        equal(await own.watch(["{w}a"]), "OK")
        equal(await own.exec(Batch(is_atomic=True).incr("{w}a"), raise_on_error=True), [6])
        equal(await own.watch(["{w}a"]), "OK")
        await r.set("{w}a", "100")
        equal(await own.exec(Batch(is_atomic=True).incr("{w}a"), raise_on_error=True), None)
        equal(await r.get("{w}a"), b"100")
        await own.close()

    async def scripts():
        script = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
        equal(await asyncio.gather(*[r.invoke_script(script, [f"ev:{i}"], [str(i)]) for i in range(30)]), list(range(30)))
        equal(await r.script_exists([script.get_hash(), "0" * 40]), [True, False])

    async def blocking():
        own = await connect()
        popped = asyncio.create_task(own.blpop(["bl"], 5))
        await asyncio.sleep(0.1)
        await r.rpush("bl", ["x"])
        equal(await popped, [b"bl", b"x"])
        equal(await own.blpop(["bl:none"], 0.1), None)
        await own.close()

    async def subscribed(mode, names, channels):
        # The library takes subscriptions over RESP3 only.
        sub = await connect(protocol=ProtocolVersion.RESP3,
                            pubsub_subscriptions=GlideClientConfiguration.PubSubSubscriptions({mode: names}, None, None))
        for channel in channels:
            while await r.publish(f"to {channel}", channel) < 1:  # creating a client does not wait for its subscriptions
                await asyncio.sleep(0.01)
        for _ in channels:
            m = await sub.get_pubsub_message()
            equal(m.message, b"to " + m.channel)
        await sub.close()

    async def pubsub():
        channels = [f"room:{i}" for i in range(20)]
        await subscribed(Modes.Exact, set(channels), channels)

    async def patterns():
        await subscribed(Modes.Pattern, {"pat.*"}, [f"pat.{i}" for i in range(100)])

    async def big_value():
        equal(await r.set("big", BIG), "OK")
        equal(await r.get("big") == BIG, True)
        equal(await r.delete(["big"]), 1)

    async def binary_keys():
        equal(await r.mset({k: b"v" + k for k in BINARY_KEYS}), "OK")
        equal(await r.mget(BINARY_KEYS) == [b"v" + k for k in BINARY_KEYS], True)
        equal(await r.delete(BINARY_KEYS), len(BINARY_KEYS))

    async def mget():
        keys = [f"many:{i}" for i in range(10000)]
        equal(await r.mset(dict(zip(keys, keys))), "OK")
        equal(await r.mget(keys) == [k.encode() for k in keys], True)
        equal(await r.delete(keys), 10000)

    code = await run_async([
        ("strings", strings), ("hashes", hashes), ("lists", lists), ("sets", sets), ("sorted-sets", sorted_sets),
        ("streams", streams), ("hyperloglog", hyperloglog), ("geo", geo), ("bits", bits), ("scan", scan),
        ("pipeline", pipeline), ("transaction", transaction), ("watch", watch), ("scripts", scripts),
        ("blocking", blocking), ("pubsub", pubsub), ("patterns", patterns), ("big-value", big_value),
        ("binary-keys", binary_keys), ("mget", mget),
    ])
    await r.close()
    return code


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
