// The sweep of node-redis: node node-redis.mjs HOST PORT [RESP version]
import { createClient, createClientPool, defineScript, RESP_TYPES } from 'redis';
import { big, binaryKeys, equal, keys, rejects, run, sameSet, sleep, until } from './checks.mjs';

const [host, port, resp] = process.argv.slice(2);
const options = {
  socket: { host, port: Number(port) },
  ...(resp ? { RESP: Number(resp) } : {}),
  scripts: {
    addTo: defineScript({
      SCRIPT: "return redis.call('INCRBY', KEYS[1], ARGV[1])",
      NUMBER_OF_KEYS: 1,
      parseCommand(parser, key, n) { parser.pushKey(key); parser.push(String(n)); },
      transformReply: v => v,
    }),
  },
};
const connect = async () => createClient(options).on('error', e => console.error(e)).connect();
const r = await connect();
const raw = r.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
await r.flushAll();

run([
  ['strings', async () => {
    equal(await r.set('s:a', '1'), 'OK');
    equal(await r.get('s:a'), '1');
    equal(await r.incrBy('s:a', 41), 42);
    equal(await r.append('s:a', '0'), 3);
    equal(await r.getDel('s:a'), '420');
    equal(await r.get('s:a'), null);
    equal(await r.mSet({ 's:1': 'a', 's:2': 'b', 's:3': 'c' }), 'OK');
    equal(await r.mGet(['s:1', 's:none', 's:3']), ['a', null, 'c']);
    equal(await r.exists(['s:1', 's:2', 's:none']), 2);
    equal(await r.del(['s:1', 's:2', 's:none']), 2);
    equal(await r.mSetNX({ '{s}1': 'a', '{s}2': 'b' }), 1);
    equal(await r.rename('{s}1', '{s}3'), 'OK');
    await rejects(r.incr('{s}3'), /not an integer/);
  }],
  ['hashes', async () => {
    equal(await r.hSet('h', { a: '1', b: '2' }), 2);
    equal(await r.hGetAll('h'), { a: '1', b: '2' });
    equal(await r.hmGet('h', ['a', 'none']), ['1', null]);
    await r.hSet('h2', Object.fromEntries(keys('f', 1000).map(k => [k, k])));
    let n = 0;
    for await (const part of r.hScanIterator('h2', { COUNT: 20 })) n += part.length;
    equal(n, 1000);
  }],
  ['lists', async () => {
    equal(await r.rPush('{l}1', ['a', 'b', 'c']), 3);
    equal(await r.lMove('{l}1', '{l}2', 'LEFT', 'RIGHT'), 'a');
    equal(await r.lRange('{l}1', 0, -1), ['b', 'c']);
    equal(await r.lPopCount('{l}1', 2), ['b', 'c']);
  }],
  ['sets', async () => {
    equal(await r.sAdd('{t}1', ['a', 'b', 'c']), 3);
    equal(await r.sAdd('{t}2', ['b', 'c', 'd']), 3);
    sameSet(await r.sInter(['{t}1', '{t}2']), ['b', 'c']);
    sameSet(await r.sUnion(['{t}1', '{t}2']), ['a', 'b', 'c', 'd']);
    equal(await r.sDiffStore('{t}3', ['{t}1', '{t}2']), 1);
    equal(Number(await r.sMove('{t}1', '{t}2', 'a')), 1);
  }],
  ['sorted-sets', async () => {
    equal(await r.zAdd('{z}1', [{ score: 1, value: 'a' }, { score: 2.5, value: 'b' }]), 2);
    equal(await r.zRangeWithScores('{z}1', 0, -1), [{ value: 'a', score: 1 }, { value: 'b', score: 2.5 }]);
    equal(await r.zScore('{z}1', 'b'), 2.5);
    equal(await r.zUnionStore('{z}2', ['{z}1']), 2);
    equal(await r.zPopMin('{z}2'), { value: 'a', score: 1 });
  }],
  ['streams', async () => {
    const ids = [];
    for (let n = 0; n < 10; n++) ids.push(await r.xAdd('x', '*', { n: String(n) }));
    equal((await r.xRange('x', '-', '+')).map(m => m.id), ids);
    equal((await r.xRead({ key: 'x', id: '0' }, { COUNT: 3 }))[0].messages.map(m => m.id), ids.slice(0, 3));
    equal(await r.xGroupCreate('x', 'g', '0'), 'OK');
    equal((await r.xReadGroup('g', 'me', { key: 'x', id: '>' }, { COUNT: 4 }))[0].messages.map(m => m.id), ids.slice(0, 4));
    equal(await r.xAck('x', 'g', ids[0]), 1);
    equal((await r.xPending('x', 'g')).pending, 3);
    equal(await r.xRead({ key: 'x', id: '$' }, { BLOCK: 20 }), null);
  }],
  ['hyperloglog', async () => {
    await r.pfAdd('{p}1', keys('', 1000));
    equal(await r.pfMerge('{p}2', ['{p}1']), 'OK');
    equal(Math.abs(await r.pfCount(['{p}1', '{p}2']) - 1000) < 50, true);
  }],
  ['geo', async () => {
    equal(await r.geoAdd('g', [{ longitude: 13.361389, latitude: 38.115556, member: 'Palermo' },
      { longitude: 15.087269, latitude: 37.502669, member: 'Catania' }]), 2);
    equal(Math.round(await r.geoDist('g', 'Palermo', 'Catania', 'km')), 166);
    equal(await r.geoSearch('g', { longitude: 15, latitude: 37 }, { radius: 100, unit: 'km' }), ['Catania']);
  }],
  ['bits', async () => {
    equal(await r.setBit('{b}1', 7, 1), 0);
    equal(await r.setBit('{b}2', 0, 1), 0);
    equal(await r.bitOp('OR', '{b}3', ['{b}1', '{b}2']), 1);
    equal(await r.bitCount('{b}3'), 2);
  }],
  ['scan', async () => {
    const want = keys('scan:', 3000);
    await r.mSet(Object.fromEntries(want.map(k => [k, 'x'])));
    const seen = new Set();
    for await (const part of r.scanIterator({ MATCH: 'scan:*', COUNT: 100 })) part.forEach(k => seen.add(k));
    sameSet(seen, want);
    sameSet(await r.keys('scan:*'), want);
    equal(await r.dbSize() >= 3000, true);
  }],
  ['pipeline', async () => {
    const p = r.multi();
    keys('pipe:', 1000).forEach(k => p.set(k, k).get(k));
    equal(await p.execAsPipeline(), keys('pipe:', 1000).flatMap(k => ['OK', k]));
    equal(await Promise.all(keys('pipe:', 1000).map(k => r.get(k))), keys('pipe:', 1000));
  }],
  ['transaction', async () => {
    equal(await r.multi().set('{tx}a', '1').incr('{tx}a').rPush('{tx}b', 'x').exec(), ['OK', 2, 1]);
    const m = r.multi();
    keys('tx:', 50).forEach(k => m.set(k, 'x'));
    await rejects(m.exec(), /CROSSSLOT|EXECABORT/);
    equal(await r.exists(keys('tx:', 50)), 0);
  }],
  ['watch', async () => {
    const own = await connect();
    await r.set('{w}a', '5');
    await own.watch('{w}a');
    equal(await own.get('{w}a'), '5');
    equal(await own.multi().set('{w}a', '6').exec(), ['OK']);
    await own.watch('{w}a');
    await r.set('{w}a', 'changed');
    await rejects(own.multi().set('{w}a', 'lost').exec(), /watched keys has been changed/i);
    equal(await r.get('{w}a'), 'changed');
    own.destroy();
  }],
  ['scripts', async () => {
    equal(await Promise.all(keys('ev:', 30).map((k, i) => r.addTo(k, i))), keys('', 30).map(Number));
    equal(await r.eval('return {KEYS[1], ARGV[1]}', { keys: ['k'], arguments: ['v'] }), ['k', 'v']);
    const sha = await r.scriptLoad("return redis.call('GET', KEYS[1])");
    equal(await Promise.all(keys('ev:', 30).map(k => r.evalSha(sha, { keys: [k] }))), keys('', 30));
    await rejects(r.evalSha('0'.repeat(40), { keys: ['k'] }), /NOSCRIPT/);
  }],
  ['blocking', async () => {
    const pool = await createClientPool(options, { minimum: 5 }).connect();
    const popped = keys('bl:', 5).map(k => pool.blPop(k, 5));
    await sleep(100);
    await Promise.all(keys('bl:', 5).map(k => r.rPush(k, 'x')));
    equal(await Promise.all(popped), keys('bl:', 5).map(k => ({ key: k, element: 'x' })));
    equal(await pool.blPop('bl:none', 0.1), null);
    pool.destroy();
  }],
  ['pubsub', async () => {
    const sub = await connect(), got = [];
    await sub.subscribe(keys('room:', 20), (m, channel) => got.push(`${channel} ${m}`));
    for (const k of keys('room:', 20)) equal(await r.publish(k, 'hello'), 1);
    await until('20 messages', () => got.length === 20);
    sameSet(got, keys('room:', 20).map(k => `${k} hello`));
    sameSet(await r.pubSubChannels('room:*'), keys('room:', 20));
    await sub.unsubscribe();
    equal(await sub.get('none'), null);
    sub.destroy();
  }],
  ['patterns', async () => {
    const sub = await connect(), got = [];
    await sub.pSubscribe('pat.*', (m, channel) => got.push(`${channel} ${m}`));
    await Promise.all(keys('pat.', 100).map(k => r.publish(k, 'hello')));
    await until('100 messages', () => got.length === 100);
    sameSet(got, keys('pat.', 100).map(k => `${k} hello`));
    sub.destroy();
  }],
  ['big-value', async () => {
    equal(await r.set('big', big), 'OK');
    equal(big.equals(await raw.get('big')), true);
    equal(await r.del('big'), 1);
  }],
  ['binary-keys', async () => {
    equal(await r.mSet(binaryKeys.map(k => [k, Buffer.concat([Buffer.from('v'), k])])), 'OK');
    const got = await raw.mGet(binaryKeys);
    equal(got.every((v, i) => v.equals(Buffer.concat([Buffer.from('v'), binaryKeys[i]]))), true);
    equal(await r.del(binaryKeys), binaryKeys.length);
  }],
  ['mget', async () => {
    const list = keys('many:', 10000);
    equal(await r.mSet(list.map(k => [k, k])), 'OK');
    equal(await r.mGet(list), list);
    equal(await r.del(list), 10000);
  }],
]);
