// The sweep of ioredis: node ioredis.mjs HOST PORT [RESP version]
import { Redis } from 'ioredis';
import { readFileSync } from 'node:fs';
import { big, binaryKeys, equal, keys, rejects, run, sameSet, sleep, until } from './checks.mjs';

const [host, port, resp] = process.argv.slice(2);
const options = { host, port: Number(port), ...(resp ? { protocol: Number(resp) } : {}) };
const ca = process.env.RINGWAY_TLS_CA;
if (ca) options.tls = { ca: readFileSync(ca) };
const r = new Redis(options);
await r.flushall();

// map reads a reply that is a map in RESP3 and a flat list in RESP2.
function map(v) {
  if (!Array.isArray(v)) return v instanceof Map ? Object.fromEntries(v) : v;
  const pairs = Array.isArray(v[0]) ? v : v.flatMap((x, i) => (i % 2 ? [] : [[x, v[i + 1]]]));
  return Object.fromEntries(pairs);
}

run([
  ['strings', async () => {
    equal(await r.set('s:a', 1), 'OK');
    equal(await r.get('s:a'), '1');
    equal(await r.incrby('s:a', 41), 42);
    equal(await r.append('s:a', '0'), 3);
    equal(await r.getdel('s:a'), '420');
    equal(await r.get('s:a'), null);
    equal(await r.set('s:e', 'x', 'EX', 100, 'NX'), 'OK');
    equal(await r.mset({ 's:1': 'a', 's:2': 'b', 's:3': 'c' }), 'OK');
    equal(await r.mget('s:1', 's:none', 's:3'), ['a', null, 'c']);
    equal(await r.exists('s:1', 's:2', 's:none'), 2);
    equal(await r.del('s:1', 's:2', 's:none'), 2);
    equal(await r.msetnx('{s}1', 'a', '{s}2', 'b'), 1);
    equal(await r.rename('{s}1', '{s}3'), 'OK');
    await rejects(r.incr('{s}3'), /not an integer/);
  }],
  ['hashes', async () => {
    equal(await r.hset('h', { a: 1, b: 2 }), 2);
    equal(await r.hgetall('h'), { a: '1', b: '2' });
    equal(await r.hmget('h', 'a', 'none'), ['1', null]);
    equal(await r.hincrby('h', 'a', 4), 5);
    await r.hset('h2', Object.fromEntries(keys('f', 1000).map(k => [k, k])));
    let n = 0;
    for await (const part of r.hscanStream('h2', { count: 20 })) n += part.length;
    equal(n, 2000);
  }],
  ['lists', async () => {
    equal(await r.rpush('{l}1', 'a', 'b', 'c'), 3);
    equal(await r.lmove('{l}1', '{l}2', 'LEFT', 'RIGHT'), 'a');
    equal(await r.lrange('{l}1', 0, -1), ['b', 'c']);
    equal(await r.lpos('{l}1', 'c'), 1);
    equal(await r.lpop('{l}1', 2), ['b', 'c']);
  }],
  ['sets', async () => {
    equal(await r.sadd('{t}1', 'a', 'b', 'c'), 3);
    equal(await r.sadd('{t}2', 'b', 'c', 'd'), 3);
    sameSet(await r.sinter('{t}1', '{t}2'), ['b', 'c']);
    sameSet(await r.sunion('{t}1', '{t}2'), ['a', 'b', 'c', 'd']);
    equal(await r.sdiffstore('{t}3', '{t}1', '{t}2'), 1);
    equal(await r.smove('{t}1', '{t}2', 'a'), 1);
  }],
  ['sorted-sets', async () => {
    equal(await r.zadd('{z}1', 1, 'a', 2.5, 'b'), 2);
    equal((await r.zrange('{z}1', 0, -1, 'WITHSCORES')).flat().map(String), ['a', '1', 'b', '2.5']);
    equal(Number(await r.zscore('{z}1', 'b')), 2.5);
    equal(await r.zrank('{z}1', 'b'), 1);
    equal(await r.zunionstore('{z}2', 1, '{z}1'), 2);
    equal((await r.zpopmin('{z}2')).flat().map(String), ['a', '1']);
  }],
  ['streams', async () => {
    const ids = [];
    for (let n = 0; n < 10; n++) ids.push(await r.xadd('x', '*', 'n', n));
    equal((await r.xrange('x', '-', '+')).map(([id]) => id), ids);
    equal(map(await r.xread('COUNT', 3, 'STREAMS', 'x', '0')).x.map(([id]) => id), ids.slice(0, 3));
    equal(await r.xgroup('CREATE', 'x', 'g', '0'), 'OK');
    equal(map(await r.xreadgroup('GROUP', 'g', 'me', 'COUNT', 4, 'STREAMS', 'x', '>')).x.map(([id]) => id), ids.slice(0, 4));
    equal(await r.xack('x', 'g', ids[0]), 1);
    equal((await r.xpending('x', 'g'))[0], 3);
    equal(await r.xread('BLOCK', 20, 'STREAMS', 'x', '$'), null);
  }],
  ['hyperloglog', async () => {
    await r.pfadd('{p}1', ...keys('', 1000));
    equal(await r.pfmerge('{p}2', '{p}1'), 'OK');
    equal(Math.abs(await r.pfcount('{p}1', '{p}2') - 1000) < 50, true);
  }],
  ['geo', async () => {
    equal(await r.geoadd('g', 13.361389, 38.115556, 'Palermo', 15.087269, 37.502669, 'Catania'), 2);
    equal(Math.round(await r.geodist('g', 'Palermo', 'Catania', 'KM')), 166);
    equal(await r.geosearch('g', 'FROMLONLAT', 15, 37, 'BYRADIUS', 100, 'km', 'ASC'), ['Catania']);
  }],
  ['bits', async () => {
    equal(await r.setbit('{b}1', 7, 1), 0);
    equal(await r.setbit('{b}2', 0, 1), 0);
    equal(await r.bitop('OR', '{b}3', '{b}1', '{b}2'), 1);
    equal(await r.bitcount('{b}3'), 2);
    equal(await r.bitfield('{b}4', 'SET', 'u8', 0, 200, 'INCRBY', 'u8', 0, 100), [0, 44]);
  }],
  ['scan', async () => {
    const want = keys('scan:', 3000);
    await r.mset(Object.fromEntries(want.map(k => [k, 'x'])));
    const seen = new Set();
    for await (const part of r.scanStream({ match: 'scan:*', count: 100 })) part.forEach(k => seen.add(k));
    sameSet(seen, want);
    sameSet(await r.keys('scan:*'), want);
    equal(await r.dbsize() >= 3000, true);
  }],
  ['pipeline', async () => {
    const p = r.pipeline();
    keys('pipe:', 1000).forEach(k => p.set(k, k).get(k));
    equal(await p.exec(), keys('pipe:', 1000).flatMap(k => [[null, 'OK'], [null, k]]));
    equal(await Promise.all(keys('pipe:', 1000).map(k => r.get(k))), keys('pipe:', 1000));
  }],
  ['transaction', async () => {
    equal(await r.multi().set('{tx}a', 1).incr('{tx}a').rpush('{tx}b', 'x').exec(), [[null, 'OK'], [null, 2], [null, 1]]);
    const m = r.multi();
    keys('tx:', 50).forEach(k => m.set(k, 'x'));
    await rejects(m.exec(), /CROSSSLOT|EXECABORT/);
    equal(await r.exists(...keys('tx:', 50)), 0);
  }],
  ['watch', async () => {
    const own = new Redis(options);
    await r.set('{w}a', 5);
    await own.watch('{w}a');
    equal(await own.get('{w}a'), '5');
    equal(await own.multi().set('{w}a', 6).exec(), [[null, 'OK']]);
    await own.watch('{w}a');
    await r.set('{w}a', 'changed');
    equal(await own.multi().set('{w}a', 'lost').exec(), null);
    equal(await r.get('{w}a'), 'changed');
    own.disconnect();
  }],
  ['scripts', async () => {
    r.defineCommand('addTo', { numberOfKeys: 1, lua: "return redis.call('INCRBY', KEYS[1], ARGV[1])" });
    equal(await Promise.all(keys('ev:', 30).map((k, i) => r.addTo(k, i))), keys('', 30).map(Number));
    equal(await r.eval('return {KEYS[1], ARGV[1]}', 1, 'k', 'v'), ['k', 'v']);
    const sha = await r.script('LOAD', "return redis.call('GET', KEYS[1])");
    equal(await Promise.all(keys('ev:', 30).map(k => r.evalsha(sha, 1, k))), keys('', 30));
    const p = r.pipeline();
    keys('ev:', 30).forEach(k => p.addTo(k, 1));
    equal((await p.exec()).map(([e, n]) => [e, n]), keys('', 30).map((_, i) => [null, i + 1]));
    await rejects(r.evalsha('0'.repeat(40), 1, 'k'), /NOSCRIPT/);
  }],
  ['blocking', async () => {
    const own = keys('bl:', 5).map(() => new Redis(options));
    const popped = keys('bl:', 5).map((k, i) => own[i].blpop(k, 5));
    await sleep(100);
    await Promise.all(keys('bl:', 5).map(k => r.rpush(k, 'x')));
    equal(await Promise.all(popped), keys('bl:', 5).map(k => [k, 'x']));
    equal(await own[0].blpop('bl:none', 0.1), null);
    own.forEach(c => c.disconnect());
  }],
  ['pubsub', async () => {
    const sub = new Redis(options), got = [];
    sub.on('message', (channel, m) => got.push(`${channel} ${m}`));
    equal(await sub.subscribe(...keys('room:', 20)), 20);
    for (const k of keys('room:', 20)) equal(await r.publish(k, 'hello'), 1);
    await until('20 messages', () => got.length === 20);
    sameSet(got, keys('room:', 20).map(k => `${k} hello`));
    sameSet(await r.pubsub('CHANNELS', 'room:*'), keys('room:', 20));
    equal(await sub.unsubscribe(), 0);
    equal(await sub.get('none'), null);
    sub.disconnect();
  }],
  ['patterns', async () => {
    const sub = new Redis(options), got = [];
    sub.on('pmessage', (pattern, channel, m) => got.push(`${pattern} ${channel} ${m}`));
    equal(await sub.psubscribe('pat.*'), 1);
    await Promise.all(keys('pat.', 100).map(k => r.publish(k, 'hello')));
    await until('100 messages', () => got.length === 100);
    sameSet(got, keys('pat.', 100).map(k => `pat.* ${k} hello`));
    sub.disconnect();
  }],
  ['big-value', async () => {
    equal(await r.set('big', big), 'OK');
    equal(big.equals(await r.getBuffer('big')), true);
    equal(await r.del('big'), 1);
  }],
  ['binary-keys', async () => {
    equal(await r.mset(...binaryKeys.flatMap(k => [k, Buffer.concat([Buffer.from('v'), k])])), 'OK');
    const got = await r.mgetBuffer(...binaryKeys);
    equal(got.every((v, i) => v.equals(Buffer.concat([Buffer.from('v'), binaryKeys[i]]))), true);
    equal(await r.del(...binaryKeys), binaryKeys.length);
  }],
  ['mget', async () => {
    const list = keys('many:', 10000);
    equal(await r.mset(...list.flatMap(k => [k, k])), 'OK');
    equal(await r.mget(...list), list);
    equal(await r.del(...list), 10000);
  }],
]);
