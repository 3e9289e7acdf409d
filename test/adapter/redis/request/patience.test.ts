import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CommandTable } from '../../../../src/adapter/redis/command/command-table.ts';
import { ALL_COMMANDS } from '../../../../src/adapter/redis/commands/index.ts';
import { alone } from '../../../../src/adapter/redis/request/cross-group.ts';
import { leaderLost, setDeadline } from '../../../../src/adapter/redis/request/group-pipeline.ts';
import { CommandRequest } from '../../../../src/adapter/redis/request/group-request.ts';
import type { QueuedData } from '../../../../src/adapter/redis/request/storage-keys.ts';
import { TransactionRequest } from '../../../../src/adapter/redis/request/transaction-requests.ts';
import { SeededRandom } from '../../../../src/platform/index.ts';

const table = new CommandTable(ALL_COMMANDS);
const TIMEOUT_MS = 5_000;

function queued(line: string): QueuedData {
  const args = line.split(' ').map((word) => Buffer.from(word));
  return { spec: table.resolve(args)!.spec, args, db: 0 };
}

/** Seconds that a command waits for its leader, or a transaction of several. */
function patienceSeconds(...lines: readonly string[]): number {
  const settings = { random: new SeededRandom(1), maxStringBytes: 1024 };
  const options = { resp: 2, settings, owner: alone(), token: 0 } as const;
  const request =
    lines.length === 1
      ? new CommandRequest({ ...options, ...queued(lines[0]!) })
      : new TransactionRequest([], lines.map(queued), options);
  setDeadline(request, TIMEOUT_MS);
  return Math.floor(request.journey.deadlineMs / 1_000);
}

describe('the patience of a request that travels to its leader', () => {
  test('is longer for what may read a whole collection, in MULTI too', () => {
    for (const line of ['HGETALL h', 'LRANGE l 0 -1', 'SMEMBERS s', 'ZRANGE z 0 -1', 'SUNION a b', 'DUMP h', 'LCS a b'])
      assert.equal(patienceSeconds(line), 30, line);
    assert.equal(patienceSeconds('GET a', 'HGETALL h'), 30);
  });

  test('does not end with a leader that was at work on such a read for long', () => {
    const settings = { random: new SeededRandom(1), maxStringBytes: 1024 };
    const deadlineAfter = (line: string, workedMs: number): number => {
      const request = new CommandRequest({ resp: 2, settings, owner: alone(), token: 0, ...queued(line) });
      setDeadline(request, TIMEOUT_MS);
      leaderLost(request, workedMs);
      return Math.floor(request.journey.deadlineMs / 1_000);
    };
    assert.deepEqual([deadlineAfter('HGETALL h', 40_000), deadlineAfter('GET a', 40_000)], [70, 5]);
    assert.equal(deadlineAfter('HGETALL h', 900_000), 600);
  });

  test('is what the configuration says for everything else', () => {
    for (const line of [
      'GET a',
      'GETRANGE a 0 -1',
      'HGET h f',
      'HSET h f v',
      'LPOP l',
      'ZSCORE z m',
      'SUNIONSTORE d a b',
    ])
      assert.equal(patienceSeconds(line), 5, line);
    assert.equal(patienceSeconds('GET a', 'SET a b'), 5);
  });
});
