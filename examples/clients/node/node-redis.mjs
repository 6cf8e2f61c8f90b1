// A first program with node-redis: node node-redis.mjs [HOST PORT]
import { createClient } from 'redis';

const [host = '127.0.0.1', port = '6380'] = process.argv.slice(2);
const client = createClient({ socket: { host, port: Number(port) } });
client.on('error', e => console.error(e.message));
await client.connect();

await client.set('greeting', 'hello', { expiration: { type: 'EX', value: 3600 } });
console.log('get:', await client.get('greeting'));

// Commands that are not awaited one by one go in one round trip, whichever servers the keys are on.
const replies = await Promise.all(Array.from({ length: 100 }, (_, i) =>
  client.set(`item:${i}`, String(i), { expiration: { type: 'EX', value: 3600 } })));
console.log('pipeline:', replies.length, 'replies');

console.log('mget:', await client.mGet(['item:1', 'item:2', 'no such item', 'item:99']));
await client.close();
