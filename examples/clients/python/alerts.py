"""Alerts over pub/sub with redis-py: a thread that listens, and a publisher. alerts.py [HOST PORT]

Both go through Ringway. Run it with several Ringways in front of the same servers and each hears what is published at any.
"""

import sys
import threading

import redis

ALERTS = [("disk", "node-3: 95 % full"), ("login", "ten failed logins of 'root'"), ("disk", "node-3: cleaned up")]

host, port = (sys.argv[1], int(sys.argv[2])) if len(sys.argv) > 2 else ("127.0.0.1", 6380)
r = redis.Redis(host=host, port=port, decode_responses=True)


def listen(ready):
    """Prints alerts of every kind until "alert.end" comes."""
    with r.pubsub() as sub:
        sub.psubscribe("alert.*")
        for message in sub.listen():
            if message["type"] == "psubscribe":
                ready.set()
            elif message["channel"] == "alert.end":
                return
            else:
                print("heard:", message["channel"], "-", message["data"])


ready = threading.Event()
listener = threading.Thread(target=listen, args=(ready,))
listener.start()
ready.wait()  # what is published before somebody listens is lost

for kind, text in ALERTS:
    r.publish(f"alert.{kind}", text)
r.publish("alert.end", "")
listener.join()
