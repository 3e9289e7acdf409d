import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { evaluateStep, type KvOperation } from '../../src/kv/client/operations.ts';
import { ConflictError } from '../../src/kv/contract/errors.ts';
import { decodeEntry } from '../../src/kv/entry/decoded-entry.ts';
import { encodeSetGc } from '../../src/kv/entry/entry.ts';
import { NodeTurn } from '../../src/kv/leader/node-turn.ts';
import { type HlcTimestamp, hlcTimestamp, NEVER } from '../../src/platform/index.ts';
import { BusyError, NotLeaderError, OutcomeUnknownError, TooLargeError } from '../../src/raftengine/errors.ts';
import { bytes, GROUP, LoneGroup, type Outcome, text } from '../support/lone-group.ts';

const batch = (payload: Buffer) => {
  const entry = decodeEntry(payload);
  assert.equal(entry.opcode, 'batch');
  if (entry.opcode !== 'batch') throw new Error('unreachable');
  return entry;
};

describe('a turn of commands', () => {
  test('makes fifty increments of one key one entry with one write and fifty right replies', () => {
    const bed = new LoneGroup();
    const outcomes = Array.from({ length: 50 }, () => bed.incr('hot'));
    bed.scheduler.endTurn();
    assert.equal(bed.raft.proposals.length, 1);
    const entry = batch(bed.raft.log[0]!);
    assert.equal(entry.unitCount, 1);
    assert.equal(entry.expects.length, 1);
    assert.equal(entry.mutations.length, 1);
    assert.ok(
      outcomes.every((outcome) => !outcome.isDone),
      'no reply before apply',
    );
    bed.raft.commit();
    assert.deepEqual(
      outcomes.map((outcome) => outcome.reply),
      Array.from({ length: 50 }, (_, at) => at + 1),
    );
    assert.equal(bed.get('hot').reply, '50');
  });

  test('keeps commands of different keys apart, so that one may conflict alone', () => {
    const bed = new LoneGroup();
    bed.incr('a');
    bed.incr('b');
    bed.set('c', '1');
    bed.scheduler.endTurn();
    const entry = batch(bed.raft.log[0]!);
    assert.equal(entry.unitCount, 3);
    assert.equal(entry.expects.length, 2, 'a blind write expects nothing');
  });

  test('lets a pipelined GET see the SET before it and wait for it', () => {
    const bed = new LoneGroup();
    const set = bed.set('k', 'new');
    const get = bed.get('k');
    bed.scheduler.endTurn();
    assert.ok(!set.isDone && !get.isDone);
    bed.raft.commit();
    assert.equal(set.reply, 'OK');
    assert.equal(get.reply, 'new');
  });

  test('makes a read of a key that is in flight wait for that entry and for no later one', () => {
    const bed = new LoneGroup({ pipelineDepth: 8 });
    bed.set('k', '1');
    bed.scheduler.endTurn();
    const get = bed.get('k');
    bed.set('other', '2');
    bed.scheduler.endTurn();
    assert.ok(!get.isDone);
    bed.raft.commit(1);
    assert.equal(get.reply, '1');
    assert.equal(bed.raft.proposals.length, 1);
  });

  test('gathers the commands of further turns while an entry is in flight, and proposes them when it is through', () => {
    const bed = new LoneGroup({ pipelineDepth: 1 });
    const first = bed.incr('n');
    bed.scheduler.endTurn();
    const gathered = [bed.incr('n')];
    bed.scheduler.endTurn();
    gathered.push(bed.incr('n'));
    bed.scheduler.endTurn();
    assert.equal(bed.raft.proposals.length, 1);
    bed.raft.commit();
    assert.equal(first.reply, 1);
    bed.scheduler.endTurn();
    assert.equal(bed.raft.proposals.length, 1);
    bed.raft.commit();
    assert.deepEqual(
      gathered.map((outcome) => outcome.reply),
      [2, 3],
    );
  });

  test('waits a few turns for as many commands as the last entry had, and no longer', () => {
    const bed = new LoneGroup({ gatherTurns: 2 });
    for (let at = 0; at < 10; at++) bed.set(`k${at}`, 'a');
    bed.scheduler.endTurn();
    assert.equal(bed.raft.proposals.length, 1, 'the first entry has nothing to compare itself with');
    bed.raft.commit();
    for (let at = 0; at < 4; at++) bed.set(`k${at}`, 'b');
    bed.scheduler.endTurn();
    assert.equal(bed.raft.proposals.length, 0);
    for (let at = 4; at < 10; at++) bed.set(`k${at}`, 'b');
    bed.scheduler.passTurn();
    assert.equal(bed.raft.proposals.length, 1, 'all are there again');
    bed.raft.commit();
    const late = bed.set('k', 'c');
    bed.scheduler.endTurn();
    bed.scheduler.passTurn();
    assert.equal(bed.raft.proposals.length, 0);
    bed.scheduler.passTurn();
    assert.equal(bed.raft.proposals.length, 1, 'the others do not come');
    bed.raft.commit();
    assert.equal(late.reply, 'OK');
  });

  test('closes an entry at its size limit and goes on in the next one', () => {
    const bed = new LoneGroup({ maxEntryBytes: 200, pipelineDepth: 8 });
    const outcomes = Array.from({ length: 10 }, (_, at) => bed.set(`k${at}`, 'x'.repeat(60)));
    bed.scheduler.endTurn();
    assert.ok(bed.raft.proposals.length > 2);
    const stamps = bed.raft.log.map((payload) => batch(payload).commitTs);
    assert.deepEqual([...stamps].sort(), stamps);
    assert.equal(new Set(stamps).size, stamps.length);
    bed.raft.commit();
    assert.ok(outcomes.every((outcome) => outcome.reply === 'OK'));
  });

  test('gives each value of a key its own timestamp where clients are shown it as a version, in as many entries as that takes', () => {
    const bed = new LoneGroup({ maxInflightEntries: 4 });
    const key = bytes('k');
    const step = (operation: KvOperation, version?: HlcTimestamp) =>
      bed.run((view) => {
        const target = { kind: 'version', version: version! } as const;
        const conditions = version === undefined ? [] : [{ key, comparison: 'equal', target } as const];
        return evaluateStep(view, { conditions, success: [operation], failure: [] });
      });
    const put = (value: string, version?: HlcTimestamp) =>
      step({ kind: 'put', key, value: bytes(value), ttlMs: 0 }, version);
    const first = put('0');
    const read = step({ kind: 'get', key });
    const others = Array.from({ length: 10 }, (_, at) => put(String(at + 1)));
    assert.ok(bed.raft.proposals.length <= 4, 'no more are on their way than may be');
    bed.settle();
    assert.equal(new Set([first, ...others].map(({ reply }) => reply!.ts)).size, 11);
    const shown = read.reply!.results[0]!;
    assert.ok(shown.kind === 'get' && shown.value?.value.toString() === '0');
    assert.equal(shown.value.version, first.reply!.ts);
    // Whoever has seen the first value does not overwrite what came behind it in the same turn.
    const late = put('mine', shown.value.version);
    bed.settle();
    assert.equal(late.reply!.succeeded, false);
    assert.equal(bed.get('k').reply, '10');
  });

  test('refuses a command whose effects are over the limit and leaves no trace of it', () => {
    const bed = new LoneGroup({ maxCommandBytes: 100 });
    assert.ok(bed.set('k', 'x'.repeat(200)).error instanceof TooLargeError);
    assert.equal(bed.get('k').reply, undefined);
    bed.scheduler.endTurn();
    assert.equal(bed.raft.log.length, 0);
  });

  test('leaves no effects of a command that throws, and answers with what it threw', () => {
    const bed = new LoneGroup();
    const outcome = bed.run((view) => {
      view.put(bytes('k'), bytes('v'), 0n as typeof view.ts);
      throw new TypeError('wrong type');
    });
    assert.ok(outcome.error instanceof TypeError);
    assert.equal(bed.get('k').reply, undefined);
  });

  test('shows a command its own writes, deletes and range deletes in order', () => {
    const bed = new LoneGroup();
    bed.set('r1', 'old');
    bed.set('r2', 'old');
    bed.settle();
    const seen = bed.run((view) => {
      const found: (string | undefined)[] = [];
      view.put(bytes('r0'), bytes('mine'), 0n as typeof view.ts);
      view.deleteRange(bytes('r'), bytes('s'));
      found.push(text(view.get(bytes('r0'))), text(view.get(bytes('r1'))));
      view.put(bytes('r1'), bytes('again'), 0n as typeof view.ts);
      found.push(text(view.get(bytes('r1'))));
      return found;
    });
    bed.settle();
    assert.deepEqual(seen.reply, [undefined, undefined, 'again']);
    assert.equal(bed.get('r0').reply, undefined);
    assert.equal(bed.get('r1').reply, 'again');
    assert.equal(bed.get('r2').reply, undefined);
  });
});

describe('reads', () => {
  test('of applied state complete at once under a lease, without any message', () => {
    const bed = new LoneGroup();
    bed.set('k', 'v');
    bed.settle();
    const proposed = bed.raft.log.length;
    assert.equal(bed.get('k').reply, 'v');
    bed.scheduler.endTurn();
    assert.equal(bed.raft.barriers.length, 0);
    assert.equal(bed.raft.log.length, proposed);
  });

  test('share one quorum round per turn without a lease', async () => {
    const bed = new LoneGroup();
    bed.set('k', 'v');
    bed.settle();
    bed.raft.hasLease = false;
    const reads = [bed.get('k'), bed.get('k'), bed.get('absent')];
    bed.scheduler.endTurn();
    assert.ok(reads.every((read) => !read.isDone));
    assert.equal(bed.raft.barriers.length, 1);
    bed.raft.barriers[0]!.resolve();
    await Promise.resolve();
    assert.deepEqual(
      reads.map((read) => read.reply),
      ['v', 'v', undefined],
    );
  });

  test('of in-flight data are confirmed too, because the entry may have been committed long before the read began', async () => {
    const bed = new LoneGroup();
    bed.set('k', 'v');
    bed.scheduler.endTurn();
    const read = bed.get('k');
    bed.raft.hasLease = false;
    bed.raft.commit();
    assert.ok(!read.isDone);
    bed.scheduler.endTurn();
    bed.raft.barriers[0]!.resolve();
    await Promise.resolve();
    assert.equal(read.reply, 'v');
  });

  test('do not wait until entries are applied that write other keys, or nothing that is read', () => {
    const bed = new LoneGroup();
    bed.set('k', 'v');
    bed.settle();
    bed.set('large', 'value');
    bed.scheduler.endTurn();
    bed.executor.proposeMaintenance(() => encodeSetGc(hlcTimestamp(1n)));
    bed.raft.commitOnly();
    assert.equal(bed.get('k').reply, 'v');
    const other = bed.get('large');
    assert.ok(!other.isDone);
    bed.settle();
    assert.equal(other.reply, 'value');
  });

  test('wait for entries that no operation asked for: another replica may have shown what they write', async () => {
    const bed = new LoneGroup();
    bed.set('k', 'v');
    bed.settle();
    const fenced = bed.executor.fence({ kind: 'fence', mode: 'bridge', epoch: 1, oracle: GROUP });
    bed.raft.commitOnly();
    const read = bed.get('k');
    bed.scheduler.endTurn();
    assert.ok(!read.isDone);
    bed.raft.commit();
    await fenced;
    for (const barrier of bed.raft.barriers) barrier.resolve();
    await Promise.resolve();
    assert.equal(read.reply, 'v');
  });

  test('fail with a redirect when the quorum round fails', async () => {
    const bed = new LoneGroup();
    bed.raft.hasLease = false;
    const read = bed.get('k');
    bed.scheduler.endTurn();
    bed.raft.barriers[0]!.reject(new OutcomeUnknownError('lost'));
    await Promise.resolve();
    await Promise.resolve();
    assert.ok(read.error instanceof NotLeaderError);
  });

  test('judge expiry by the timestamp of their turn', () => {
    const bed = new LoneGroup();
    bed.set('k', 'v', 100);
    bed.settle();
    assert.equal(bed.get('k').reply, 'v');
    bed.scheduler.endTurn();
    bed.clock.advance(101);
    assert.equal(bed.get('k').reply, undefined);
  });

  test('make a scan wait for what was submitted before it and never see what comes after', async () => {
    const bed = new LoneGroup();
    bed.set('a', '1');
    const page = bed.executor.scan({ start: bytes(''), end: bytes('z'), limit: 10 });
    bed.scheduler.endTurn();
    bed.raft.commit();
    bed.set('b', '2');
    bed.settle();
    const { rows, next } = await page;
    assert.deepEqual(
      rows.map((row) => row.key.toString()),
      ['a'],
    );
    assert.equal(next, undefined);
  });

  test('draw a new timestamp for writes that follow a scan in the same turn', async () => {
    const bed = new LoneGroup();
    bed.get('a');
    const page = bed.executor.scan({ start: bytes(''), end: bytes('z'), limit: 10 });
    bed.set('a', '1');
    bed.settle();
    assert.equal((await page).rows.length, 0);
  });
});

describe('conflicts', () => {
  test('are found at apply and the operation is evaluated again', () => {
    const bed = new LoneGroup();
    bed.set('n', '5');
    bed.settle();
    const incr = bed.incr('n');
    const bystander = bed.incr('m');
    bed.scheduler.endTurn();
    bed.overtake((other) => other.set('n', '100'));
    bed.raft.commit(1);
    assert.ok(!incr.isDone);
    assert.equal(bystander.reply, 1);
    bed.settle();
    assert.equal(incr.reply, 101);
    assert.equal(incr.evaluations, 2);
    assert.equal(bystander.evaluations, 1);
  });

  test('spread to everything that was computed from what did not happen', () => {
    const bed = new LoneGroup({ pipelineDepth: 8 });
    bed.set('n', '5');
    bed.settle();
    const first = bed.incr('n');
    const second = bed.incr('n');
    const readInTurn = bed.get('n');
    bed.scheduler.endTurn();
    const third = bed.incr('n');
    const readLater = bed.get('n');
    bed.scheduler.endTurn();
    bed.overtake((other) => other.set('n', '100'));
    bed.settle();
    assert.deepEqual([first.reply, second.reply, third.reply], [101, 102, 103]);
    assert.equal(readInTurn.reply, '102');
    assert.equal(readLater.reply, '103');
    assert.equal(bed.get('n').reply, '103');
  });

  test('never let a version stand for a value that a conflicting command of the same entry would have replaced', () => {
    const bed = new LoneGroup({ pipelineDepth: 8 });
    bed.set('j', '1');
    bed.settle();
    // In one entry: a blind write of k, then a command that depends on j and replaces k.
    const blind = bed.set('k', 'first');
    const dependent = bed.run((view) => {
      const value = `second-${text(view.get(bytes('j')))}`;
      view.put(bytes('k'), bytes(value), 0n as typeof view.ts);
      return value;
    });
    bed.scheduler.endTurn();
    // In the next entry: computed from what the dependent command left.
    const append = bed.run((view) => {
      const value = `${text(view.get(bytes('k')))}+`;
      view.put(bytes('k'), bytes(value), 0n as typeof view.ts);
      return value;
    });
    bed.scheduler.endTurn();
    bed.overtake((other) => other.set('j', '2'));
    bed.settle();
    assert.equal(blind.reply, 'OK');
    assert.equal(dependent.reply, 'second-2');
    assert.equal(append.reply, 'second-2+');
    assert.equal(bed.get('k').reply, 'second-2+');
  });

  test('make a read of several entries run again when an earlier one of them failed', () => {
    const bed = new LoneGroup({ pipelineDepth: 8 });
    bed.incr('n');
    bed.scheduler.endTurn();
    bed.set('m', 'x');
    bed.scheduler.endTurn();
    const both = bed.run((view) => `${text(view.get(bytes('n')))}/${text(view.get(bytes('m')))}`);
    bed.overtake((other) => other.set('n', '100'));
    bed.settle();
    bed.settle();
    assert.notEqual(both.reply, '1/x', 'that increment never happened');
    assert.equal(both.reply, '101/x');
  });

  test('take along a command that read several keys of its entry, whichever of them failed', () => {
    const bed = new LoneGroup();
    bed.set('j', '1');
    bed.settle();
    bed.set('first', 'x');
    const second = bed.run((view) => {
      const value = `second-${text(view.get(bytes('j')))}`;
      view.put(bytes('second'), bytes(value), 0n as typeof view.ts);
    });
    const both = bed.run((view) => {
      const value = `${text(view.get(bytes('first')))}&${text(view.get(bytes('second')))}`;
      view.put(bytes('both'), bytes(value), 0n as typeof view.ts);
      return value;
    });
    bed.scheduler.endTurn();
    bed.overtake((other) => other.set('j', '2'));
    bed.settle();
    assert.equal(second.error, undefined);
    assert.equal(both.reply, 'x&second-2');
  });

  test('end in an error after eight tries', () => {
    const bed = new LoneGroup();
    const incr = bed.incr('n');
    for (let round = 0; round < 8; round++) {
      bed.scheduler.endTurn();
      bed.overtake((other) => other.set('n', String(round)));
      bed.raft.commit();
    }
    assert.ok(incr.error instanceof ConflictError);
    assert.equal(incr.evaluations, 8);
  });
});

describe('lost leadership', () => {
  test('leaves proposed writes unknown, and everything else certainly undone', () => {
    const bed = new LoneGroup();
    const proposed = bed.set('a', '1');
    const reader = bed.get('a');
    bed.scheduler.endTurn();
    const open = bed.set('b', '2');
    bed.raft.stepDown();
    assert.ok(proposed.error instanceof OutcomeUnknownError);
    assert.ok(open.error instanceof NotLeaderError);
    const redirect = bed.get('a').error;
    assert.ok(redirect instanceof NotLeaderError);
    assert.equal(redirect.leaderHint, 2);
    assert.ok(reader.isDone);
    bed.scheduler.endTurn();
    assert.equal(bed.raft.proposals.length, 0);
  });

  test('redirects operations that waited for room', () => {
    const bed = new LoneGroup({ maxInflightEntries: 1 });
    const proposed = bed.set('a', '1');
    bed.scheduler.endTurn();
    const waiting = bed.set('b', '2');
    bed.stateMachine.onLeadership({ kind: 'stopped', term: 1 });
    assert.ok(waiting.error instanceof NotLeaderError);
    assert.equal(waiting.evaluations, 0);
    bed.raft.drop('unknown');
    assert.ok(proposed.error instanceof OutcomeUnknownError);
  });

  test('fails reads that wait for a quorum round', () => {
    const bed = new LoneGroup();
    bed.raft.hasLease = false;
    const read = bed.get('a');
    bed.scheduler.endTurn();
    bed.raft.stepDown();
    assert.ok(read.error instanceof NotLeaderError);
    bed.raft.barriers[0]!.resolve();
  });

  test('is survived: the next term starts above every timestamp of earlier ones and without an overlay', () => {
    const bed = new LoneGroup();
    bed.set('a', '1');
    bed.settle();
    bed.set('a', 'lost');
    bed.scheduler.endTurn();
    bed.raft.stepDown();
    const before = bed.stateMachine.maxTs;
    bed.clock.wallMs -= 20_000;
    bed.raft.leaderId = bed.executor.isServing ? undefined : (1 as typeof bed.raft.leaderId);
    bed.raft.lead();
    assert.equal(bed.get('a').reply, '1');
    const set = bed.set('a', '2');
    bed.settle();
    assert.equal(set.reply, 'OK');
    assert.ok(bed.stateMachine.maxTs > before);
  });

  test('of another node whose clock was twenty seconds ahead leaves the new leader writing above it', () => {
    const ahead = new LoneGroup();
    ahead.clock.wallMs += 20_000;
    ahead.set('a', '1');
    ahead.settle();
    const bed = new LoneGroup();
    bed.raft.stepDown();
    bed.raft.apply(ahead.raft.log.at(-1)!);
    bed.raft.lead();
    const incr = bed.incr('a');
    bed.scheduler.endTurn();
    bed.raft.commit(1);
    assert.equal(incr.reply, 2);
    assert.ok(bed.stateMachine.maxTs > ahead.stateMachine.maxTs);
  });

  test('passes the reason on when an entry was not proposed', () => {
    const bed = new LoneGroup();
    const write = bed.set('a', '1');
    const read = bed.get('a');
    bed.scheduler.endTurn();
    bed.raft.drop('notProposed');
    assert.ok(write.error instanceof NotLeaderError);
    assert.equal(read.reply, undefined, 'the read is evaluated again, without the write');
    assert.equal(read.evaluations, 2);
  });
});

describe('limits', () => {
  test('make operations wait unevaluated in order, then refuse', () => {
    const bed = new LoneGroup({ maxInflightEntries: 1, maxWaitingOperations: 2 });
    const first = bed.incr('k');
    bed.scheduler.endTurn();
    const second = bed.incr('k');
    const third = bed.incr('k');
    const refused = bed.incr('k');
    assert.ok(refused.error instanceof BusyError);
    assert.equal(second.evaluations, 0);
    bed.settle();
    assert.deepEqual([first.reply, second.reply, third.reply], [1, 2, 3]);
  });

  test('let what only reads pass what waits for room, unless its own source has asked for that', () => {
    const bed = new LoneGroup({ maxInflightEntries: 1 });
    const order: string[] = [];
    const read = (name: string, source: object | undefined) =>
      bed.executor.submit({
        isWrite: false,
        ...(source === undefined ? {} : { source }),
        evaluate: (view) => text(view.get(bytes('k'))),
        complete: (_error, reply) => order.push(`${name} ${reply}`),
      });
    bed.set('k', '0');
    bed.settle();
    bed.set('other', '1');
    bed.scheduler.endTurn();
    const source = {};
    bed.executor.submit({
      source,
      evaluate: (view) => view.put(bytes('k'), bytes('1'), NEVER),
      complete: () => order.push('written'),
    });
    read('a stranger reads', undefined);
    read('another reads', {});
    read('its own source reads', source);
    assert.deepEqual(order, ['a stranger reads 0', 'another reads 0']);
    bed.settle();
    assert.deepEqual(order.slice(2), ['written', 'its own source reads 1']);
    read('its own source reads', source);
    assert.equal(order.at(-1), 'its own source reads 1');
  });

  /** Writes so many rows, and answers how many commands have done so. */
  const writeRows = (bed: LoneGroup, rows: number, tookMs = 0): Outcome<number> =>
    bed.run((view) => {
      const nth = Number(text(view.get(bytes('n'))) ?? '0') + 1;
      view.put(bytes('n'), bytes(String(nth)), NEVER);
      for (let at = 0; at < rows; at++) view.put(bytes(`row ${nth} ${at}`), bytes('x'), NEVER);
      bed.clock.advance(tookMs);
      return nth;
    });
  const evaluated = (outcomes: readonly Outcome<number>[]): number =>
    outcomes.filter(({ evaluations }) => evaluations > 0).length;

  test('end a turn that has touched many rows: what comes behind waits for the next one, in order', () => {
    const bed = new LoneGroup({ maxRowsPerTurn: 2_000 });
    const outcomes = Array.from({ length: 20 }, () => writeRows(bed, 300));
    assert.equal(evaluated(outcomes), 7);
    bed.scheduler.endTurn();
    assert.equal(evaluated(outcomes), 7);
    bed.scheduler.passTurn();
    assert.equal(evaluated(outcomes), 14);
    const last = writeRows(bed, 1);
    bed.scheduler.passTurn();
    assert.equal(evaluated([...outcomes, last]), 21);
    bed.settle();
    assert.deepEqual(
      [...outcomes, last].map(({ reply }) => reply),
      Array.from({ length: 21 }, (_, nth) => nth + 1),
    );
  });

  test('let reads and writes that wait for a turn have one in turns, and each source its own in order', () => {
    const bed = new LoneGroup({ maxRowsPerTurn: 2_000 });
    const source = {};
    const done: string[] = [];
    const readRows = (name: string, own: object = {}, complete = (): void => undefined): void =>
      bed.executor.submit({
        isWrite: false,
        source: own,
        evaluate: (view) => {
          for (let at = 0; at < 300; at++) view.get(bytes(`k${at}`));
          done.push(name);
        },
        complete,
      });
    const write = (name: string, own: object): void =>
      bed.executor.submit({
        source: own,
        evaluate: (view) => {
          for (let at = 0; at < 300; at++) view.put(bytes(`${name} ${at}`), bytes('x'), NEVER);
          done.push(name);
        },
        complete: () => undefined,
      });
    const turn = (): string[] => {
      done.length = 0;
      bed.scheduler.passTurn();
      return [...done];
    };
    for (let nth = 0; nth < 30; nth++) write('write', source);
    readRows('own read', source);
    assert.equal(done.length, 7);
    for (let nth = 0; nth < 10; nth++) readRows('read');
    assert.deepEqual(turn(), new Array(7).fill('read'));
    assert.deepEqual(turn(), new Array(7).fill('write'));
    assert.deepEqual(turn(), [...new Array(3).fill('read'), ...new Array(4).fill('write')]);
    const pair = {};
    readRows('first', pair);
    write('second', pair);
    readRows('third', pair);
    const rest = [...turn(), ...turn(), ...turn()];
    assert.deepEqual(
      rest.filter((name) => name !== 'write'),
      ['first', 'own read', 'second', 'third'],
    );
    for (let nth = 0; nth < 7; nth++) write('write', source);
    readRows('before', pair, () => write('behind', pair));
    readRows('also before', pair);
    assert.deepEqual(turn(), ['before', 'also before', 'behind']);
    // It is the turn of those that write, and the only one of them is behind a read that has not had its own.
    for (let nth = 0; nth < 7; nth++) write('write', source);
    for (let nth = 0; nth < 10; nth++) readRows('read');
    readRows('read before', pair);
    write('write behind', pair);
    turn();
    assert.deepEqual(turn(), ['read', 'read', 'read', 'read before', 'write behind']);
  });

  test('end a turn that has taken long, but not one of few rows', () => {
    const bed = new LoneGroup({ maxTurnMs: 40 });
    const large = Array.from({ length: 20 }, () => writeRows(bed, 300, 20));
    assert.equal(evaluated(large), 4);
    while (evaluated(large) < 20) bed.scheduler.passTurn();
    bed.settle();
    bed.scheduler.passTurn();
    const small = Array.from({ length: 50 }, () => writeRows(bed, 1, 20));
    assert.equal(evaluated(small), 50);
    bed.settle();
    assert.equal(small[49]!.reply, 70);
  });

  test('end the turn of all groups of a node when they may take any time and have, and every group has its turn', () => {
    const turns: (() => void)[] = [];
    const turn = new NodeTurn({ nextTurn: (callback) => void turns.push(callback) }, 40);
    const [first, second] = [new LoneGroup({}, undefined, { turn }), new LoneGroup({}, undefined, { turn })];
    const runs: string[] = [];
    const script = (bed: LoneGroup, name: string, tookMs: number) => () =>
      bed.run(() => {
        bed.clock.advance(tookMs);
        runs.push(name);
      }, true);
    for (const begin of [
      script(first, 'a', 30),
      script(first, 'b', 30),
      script(first, 'c', 100),
      script(second, 'd', 100),
    ])
      begin();
    for (const begin of [script(first, 'e', 0), script(second, 'f', 0)]) begin();
    assert.deepEqual(runs, ['a', 'b']);
    const passed = [3, 4].map(() => {
      turns.shift()!();
      return [...runs];
    });
    assert.deepEqual(passed, [
      ['a', 'b', 'c'],
      ['a', 'b', 'c', 'd'],
    ]);
    turns.shift()!();
    assert.deepEqual(runs.slice(4).sort(), ['e', 'f']);
  });

  test('do not add up what several turns touch', () => {
    const bed = new LoneGroup({ maxRowsPerTurn: 2_000 });
    for (let turn = 0; turn < 5; turn++) {
      const outcomes = [writeRows(bed, 300), writeRows(bed, 300), writeRows(bed, 300)];
      assert.equal(evaluated(outcomes), 3);
      bed.settle();
    }
  });

  test('close an entry that has many rows, which a replica applies in one turn', () => {
    const bed = new LoneGroup({ maxEntryRows: 500 });
    const outcomes = Array.from({ length: 5 }, () => writeRows(bed, 300));
    bed.settle();
    assert.deepEqual(
      outcomes.map(({ reply }) => reply),
      [1, 2, 3, 4, 5],
    );
    assert.deepEqual(
      bed.raft.log.slice(-3).map((payload) => batch(payload).mutations.length),
      [601, 601, 301],
    );
  });
});
