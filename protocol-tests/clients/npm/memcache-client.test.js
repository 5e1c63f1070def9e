// npm's `memcache-client`: promises, a parser that takes buffers as they come, any command as typed.
'use strict';

const assert = require('node:assert/strict');
const { randomBytes } = require('node:crypto');
const { afterEach, beforeEach, test } = require('node:test');
const { MemcacheClient } = require('memcache-client');
const { Wire, address, flush, waitUntil } = require('./support.js');

const opened = [];
let cache;

function connect(server = address, options = {}) {
  const client = new MemcacheClient({ server, cmdTimeout: 10_000, ...options });
  opened.push(client);
  return client;
}

const value = async (key) => (await cache.get(key))?.value;

beforeEach(async () => {
  await flush();
  cache = connect();
});

afterEach(() => {
  for (const client of opened.splice(0)) client.shutdown();
});

test('values keep their type', async () => {
  for (const stored of ['text', 'ünïcode', 3, -7, 1.5, { a: [1, null] }, Buffer.from([0, 13, 10, 255])]) {
    assert.deepEqual(await cache.set('k', stored), ['STORED']);
    assert.deepEqual(await value('k'), stored);
  }
  assert.equal(await value('missing'), undefined);
});

test('add, replace, append, prepend and delete', async () => {
  await assert.rejects(cache.replace('k', 'r'), /^Error: NOT_STORED$/);
  assert.deepEqual(await cache.add('k', 'b'), ['STORED']);
  await assert.rejects(cache.add('k', 'x'), /^Error: NOT_STORED$/);
  assert.deepEqual(await cache.append('k', 'c'), ['STORED']);
  assert.deepEqual(await cache.prepend('k', 'a'), ['STORED']);
  assert.equal(await value('k'), 'abc');
  assert.deepEqual(await cache.delete('k'), ['DELETED']);
  await assert.rejects(cache.delete('k'), /^Error: NOT_FOUND$/);
});

test('counters', async () => {
  await assert.rejects(cache.incr('n', 1), /^Error: NOT_FOUND$/);
  await cache.set('n', 10);
  assert.equal(await cache.incr('n', 5), '15');
  assert.equal(await cache.decr('n', 20), '0');
  await cache.set('word', 'abc');
  await assert.rejects(cache.incr('word', 1), /CLIENT_ERROR cannot increment or decrement non-numeric value/);
});

test('cas notices another writer', async () => {
  await cache.set('k', 'first');
  const { casUniq } = await cache.gets('k');
  await connect().set('k', 'theirs');
  await assert.rejects(cache.cas('k', 'mine', { casUniq }), /^Error: EXISTS$/);
  const again = await cache.gets('k');
  assert.equal(again.value, 'theirs');
  assert.deepEqual(await cache.cas('k', 'mine', { casUniq: again.casUniq }), ['STORED']);
  assert.equal(await value('k'), 'mine');
  await assert.rejects(cache.cas('missing', 'x', { casUniq }), /^Error: NOT_FOUND$/);
});

test('expiry and touch', async () => {
  await cache.set('lost', 'v', { lifetime: 2 });
  await cache.set('kept', 'v', { lifetime: 2 });
  assert.deepEqual(await cache.touch('kept', 100), ['TOUCHED']);
  await assert.rejects(cache.touch('missing', 100), /^Error: NOT_FOUND$/);
  await waitUntil(async () => (await value('lost')) === undefined);
  assert.equal(await value('kept'), 'v');
});

test('many keys in one get', async () => {
  const keys = Array.from({ length: 1_000 }, (_, i) => `key:${i}`);
  await Promise.all(keys.map((key) => cache.set(key, `value of ${key}`)));
  const found = await cache.gets([...keys, 'missing']);
  assert.deepEqual(Object.keys(found).sort(), keys.slice().sort());
  assert.ok(keys.every((key) => found[key].value === `value of ${key}` && Number(found[key].casUniq) > 0));
});

test('large values', async () => {
  const bytes = randomBytes(1_000_000);
  await cache.set('k', bytes);
  assert.deepEqual(await value('k'), bytes);
  await assert.rejects(cache.set('k', randomBytes(2_000_000)), /SERVER_ERROR object too large for cache/);
  assert.equal(await value('k'), undefined);
});

test('writes without an answer', async () => {
  for (let i = 0; i < 1_000; i++) await cache.set(`k${i}`, `value ${i}`, { noreply: true });
  await cache.set('n', '10', { noreply: true });
  await cache.cmd('incr n 5', { noreply: true });
  await cache.delete('k7', { noreply: true });
  assert.equal(await value('n'), '15');
  assert.equal(await value('k7'), undefined);
  assert.equal(await value('k999'), 'value 999');
});

test('many requests at a time come back in order', async () => {
  await cache.set('n', 0);
  const found = await Promise.all(Array.from({ length: 5_000 }, () => cache.incr('n', 1)));
  assert.deepEqual(found, Array.from({ length: 5_000 }, (_, i) => String(i + 1)));
});

test('commands in one piece are answered one by one', async () => {
  assert.deepEqual(await cache.send('set a 0 0 1\r\nx\r\n'), ['STORED']);
  const answers = await Promise.all([cache.cmd('touch a 100'), cache.cmd('get a'), cache.cmd('delete a')]);
  assert.deepEqual(answers[0], ['TOUCHED']);
  assert.deepEqual(answers[1].a.tokens, ['VALUE', 'a', '0', '1']);
  assert.deepEqual(answers[2], ['DELETED']);
  await assert.rejects(cache.cmd('nonsense'), /^Error: ERROR$/);
  await assert.rejects(cache.get('k'.repeat(300)), /CLIENT_ERROR/);
  assert.deepEqual((await cache.version())[0], 'VERSION');
});

test('statistics', async () => {
  const stats = Object.fromEntries((await cache.cmd('stats')).STAT);
  assert.equal(stats.limit_maxbytes, String(64 << 20));
  await cache.set('k', 'v');
  const after = Object.fromEntries((await cache.cmd('stats')).STAT);
  assert.equal(Number(after.cmd_set), Number(stats.cmd_set) + 1);
  const settings = Object.fromEntries((await cache.cmd('stats settings')).STAT);
  assert.equal(settings.maxbytes, String(64 << 20));
});

test('several connections to a server', async () => {
  const wide = connect({ server: address, maxConnections: 8 });
  await wide.set('n', 0);
  await Promise.all(Array.from({ length: 2_000 }, () => wide.incr('n', 1)));
  assert.equal(await value('n'), 2_000);
});

test('it comes back after the connection was lost', async () => {
  const wire = await new Wire().open();
  try {
    const client = connect(wire.address);
    await client.set('k', 'v');
    wire.cut();
    await waitUntil(async () => (await client.get('k')).value === 'v');
    await wire.close();
    await assert.rejects(client.set('k', 'not stored'));
    await wire.open();
    await waitUntil(async () => (await client.set('k', 'new'))[0] === 'STORED');
    assert.equal(await value('k'), 'new');
  } finally {
    await wire.close();
  }
});
