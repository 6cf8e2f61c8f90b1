"""A first program with valkey-glide: valkey_glide.py [HOST PORT]"""

import asyncio
import sys

from glide import Batch, ExpirySet, ExpiryType, GlideClient, GlideClientConfiguration, NodeAddress


async def main(host="127.0.0.1", port="6380"):
    client = await GlideClient.create(GlideClientConfiguration([NodeAddress(host, int(port))]))
    hour = ExpirySet(ExpiryType.SEC, 3600)
    await client.set("greeting", "hello", expiry=hour)
    print("get:", (await client.get("greeting")).decode())

    # One round trip, whichever servers the keys are on. An atomic batch would be a transaction.
    batch = Batch(is_atomic=False)
    for i in range(100):
        batch.set(f"item:{i}", str(i), expiry=hour)
    print("pipeline:", len(await client.exec(batch, raise_on_error=True)), "replies")

    print("mget:", await client.mget(["item:1", "item:2", "no such item", "item:99"]))
    await client.close()


asyncio.run(main(*sys.argv[1:3]))
