// npm's `memcached`, the most used client there: callbacks, connection pools, failover.
'use strict';

const assert = require('node:assert/strict');
const { randomBytes } = require('node:crypto');
const { afterEach, beforeEach, test } = require('node:test');
const { promisify } = require('node:util');
const Memcached = require('memcached');
const { Wire, address, flush, raw, waitUntil } = require('./support.js');

// It takes a server for dead after `failures`, tries again after `retry` ms, and forgets after `failuresTimeout`.
const OPTIONS = { timeout: 10_000, retries: 0, failures: 100, retry: 50, failuresTimeout: 500 };
const opened = [];
let cache;

/** A client whose methods give promises. */
function connect(where = address, options = {}) {
  const client = new Memcached(where, { ...OPTIONS, ...options });
  opened.push(client);
  const names = ['get', 'gets', 'getMulti', 'set', 'add', 'replace', 'append', 'prepend', 'cas', 'incr', 'decr'];
  names.push('del', 'touch', 'version', 'stats', 'settings', 'slabs', 'items', 'flush', 'cachedump');
  return Object.fromEntries(names.map((name) => [name, promisify(client[name].bind(client))]));
}

/** What the client calls back with besides an error, for answers that it reports as one. */
const refused = (pattern) => (error) => pattern.test(error.message ?? error);

beforeEach(async () => {
  await flush();
  cache = connect();
});

function end() {
  for (const client of opened.splice(0)) client.end();
}

afterEach(end);

test('values keep their type', async () => {
  const values = ['text', 'ünïcode', '', 3, -7, 1.5, true, { a: [1, null] }, Buffer.from([0, 13, 10, 255])];
  for (const value of values) {
    assert.equal(await cache.set('k', value, 100), true);
    assert.deepEqual(await cache.get('k'), value);
  }
  assert.equal(await cache.get('missing'), undefined);
});

test('add, replace, append, prepend and del', async () => {
  await assert.rejects(cache.replace('k', 'r', 100), refused(/not stored/));
  assert.equal(await cache.add('k', 'b', 100), true);
  await assert.rejects(cache.add('k', 'x', 100), refused(/not stored/));
  assert.equal(await cache.append('k', 'c'), true);
  assert.equal(await cache.prepend('k', 'a'), true);
  assert.equal(await cache.get('k'), 'abc');
  assert.equal(await cache.del('k'), true);
  assert.equal(await cache.del('k'), false);
});

test('counters', async () => {
  assert.equal(await cache.incr('n', 1), false);
  await cache.set('n', 10, 100);
  assert.equal(await cache.incr('n', 5), 15);
  assert.equal(await cache.decr('n', 20), 0);
  await cache.set('word', 'abc', 100);
  await assert.rejects(cache.incr('word', 1), refused(/non-numeric value/));
});

test('cas notices another writer', async () => {
  await cache.set('k', 'first', 100);
  const { k, cas } = await cache.gets('k');
  assert.equal(k, 'first');
  await connect().set('k', 'theirs', 100);
  assert.equal(await cache.cas('k', 'mine', cas, 100), false);
  const again = await cache.gets('k');
  assert.equal(await cache.cas('k', 'mine', again.cas, 100), true);
  assert.equal(await cache.get('k'), 'mine');
  assert.equal(await cache.cas('missing', 'x', again.cas, 100), false);
});

test('expiry and touch', async () => {
  await cache.set('lost', 'v', 2);
  await cache.set('kept', 'v', 2);
  assert.equal(await cache.touch('kept', 100), true);
  assert.equal(await cache.touch('missing', 100), false);
  await waitUntil(async () => (await cache.get('lost')) === undefined);
  assert.equal(await cache.get('kept'), 'v');
});

test('many keys in one get', async () => {
  const pairs = Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`key:${i}`, `value ${i}`]));
  for (const [key, value] of Object.entries(pairs)) await cache.set(key, value, 100);
  assert.deepEqual(await cache.getMulti([...Object.keys(pairs), 'missing']), pairs);
});

test('large values', async () => {
  const bytes = randomBytes(400_000);
  assert.equal(await cache.set('k', bytes, 100), true);
  assert.deepEqual(await cache.get('k'), bytes);
  // With a limit of its own out of the way, the client sends it. Once refused, it thinks the server dead for a while.
  const wide = connect(address, { maxValue: 4_000_000 });
  assert.equal(await wide.set('k', 'x'.repeat(2_000_000), 100), false);
  assert.equal(await cache.get('k'), undefined);
});

test('a pool of connections loses no count', async () => {
  await cache.set('n', 0, 100);
  const wide = connect(address, { poolSize: 20 });
  // A connection serves one request at a time, and more than the pool has are refused.
  const work = async () => {
    for (let i = 0; i < 200; i++) await wide.incr('n', 1);
  };
  await Promise.all(Array.from({ length: 20 }, work));
  assert.equal(await cache.get('n'), 4_000);
});

test('statistics as objects', async () => {
  await cache.set('k', 'value', 100);
  const [stats] = await cache.stats();
  assert.equal(stats.server, address);
  assert.equal(stats.limit_maxbytes, 64 << 20);
  assert.equal(stats.pid, Number(/STAT pid (\d+)/.exec(await raw('stats\r\n', 20))[1]));
  const [settings] = await cache.settings();
  assert.equal(settings.maxbytes, 64 << 20);
  const [items] = await cache.items();
  const [slabs] = await cache.slabs();
  const classes = Object.keys(items).filter((name) => /^\d+$/.test(name));
  assert.ok(classes.length >= 1);
  for (const number of classes) {
    assert.ok(items[number].number >= 1);
    assert.ok(slabs[number].used_chunks >= items[number].number);
    assert.equal(slabs[number].total_chunks, slabs[number].total_pages * slabs[number].chunks_per_page);
  }
  const [version] = await cache.version();
  assert.match(version.version, /^1\.6\.\d+$/);
});

test('flush', async () => {
  await cache.set('k', 'v', 100);
  assert.deepEqual(await cache.flush(), [true]);
  assert.equal(await cache.get('k'), undefined);
});

// The client never calls back for a request whose connection is lost.
const soon = (promise) =>
  Promise.race([promise, new Promise((_, reject) => setTimeout(reject, 500, new Error('no answer in time')))]);

test('it comes back after the connection was lost', async () => {
  const wire = await new Wire().open();
  try {
    const client = connect(wire.address);
    assert.equal(await client.set('k', 'v', 100), true);
    wire.cut();
    await waitUntil(async () => (await soon(client.get('k'))) === 'v');
    await wire.close();
    await assert.rejects(soon(client.set('k', 'not stored', 100)));
    await wire.open();
    await waitUntil(async () => (await soon(client.set('k', 'new', 100))) === true);
    assert.equal(await cache.get('k'), 'new');
  } finally {
    // Otherwise it would look for the server again.
    end();
    await wire.close();
  }
});
