// A first program with ioredis: node ioredis.mjs [HOST PORT]
import { Redis } from 'ioredis';

const [host = '127.0.0.1', port = '6380'] = process.argv.slice(2);
const redis = new Redis({ host, port: Number(port) });

await redis.set('greeting', 'hello', 'EX', 3600);
console.log('get:', await redis.get('greeting'));

// One round trip, whichever servers the keys are on.
const pipeline = redis.pipeline();
for (let i = 0; i < 100; i++) pipeline.set(`item:${i}`, i, 'EX', 3600);
console.log('pipeline:', (await pipeline.exec()).length, 'replies');

console.log('mget:', await redis.mget('item:1', 'item:2', 'no such item', 'item:99'));
await redis.quit();
