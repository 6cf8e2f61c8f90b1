// What the Node sweeps share. A sweep prints "ok NAME" or "FAIL NAME: reason" for each check and exits with 1 if any failed.
import assert from 'node:assert/strict';

export const equal = (got, want) => assert.deepStrictEqual(plain(got), plain(want));

// plain takes prototypes and such off what a library returns, so that only the data is compared.
function plain(v) {
  if (Array.isArray(v)) return v.map(plain);
  if (v instanceof Map) return plain(Object.fromEntries(v));
  if (v && typeof v === 'object' && !Buffer.isBuffer(v)) return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, plain(x)]));
  return v;
}

export const sameSet = (got, want) => equal([...got].sort(), [...want].sort());
export const keys = (prefix, n) => Array.from({ length: n }, (_, i) => prefix + i);
export const sleep = ms => new Promise(done => setTimeout(done, ms));

export const big = Buffer.alloc(10 << 20, Buffer.from(Array.from({ length: 256 }, (_, i) => i)));

export const binaryKeys = [
  Buffer.alloc(0), Buffer.from([0]), Buffer.from('\r\n'), Buffer.from('$5\r\nhello\r\n'), Buffer.from('{'), Buffer.from('{}x'),
  Buffer.from([0x7b, 0xff, 0x7d, 0x79]), big.subarray(0, 256), Buffer.alloc(70000, 'k'),
  ...Array.from({ length: 256 }, (_, i) => Buffer.concat([Buffer.from('bin:'), Buffer.from([i])])),
];

// rejects wants a promise to fail with a message that matches.
export async function rejects(promise, pattern) {
  await assert.rejects(promise, e => {
    const all = [e.message, ...(e.previousErrors ?? e.errors ?? []).map(x => x.message)].join(' | ');
    assert.match(all, pattern);
    return true;
  });
}

// within gives a promise a minute.
function within(promise) {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error('no end within a minute')), 60000); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

export async function run(checks) {
  let code = 0;
  for (const [name, check] of checks) {
    try {
      await within(check());
      console.log('ok', name);
    } catch (e) {
      code = 1;
      console.log(`FAIL ${name}: ${String(e.message).replace(/\s+/g, ' ').slice(0, 500)}`);
      console.error(e);
    }
  }
  process.exit(code);
}

// until waits for a condition.
export async function until(what, ok) {
  for (let i = 0; i < 1000; i++) {
    if (await ok()) return;
    await sleep(10);
  }
  throw new Error(`waited ten seconds for ${what}`);
}
