/** Functions whose libraries are in another group than their keys, and scripts that look at all keys of several groups. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Clock, type Scheduler, SystemClock, SystemScheduler } from '../../../../src/platform/index.ts';
import { type CrossGroupOptions, type CrossGroupServer, crossGroupServers } from './several-groups.ts';

const start = crossGroupServers();

async function bed(options?: CrossGroupOptions): Promise<CrossGroupServer> {
  const started = await start(options);
  // Groups refuse what they do not have.
  started.kv.state.owners = started.kv.directory.copy();
  return started;
}

/** Slots 15495, 3300 and 7365: three groups of three. */
const [A, B, C] = ['a', 'b', 'c'] as const;

const library = (factor: number): string =>
  `#!lua name=lib
   redis.register_function("put", function(keys, args)
     for _, key in ipairs(keys) do redis.call("set", key, args[1] * ${factor}) end
     return ${factor}
   end)
   redis.register_function{function_name="look", callback=function(keys) return redis.call("get", keys[1]) end, flags={"no-writes"}}`;

/** The clocks of a machine that may sleep. */
function sleepingTime(): Clock & Scheduler & { sleep(ms: number): void } {
  const [clock, scheduler] = [new SystemClock(), new SystemScheduler()];
  let sleptMs = 0;
  return {
    nowMs: () => clock.nowMs() + sleptMs,
    monotonicMs: () => clock.monotonicMs(),
    after: (delayMs, callback) => scheduler.after(delayMs, callback),
    endOfTurn: (callback) => scheduler.endOfTurn(callback),
    nextTurn: (callback) => scheduler.nextTurn(callback),
    sleep: (ms) => {
      sleptMs += ms;
    },
  };
}

describe('functions over several groups', () => {
  for (const redirects of [false, true]) {
    test(`run wherever their keys are${redirects ? ', for clients that follow redirects too' : ''}`, async () => {
      const { client } = await bed({ redirects });
      assert.equal(await client.call('FUNCTION', 'LOAD', library(2)), 'lib');
      for (const key of [A, B, C]) {
        assert.equal(await client.call('FCALL', 'put', '1', key, '21'), 2);
        assert.equal(await client.call('FCALL_RO', 'look', '1', key), '42');
      }
    });
  }

  test('are those of the last library that was loaded, in MULTI too', async () => {
    const { client } = await bed();
    await client.call('FUNCTION', 'LOAD', library(2));
    await client.call('MULTI');
    await client.call('FCALL', 'put', '1', A, '1');
    await client.call('FUNCTION', 'LOAD', 'REPLACE', library(3));
    await client.call('FCALL', 'put', '2', B, C, '1');
    assert.deepEqual(await client.call('EXEC'), [2, 'lib', 3]);
    assert.deepEqual(await client.call('MGET', A, B, C), ['2', '3', '3']);
    assert.equal(await client.call('FUNCTION', 'DELETE', 'lib'), '+OK');
    assert.match(String(await client.call('FCALL', 'put', '1', A, '1')), /^-ERR Function not found/);
  });

  test('are never old ones once a change has answered, whoever has a copy', async () => {
    const { client, kv } = await bed();
    await client.call('FUNCTION', 'LOAD', library(2));
    for (const key of [A, B, C]) assert.equal(await client.call('FCALL', 'put', '1', key, '1'), 2);
    const submitted = kv.submitted;
    for (const key of [A, B, C]) assert.equal(await client.call('FCALL', 'put', '1', key, '1'), 2);
    assert.equal(kv.submitted - submitted, 3, 'a copy answers without a question');
    assert.equal(await client.call('FUNCTION', 'LOAD', 'REPLACE', library(5)), 'lib');
    for (const key of [A, B, C]) assert.equal(await client.call('FCALL', 'put', '1', key, '1'), 5);
    await client.call('MULTI');
    await client.call('FUNCTION', 'FLUSH');
    await client.call('FUNCTION', 'LIST');
    assert.deepEqual(await client.call('EXEC'), ['+OK', []]);
    for (const key of [A, B, C]) {
      assert.match(String(await client.call('FCALL', 'put', '1', key, '1')), /^-ERR Function not found/);
    }
  });

  test('are asked for anew once the machine has slept: whoever changes them has waited for no copy longer', async () => {
    const time = sleepingTime();
    const { client, kv } = await bed({ time });
    await client.call('FUNCTION', 'LOAD', library(2));
    for (const key of [A, B, C]) assert.equal(await client.call('FCALL', 'put', '1', key, '1'), 2);
    const before = kv.submitted;
    time.sleep(1_000);
    for (const key of [A, B, C]) assert.equal(await client.call('FCALL', 'put', '1', key, '1'), 2);
    assert.ok(kv.submitted - before > 3, 'the copy answered');
  });

  test('are kept by FLUSHALL and SCRIPT FLUSH', async () => {
    const { client } = await bed();
    await client.call('FUNCTION', 'LOAD', library(2));
    await client.call('FLUSHALL');
    await client.call('SCRIPT', 'FLUSH');
    assert.equal(await client.call('FCALL', 'put', '1', A, '1'), 2);
    assert.equal(await client.call('DBSIZE'), 1);
  });
});

describe('scripts that look at all keys', () => {
  test('see the keys of all groups, and what they have written themselves', async () => {
    const { client } = await bed();
    await client.call('MSET', A, '1', B, '2', C, '3');
    const script = `redis.call("del", "${A}") redis.call("set", "d", 4)
      local found = redis.call("keys", "*") table.sort(found)
      return {table.concat(found, ","), redis.call("dbsize")}`;
    assert.deepEqual(await client.call('EVAL', script, '0'), [`${B},${C},d`, 3]);
    assert.equal(await client.call('EVAL', 'return redis.call("flushall")', '1', A), '+OK');
    assert.equal(await client.call('DBSIZE'), 0);
  });

  test('walk over all of them with SCAN', async () => {
    const { client, runner } = await bed();
    const keys = Array.from({ length: 500 }, (_, index) => `key${index}`);
    await client.call('MSET', ...keys.flatMap((key) => [key, '1']));
    const before = runner.requests.length;
    const script = `local cursor, count = "0", 0
      repeat
        local page = redis.call("scan", cursor, "count", 10)
        cursor, count = page[1], count + #page[2]
      until cursor == "0"
      return count`;
    assert.equal(await client.call('EVAL', script, '0'), 500);
    assert.ok(runner.requests.length - before <= 3, 'the pages of a walk are brought together');
  });

  test('end when they ask too often', async () => {
    const { client } = await bed();
    const script = 'redis.call("set", "x", 1) while true do redis.call("randomkey") end';
    assert.match(String(await client.call('EVAL', script, '0')), /^-ERR the script asks more than 100 times/);
    assert.equal(await client.call('EXISTS', 'x'), 0);
  });
});
