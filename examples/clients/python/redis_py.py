"""A first program with redis-py: redis_py.py [HOST PORT]"""

import sys

import redis

host, port = (sys.argv[1], int(sys.argv[2])) if len(sys.argv) > 2 else ("127.0.0.1", 6380)
r = redis.Redis(host=host, port=port, decode_responses=True)

r.set("greeting", "hello", ex=3600)
print("get:", r.get("greeting"))

# One round trip, whichever servers the keys are on. A pipeline is a transaction unless told otherwise.
p = r.pipeline(transaction=False)
for i in range(100):
    p.set(f"item:{i}", i, ex=3600)
print("pipeline:", len(p.execute()), "replies")

print("mget:", r.mget("item:1", "item:2", "no such item", "item:99"))

# A transaction needs its keys on one server: what stands in braces decides.
with r.pipeline(transaction=True) as p:
    p.hset("{user:1}:profile", "name", "Ada")
    p.incr("{user:1}:visits")
    p.execute()
print("transaction: done")
