/** A group that holds writes back: a command over collections that is refused has not happened, not in part either, and reads go on. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { KEYSPACES_OF_ADAPTERS } from '../../../../src/adapter/keyspaces.ts';
import { CommandTable } from '../../../../src/adapter/redis/command/command-table.ts';
import { ALL_COMMANDS } from '../../../../src/adapter/redis/commands/index.ts';
import { KEYSPACES } from '../../../../src/adapter/redis/keys/keyspace.ts';
import { ErrorReply, type Reply } from '../../../../src/adapter/redis/protocol/reply.ts';
import { encodeReply } from '../../../../src/adapter/redis/protocol/reply-writer.ts';
import { CommandRequest } from '../../../../src/adapter/redis/request/group-request.ts';
import type { QueuedData } from '../../../../src/adapter/redis/request/storage-keys.ts';
import { TransactionRequest } from '../../../../src/adapter/redis/request/transaction-requests.ts';
import { GroupAdmission } from '../../../../src/kv/admission/group-admission.ts';
import { SeededRandom } from '../../../../src/platform/index.ts';
import { LoneGroup } from '../../../support/lone-group.ts';
import { ManualClock } from '../../../support/manual-time.ts';
import { MemoryStore } from '../../../support/memory-store.ts';

const table = new CommandTable(ALL_COMMANDS);
const random = new SeededRandom(3);

/** Each changes something; all are declared as writes. */
const WRITES = [
  'HSET hash new value',
  'HSET hash field:1 other',
  'HDEL hash field:1 field:2',
  'HINCRBY hash number 5',
  'HEXPIRE hash 100 FIELDS 1 field:3',
  'RPUSH list tail',
  'LPOP list 40',
  'LTRIM list 10 20',
  'LMOVE list other LEFT RIGHT',
  'LREM list 0 element:5',
  'SADD set new',
  'SREM set member:1',
  'SPOP set 20',
  'SMOVE set other:set member:3',
  'SUNIONSTORE union set other:set',
  'ZADD order 5 new',
  'ZINCRBY order 1 member:7',
  'ZREM order member:7',
  'ZPOPMIN order 30',
  'ZREMRANGEBYRANK order 0 100',
  'ZUNIONSTORE both 2 order set',
  'GEOADD places 1 1 here',
  'PFADD sketch a b c',
  'SORT list ALPHA STORE sorted',
  'COPY hash copied',
  'RENAME hash renamed',
  'EXPIRE hash 100',
  'DEL hash list set order',
  'SETRANGE string 9000 part',
] as const;

class Stage {
  readonly admission = new GroupAdmission(new ManualClock(), KEYSPACES_OF_ADAPTERS);
  readonly bed = new LoneGroup({}, new MemoryStore({ bodies: KEYSPACES_OF_ADAPTERS.bodies }), {
    admission: this.admission,
    objects: KEYSPACES_OF_ADAPTERS,
  });

  constructor() {
    const many = (make: (at: number) => string): string => Array.from({ length: 200 }, (_, at) => make(at)).join(' ');
    this.run(`HSET hash number 1 ${many((at) => `field:${at} ${at}`)}`);
    this.run(`RPUSH list ${many((at) => `element:${at}`)}`);
    this.run(`SADD set ${many((at) => `member:${at}`)}`);
    this.run(`ZADD order ${many((at) => `${at} member:${at}`)}`);
    this.run(`SET string ${'x'.repeat(10_000)}`);
  }

  private queued(line: string): QueuedData {
    const args = line.split(' ').map((word) => Buffer.from(word));
    return { spec: table.resolve(args)!.spec, args, db: 0 };
  }

  isWrite(line: string): boolean {
    return this.queued(line).spec.flags.includes('write');
  }

  /** One command, or a transaction of several. @returns its error or its reply as RESP */
  run(...lines: readonly string[]): Error | string {
    let outcome: { readonly error: Error | undefined; readonly reply: Reply | undefined } | undefined;
    const owner = {
      firstRefused: Number.POSITIVE_INFINITY,
      settled: (_: unknown, error: Error | undefined, reply: Reply | undefined) => {
        outcome = { error, reply };
      },
    };
    const options = { resp: 2, settings: { random, maxStringBytes: 1 << 20 }, owner, token: 0 } as const;
    const request =
      lines.length === 1
        ? new CommandRequest({ ...options, ...this.queued(lines[0]!) })
        : new TransactionRequest(
            [],
            lines.map((line) => this.queued(line)),
            options,
          );
    this.bed.executor.submit(request);
    this.bed.settle();
    assert.ok(outcome !== undefined, lines.join());
    const { error, reply } = outcome;
    assert.ok(!(reply instanceof ErrorReply), lines.join());
    return error ?? encodeReply(reply ?? null, 2).toString('latin1');
  }

  /** Everything that there is. */
  contents(): string {
    const reads = ['HGETALL hash', 'LRANGE list 0 -1', 'SMEMBERS set', 'ZRANGE order 0 -1 WITHSCORES', 'GET string'];
    const others = ['other', 'other:set', 'union', 'both', 'places', 'sketch', 'sorted', 'copied', 'renamed'];
    return [...reads, 'PTTL hash', `EXISTS ${others.join(' ')}`].map((line) => String(this.run(line))).join();
  }
}

describe('a group that holds writes back', () => {
  test('refuses every write of a collection as a whole, alone and in MULTI, and answers reads', () => {
    const stage = new Stage();
    const before = stage.contents();
    const entries = stage.bed.raft.log.length;
    stage.admission.update({ level: 'stop', reason: 'the disk is full' });
    for (const line of WRITES) {
      assert.ok(stage.isWrite(line), `${line}: slowed clients are those that write`);
      for (const lines of [[line], ['GET string', line, 'SET other value']]) {
        const error = stage.run(...lines);
        assert.ok(error instanceof Error && 'code' in error && error.code === 'WRITE_BACKPRESSURE', lines.join());
      }
    }
    assert.equal(stage.bed.raft.log.length, entries, 'nothing was proposed');
    assert.equal(stage.contents(), before);
    stage.admission.update({ level: 'ok', reason: '' });
    for (const line of WRITES) assert.equal(typeof stage.run(line), 'string', line);
  });

  test('lets a command in as a whole or not at all while it slows writes', () => {
    const stage = new Stage();
    stage.admission.update({ level: 'slow', reason: 'the store is behind' });
    let refused = 0;
    for (let at = 0; at < 4_000 && refused < 3; at++) {
      const before = refused === 0 ? '' : stage.contents();
      const outcome = stage.run(`HSET hash ${Array.from({ length: 40 }, (_, n) => `more:${at}:${n} v`).join(' ')}`);
      if (outcome instanceof Error) {
        refused++;
        assert.equal(stage.run(`HEXISTS hash more:${at}:0`), ':0\r\n');
        if (before !== '') assert.equal(stage.contents(), before);
      } else {
        assert.equal(outcome, ':40\r\n');
        assert.equal(stage.run(`HEXISTS hash more:${at}:39`), ':1\r\n');
      }
    }
    assert.equal(refused, 3);
  });

  test('refuses a collection with too much history by its head, and no other', () => {
    const stage = new Stage();
    const head = KEYSPACES[0]!.storageKey(Buffer.from('hash')).toString('latin1');
    stage.admission.update({ level: 'ok', reason: '' }, new Set([head]));
    const before = stage.contents();
    for (const lines of [['HSET hash new value'], ['SADD set new', 'HDEL hash field:1']]) {
      const error = stage.run(...lines);
      assert.ok(error instanceof Error && 'code' in error && error.code === 'KEY_VERSION_PRESSURE');
    }
    assert.equal(stage.contents(), before);
    assert.equal(stage.run('SADD set new'), ':1\r\n');
  });
});
