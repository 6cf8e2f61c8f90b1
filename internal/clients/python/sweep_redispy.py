"""The sweep of redis-py's synchronous client, and of its RedisCluster: sweep_redispy.py HOST PORT [cluster] [RESP version]"""

import os
import sys
import threading

import redis

from checks import BIG, BINARY_KEYS, equal, run

HOST, PORT, *REST = sys.argv[1:]
CLUSTER = REST[:1] == ["cluster"]
OPTIONS = {"protocol": int(version) for version in REST[CLUSTER:]}
if os.environ.get("RINGWAY_TLS_CA"):
    OPTIONS.update(ssl=True, ssl_ca_certs=os.environ["RINGWAY_TLS_CA"])
RESP3 = OPTIONS.get("protocol") == 3

# Before keys that one command has together: in cluster mode the client itself wants them in one slot.
TAG = "{one}" if CLUSTER else ""
QUEUED_OK = "OK" if CLUSTER else True  # RedisCluster does not translate what EXEC answers


def connect(**more):
    return (redis.RedisCluster if CLUSTER else redis.Redis)(host=HOST, port=int(PORT), **OPTIONS, **more)


r = connect(decode_responses=True)
raw = connect()


def strings():
    equal(r.set("s:a", "1"), True)
    equal(r.get("s:a"), "1")
    equal(r.set("s:a", "2", nx=True), None)
    equal(r.set("s:a", "2", get=True), "1")
    equal(r.append("s:a", "34"), 3)
    equal(r.incrby("s:a", 6), 240)
    equal(r.incrbyfloat("s:f", 1.5), 1.5)
    equal(r.getrange("s:a", 0, 1), "24")
    equal(r.setrange("s:a", 1, "x"), 3)
    equal(r.strlen("s:a"), 3)
    equal(r.getdel("s:a"), "2x0")
    equal(r.get("s:a"), None)
    equal(r.set("s:e", "x", ex=100), True)
    equal(0 < r.ttl("s:e") <= 100, True)
    equal(r.persist("s:e"), True)
    equal(r.type("s:e"), "string")
    m1, m2, m3, none = [TAG + k for k in ("s:m1", "s:m2", "s:m3", "s:none")]
    equal(r.mset({m1: "1", m2: "2", m3: "3"}), True)
    equal(r.mget(m1, none, m3), ["1", None, "3"])
    equal(r.msetnx({"{s}1": "a", "{s}2": "b"}), True)
    equal(r.exists(m1, m2, none), 2)
    equal(r.touch(m1, m2), 2)
    equal(r.unlink(m1, none), 1)
    equal(r.delete(m2, m3), 2)
    equal(r.rename("{s}1", "{s}3"), True)
    equal(r.copy("{s}3", "{s}4"), True)
    try:
        r.incr("{s}3")
        raise AssertionError("INCR of a word worked")
    except redis.ResponseError as e:
        equal(str(e), "value is not an integer or out of range")


def hashes():
    equal(r.hset("h", mapping={"a": "1", "b": "2"}), 2)
    equal(r.hgetall("h"), {"a": "1", "b": "2"})
    equal(r.hmget("h", "a", "c"), ["1", None])
    equal(r.hincrby("h", "a", 4), 5)
    equal(r.hdel("h", "b"), 1)
    equal(r.hexists("h", "b"), False)
    equal(r.hset("h2", mapping={f"f{i}": i for i in range(1000)}), 1000)
    equal(dict(r.hscan_iter("h2", count=10)), {f"f{i}": str(i) for i in range(1000)})
    equal(r.hrandfield("h"), "a")


def lists():
    equal(r.rpush("{l}1", "a", "b", "c"), 3)
    equal(r.lrange("{l}1", 0, -1), ["a", "b", "c"])
    equal(r.lmove("{l}1", "{l}2"), "a")
    equal(r.linsert("{l}1", "before", "c", "x"), 3)
    equal(r.lpos("{l}1", "x"), 1)
    equal(r.lrem("{l}1", 0, "x"), 1)
    equal(r.lpop("{l}1", 2), ["b", "c"])
    equal(r.rpop("{l}1"), None)
    equal(r.lmpop(2, "{l}1", "{l}2", direction="LEFT"), ["{l}2", ["a"]])


def sets():
    equal(r.sadd("{t}1", "a", "b", "c"), 3)
    equal(r.sadd("{t}2", "b", "c", "d"), 3)
    equal(set(r.smembers("{t}1")), {"a", "b", "c"})
    equal(set(r.sinter("{t}1", "{t}2")), {"b", "c"})
    equal(set(r.sunion("{t}1", "{t}2")), {"a", "b", "c", "d"})
    equal(r.sdiffstore("{t}3", "{t}1", "{t}2"), 1)
    equal(r.sintercard(2, ["{t}1", "{t}2"]), 2)
    equal(r.smismember("{t}1", "a", "z"), [1, 0])
    equal(r.smove("{t}1", "{t}2", "a"), True)
    equal(set(r.sscan_iter("{t}2")), {"a", "b", "c", "d"})


def sorted_sets():
    equal(r.zadd("{z}1", {"a": 1, "b": 2, "c": 3.5}), 3)
    equal([tuple(p) for p in r.zrange("{z}1", 0, -1, withscores=True)], [("a", 1.0), ("b", 2.0), ("c", 3.5)])
    equal(r.zrangebyscore("{z}1", 2, "+inf"), ["b", "c"])
    equal(r.zscore("{z}1", "c"), 3.5)
    equal(r.zscore("{z}1", "none"), None)
    equal(r.zadd("{z}1", {"a": float("inf")}), 0)
    equal(r.zscore("{z}1", "a"), float("inf"))
    equal(r.zincrby("{z}1", 1, "b"), 3.0)
    equal(r.zrank("{z}1", "b"), 0)
    equal(r.zunionstore("{z}2", ["{z}1"]), 3)
    equal([tuple(p) for p in r.zpopmin("{z}2")] if not RESP3 else [tuple(flat(r.zpopmin("{z}2")))], [("b", 3.0)])
    equal(dict(r.zscan_iter("{z}1")), {"a": float("inf"), "b": 3.0, "c": 3.5})


def flat(popped):
    """ZPOPMIN's answer in RESP3 is a flat pair or a list of one pair, by version of the library."""
    return popped[0] if isinstance(popped[0], (list, tuple)) else popped


def streams():
    first = r.xadd("x", {"n": "1"})
    for n in range(2, 11):
        r.xadd("x", {"n": n})
    equal(r.xlen("x"), 10)
    entries = r.xrange("x")
    equal([fields["n"] for _, fields in entries], [str(n) for n in range(1, 11)])
    equal(entries[0][0], first)
    equal(entry_ids(r.xread({"x": "0"}, count=3)), [i for i, _ in entries[:3]])
    equal(r.xgroup_create("x", "g", id="0"), True)
    got = r.xreadgroup("g", "me", {"x": ">"}, count=4)
    equal(entry_ids(got), [i for i, _ in entries[:4]])
    equal(r.xack("x", "g", entries[0][0]), 1)
    equal(r.xpending("x", "g")["pending"], 3)
    equal(len(r.xautoclaim("x", "g", "you", 0)[1]), 3)
    equal(r.xinfo_stream("x")["length"], 10)
    equal(r.xinfo_groups("x")[0]["name"], "g")
    equal(r.xtrim("x", maxlen=5, approximate=False), 5)
    equal(not r.xread({"x": "$"}, block=20), True)


def entry_ids(answer):
    """The ids in an answer of XREAD, of which RESP3 makes a map."""
    if isinstance(answer, dict):
        (found,) = answer.values()
        found = found[0] if found and isinstance(found[0], list) else found
    else:
        ((_, found),) = answer
    return [i for i, _ in found]


def hyperloglog():
    equal(r.pfadd("{p}1", *range(1000)), 1)
    equal(r.pfadd("{p}2", *range(500, 1500)), 1)
    equal(abs(r.pfcount("{p}1") - 1000) < 50, True)
    equal(r.pfmerge("{p}3", "{p}1", "{p}2"), True)
    equal(abs(r.pfcount("{p}1", "{p}2") - 1500) < 75, True)


def geo():
    equal(r.geoadd("g", (13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania")), 2)
    equal(round(float(r.geodist("g", "Palermo", "Catania", unit="km"))), 166)
    equal(r.geosearch("g", longitude=15, latitude=37, radius=100, unit="km"), ["Catania"])
    (lon, lat), = r.geopos("g", "Palermo")
    equal((round(lon, 3), round(lat, 3)), (13.361, 38.116))
    equal(r.geohash("g", "Palermo"), ["sqc8b49rny0"])


def bits():
    equal(r.setbit("{b}1", 7, 1), 0)
    equal(r.getbit("{b}1", 7), 1)
    equal(r.setbit("{b}2", 0, 1), 0)
    equal(r.bitop("OR", "{b}3", "{b}1", "{b}2"), 1)
    equal(r.bitcount("{b}3"), 2)
    equal(r.bitpos("{b}3", 0), 1)
    equal(r.bitfield("{b}4").set("u8", 0, 200).incrby("u8", 0, 100).execute(), [0, 44])


def scan():
    want = {f"scan:{i}" for i in range(3000)}
    p = r.pipeline(transaction=False)
    for k in want:
        p.set(k, "x")
    p.sadd("scan:set", "x")
    p.execute()
    equal(set(r.scan_iter(match="scan:[0-9]*", count=100)), want)
    equal(set(r.scan_iter(_type="set", match="scan:*")), {"scan:set"})
    equal(set(r.keys("scan:[0-9]*")), want)
    equal(r.dbsize() >= 3001, True)


def pipeline():
    p = r.pipeline(transaction=False)
    for i in range(1000):
        p.set(f"pipe:{i}", i)
        p.get(f"pipe:{i}")
        p.incr(f"pipe:{i}")
    equal(p.execute(), [v for i in range(1000) for v in (True, str(i), i + 1)])


def transaction():
    p = r.pipeline(transaction=True)
    p.set("{tx}a", 1).incr("{tx}a").rpush("{tx}b", "x").get("{tx}a")
    equal(p.execute(), [QUEUED_OK, 2, 1, "2"])
    p = r.pipeline(transaction=True)
    p.set("{tx}a", "word").incr("{tx}a").get("{tx}a")
    got = p.execute(raise_on_error=False)
    equal((got[0], type(got[1]), got[2]), (QUEUED_OK, redis.ResponseError, "word"))
    p = r.pipeline(transaction=True)
    for i in range(50):
        p.set(f"tx:{i}", i)
    try:
        p.execute()
        raise AssertionError("a transaction over several nodes worked")
    except redis.CrossSlotTransactionError:  # RedisCluster's own word
        equal(CLUSTER, True)
    except redis.RedisError as e:
        equal("CROSSSLOT" in str(e) or "hash to the same slot" in str(e) or "EXECABORT" in str(e), True)
    equal([r.exists(f"tx:{i}") for i in range(50)], [0] * 50)


def watch():
    r.set("{w}a", 5)
    with r.pipeline(transaction=True) as p:
        p.watch("{w}a")
        seen = int(p.get("{w}a"))
        p.multi()
        p.set("{w}a", seen + 1)
        equal(p.execute(), [QUEUED_OK])
    with r.pipeline(transaction=True) as p:
        p.watch("{w}a")
        r.set("{w}a", "changed")
        p.multi()
        p.set("{w}a", "lost")
        try:
            p.execute()
            raise AssertionError("EXEC worked although the key had changed")
        except redis.WatchError:
            pass
    equal(r.get("{w}a"), "changed")
    equal(r.transaction(lambda p: (p.multi(), p.get("{w}a")), "{w}a"), ["changed"])


def scripts():
    equal(r.eval("return {KEYS[1], ARGV[1]}", 1, "k", "v"), ["k", "v"])
    script = r.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    equal([script(keys=[f"ev:{i}"], args=[i]) for i in range(30)], list(range(30)))
    sha = r.script_load("return redis.call('GET', KEYS[1])")
    equal([r.evalsha(sha, 1, f"ev:{i}") for i in range(30)], [str(i) for i in range(30)])
    equal(r.script_exists(sha, "0" * 40), [True, False])
    if not CLUSTER:  # RedisCluster does not pipeline them
        p = r.pipeline(transaction=False)
        for i in range(30):
            script(keys=[f"ev:{i}"], args=[1], client=p)
        equal(p.execute(), [i + 1 for i in range(30)])
    equal(r.script_flush(), True)
    try:
        r.evalsha("0" * 40, 1, "k")
        raise AssertionError("EVALSHA of an unknown script worked")
    except redis.exceptions.NoScriptError:
        pass


def blocking():
    def later(*command):
        t = threading.Timer(0.1, connect().execute_command, command)
        t.start()
        return t
    t = later("RPUSH", "bl:1", "x")
    equal(tuple(r.blpop(["bl:1"], timeout=5)), ("bl:1", "x"))
    t.join()
    t = later("ZADD", "bl:z", "1", "m")
    equal(tuple(r.bzpopmin(["bl:z"], timeout=5)), ("bl:z", "m", 1.0))
    t.join()
    t = later("RPUSH", "{bl}2", "y")
    equal(r.blmove("{bl}2", "{bl}3", 5), "y")
    t.join()
    t = later("XADD", "bl:x", "*", "f", "v")
    equal(len(r.xread({"bl:x": "$"}, block=5000)), 1)
    t.join()
    equal(r.blpop(["bl:none"], timeout=0.1), None)


def pubsub():
    sub = r.pubsub()
    sub.subscribe("news", "weather")
    equal([next_message(sub)["type"] for _ in range(2)], ["subscribe"] * 2)
    equal(r.publish("news", "hello"), 1)
    m = next_message(sub)
    equal((m["type"], m["channel"], m["data"]), ("message", "news", "hello"))
    got = []
    more = r.pubsub()
    more.subscribe(**{f"room:{i}": lambda m: got.append(m["data"]) for i in range(20)})
    thread = more.run_in_thread(sleep_time=0.01)
    for i in range(20):
        while r.pubsub_numsub(f"room:{i}")[0][1] < 1:
            pass
        r.publish(f"room:{i}", i)
    while len(got) < 20:
        thread.join(0.01)
    equal(sorted(got, key=int), [str(i) for i in range(20)])
    thread.stop()
    thread.join()
    equal(set(r.pubsub_channels("[nw]*")) >= {"news", "weather"}, True)
    sub.unsubscribe()
    equal([next_message(sub)["type"] for _ in range(2)], ["unsubscribe"] * 2)
    sub.ping()
    sub.close()


def patterns():
    sub = r.pubsub()
    sub.psubscribe("pat.*")
    equal(next_message(sub)["type"], "psubscribe")
    for i in range(100):
        r.publish(f"pat.{i}", i)
    got = [next_message(sub) for _ in range(100)]
    equal(sorted((m["pattern"], m["channel"], m["data"]) for m in got),
          sorted(("pat.*", f"pat.{i}", str(i)) for i in range(100)))
    equal(r.pubsub_numpat() >= 1, True)
    sub.punsubscribe()
    equal(next_message(sub)["type"], "punsubscribe")
    sub.close()


def next_message(sub):
    for _ in range(50):
        m = sub.get_message(timeout=0.2)
        if m is not None:
            return m
    raise AssertionError("no message came within ten seconds")


def big_value():
    equal(raw.set("big", BIG), True)
    equal(raw.get("big") == BIG, True)
    equal(raw.mget("big", "big") == [BIG, BIG], True)
    equal(raw.delete("big"), 1)


def binary_keys():
    for k in BINARY_KEYS:
        equal((raw.set(k, b"v" + k), raw.get(k), raw.delete(k)), (True, b"v" + k, 1))
    keys = [TAG.encode() + k for k in BINARY_KEYS]
    equal(raw.mset({k: b"v" + k for k in keys}), True)
    equal([raw.get(k) for k in keys] == [b"v" + k for k in keys], True)
    equal(raw.mget(keys) == [b"v" + k for k in keys], True)
    equal(set(keys) <= set(raw.scan_iter(count=1000)), True)
    equal(raw.delete(*keys), len(keys))


def mget():
    keys = [f"{TAG}many:{i}" for i in range(10000)]
    equal(r.mset(dict(zip(keys, keys))), True)
    equal(r.mget(keys + [TAG + "many:none"]) == keys + [None], True)
    equal(r.delete(*keys), 10000)


def cluster():
    equal([(n.port, n.server_type) for n in r.get_nodes()], [(int(PORT), "primary")])
    info = r.cluster_info()
    equal((info["cluster_state"], info["cluster_slots_assigned"]), ("ok", "16384"))
    equal(r.cluster_keyslot("{one}two"), r.keyslot("one"))
    equal((r.ping(), len(r.time())), (True, 2))


def server():
    equal(r.ping(), True)
    equal(r.echo("hi"), "hi")
    equal("redis_version" in r.info(), True)
    equal(r.client_id() > 0, True)
    equal(r.client_setname("sweep"), True)
    equal(r.client_getname() in ("sweep", None), True)  # another connection of the library's pool has none
    equal(len(r.client_list()) >= 1, True)
    equal(len(r.time()), 2)
    equal(isinstance(r.config_get("maxmemory*"), dict), True)
    equal(len(r.command_count() and r.command_list()) > 200, True)
    equal(r.command_getkeys("MGET", "a", "b"), ["a", "b"])
    equal(r.config_set("slowlog-log-slower-than", 0), True)
    for _ in range(5):
        r.set("slow", "x")
    equal(len(r.slowlog_get(5)), 5)
    equal(r.slowlog_get(1)[0]["id"] >= 0, True)
    equal(r.slowlog_reset(), True)
    equal(len(r.latency_latest()), 0)
    equal(r.memory_usage("none"), None)
    other = connect(db=1, decode_responses=True)
    other.set("db1", "x")
    equal((other.get("db1"), r.get("db1")), ("x", None))
    equal(other.flushdb(), True)


if __name__ == "__main__":
    r.flushall()
    run([
        ("strings", strings), ("hashes", hashes), ("lists", lists), ("sets", sets), ("sorted-sets", sorted_sets),
        ("streams", streams), ("hyperloglog", hyperloglog), ("geo", geo), ("bits", bits), ("scan", scan),
        ("pipeline", pipeline), ("transaction", transaction), ("watch", watch), ("scripts", scripts),
        ("blocking", blocking), ("pubsub", pubsub), ("patterns", patterns), ("big-value", big_value),
        ("binary-keys", binary_keys), ("mget", mget), ("cluster", cluster) if CLUSTER else ("server", server),
    ])
