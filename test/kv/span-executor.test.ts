/** The leader and its spans: what it refuses and when, what it waits for, and what it answers to moves. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { NotOwnerError, RangeBusyError } from '../../src/kv/contract/errors.ts';
import { encodeSetGc } from '../../src/kv/entry/entry.ts';
import { captureKey } from '../../src/kv/entry/local-keys.ts';
import { encodeSpan } from '../../src/kv/entry/span-entries.ts';
import { Maintenance } from '../../src/kv/leader/maintenance.ts';
import { type HlcTimestamp, hlcTimestamp, NEVER, nodeId, physicalMs, timestampOfMs } from '../../src/platform/index.ts';
import { BusyError, NotLeaderError, OutcomeUnknownError } from '../../src/raftengine/errors.ts';
import { bytes, LoneGroup } from '../support/lone-group.ts';
import { MemoryStore } from '../support/memory-store.ts';
import {
  activate,
  captureOn,
  fence,
  incoming,
  isBusy,
  isElsewhere,
  range,
  release,
  SpanGroup,
  START,
  show,
  unfence,
} from './span-group.ts';

describe('an operation', () => {
  test('is refused, without effects, when it touches a key that is not the own one', () => {
    const bed = new SpanGroup();
    isElsewhere(bed.get('z'), undefined);
    isElsewhere(bed.set('A', '1'), undefined);
    isElsewhere(bed.delete('z'), undefined);
    isElsewhere(bed.clear('y', 'zz'), undefined);
    const outcome = bed.run((view) => {
      view.put(bytes('k'), bytes('1'), NEVER);
      view.put(bytes('z'), bytes('1'), NEVER);
    });
    isElsewhere(outcome, undefined);
    assert.equal(bed.get('k').reply, undefined);
    bed.settle();
    assert.equal(bed.raft.log.length, 0);
  });

  test('is refused although it swallowed the refusal of one of its keys', () => {
    const bed = new SpanGroup();
    const outcome = bed.run((view) => {
      view.put(bytes('k'), bytes('1'), NEVER);
      try {
        view.get(bytes('z'));
      } catch {
        return 'never mind';
      }
      return 'unreachable';
    });
    isElsewhere(outcome, undefined);
    bed.settle();
    assert.equal(bed.get('k').reply, undefined);
  });

  test('goes on with the next one after a refusal', () => {
    const bed = new SpanGroup();
    isElsewhere(bed.set('z', '1'), undefined);
    const set = bed.set('k', '1');
    bed.settle();
    assert.equal(set.reply, 'OK');
  });

  test('cannot see what the group keeps for itself', async () => {
    const bed = new SpanGroup({ owned: 'all' });
    await bed.done(captureOn);
    bed.set('f', '1');
    bed.settle();
    const row = captureKey(1, bed.stateMachine.applied().index, 0);
    assert.ok(bed.store.latest(row) !== undefined);
    for (const touch of [
      bed.run((view) => view.get(row)),
      bed.run((view) => view.put(row, bytes('x'), NEVER)),
      bed.run((view) => view.delete(row)),
      bed.clear('', 'z'),
    ]) {
      isElsewhere(touch, undefined);
    }
    bed.set('\0c', '1');
    bed.settle();
    assert.deepEqual(await bed.keys('', 'z'), [['\0c', 'f'], undefined]);
    assert.deepEqual(await bed.keys('', 'z', 1), [['\0c'], '\0h']);
    assert.deepEqual(await bed.keys('\0g', 'z'), [['f'], undefined]);
    assert.deepEqual(await bed.keys('\0g', '\0gz'), [[], undefined]);
    assert.equal(await bed.answer(bed.executor.countKeys(0)), 1);
  });

  test('tells a listener of every key that it touches', () => {
    const heard: string[] = [];
    const bed = new LoneGroup({}, new MemoryStore(), {
      onAccess: (key, isWrite, size) => heard.push(`${isWrite ? 'w' : 'r'} ${key.toString()} ${size}`),
    });
    bed.set('k', 'value');
    bed.get('k');
    bed.get('none');
    bed.delete('k');
    assert.deepEqual(heard, ['w k 5', 'r k 5', 'r none 0', 'r k 5', 'w k 0']);
  });

  test('takes a new timestamp when the range came with later ones', async () => {
    const bed = new SpanGroup({ owned: ['a', 'f'] });
    await bed.done(incoming);
    const floor = hlcTimestamp(timestampOfMs(bed.clock.nowMs() + 400) + 7n);
    // Opened before the range arrives.
    bed.set('b', '1');
    const active = bed.executor.spans.command(activate(floor));
    const early = bed.run((view) => {
      view.put(bytes('c'), bytes('1'), NEVER);
      return view.ts;
    });
    await bed.answer(active);
    assert.ok(early.reply! > floor, 'what follows the activation in the log follows it in time');
    const set = bed.run((view) => {
      view.put(bytes('f'), bytes('1'), NEVER);
      return view.ts;
    });
    bed.settle();
    assert.ok(set.reply! > floor);
    assert.equal(bed.executor.stats().conflicts, 0);
  });

  test('is evaluated again, at a new timestamp, when an older one is refused at apply', () => {
    const bed = new SpanGroup({ owned: ['a', 'f'] });
    const ts = (ahead: number): HlcTimestamp => timestampOfMs(bed.clock.nowMs() + ahead);
    // A range that an earlier leader activated, with a floor that this clock has not seen.
    bed.raft.apply(encodeSpan(ts(0), { kind: 'incoming', job: 1, attempt: 1, start: bytes('f'), end: bytes('m') }));
    bed.raft.apply(encodeSpan(ts(1), { kind: 'activate', job: 1, floor: ts(300), epoch: 2 }));
    const [low, high] = [bed.set('b', '1'), bed.set('f', '1')];
    const cleared = bed.clear('g', 'h');
    bed.settle();
    assert.equal(low.reply, 'OK');
    assert.equal(high.reply, 'OK');
    assert.equal(cleared.error, undefined);
    assert.ok(bed.store.latest(bytes('f'))!.commitTs > ts(300));
  });

  test('is refused in the end when a key that it writes was lost on the way to the log', async () => {
    const bed = new SpanGroup();
    await bed.done(captureOn);
    const set = bed.set('f', '1');
    bed.scheduler.endTurn();
    const batch = bed.raft.proposals.shift()!;
    bed.raft.apply(encodeSpan(bed.hlc.next(), { kind: 'fence', job: 1, attempt: 1 }));
    bed.raft.proposals.push(batch);
    bed.raft.commit();
    isBusy(set);
    assert.equal(set.evaluations, 2);
  });
});

describe('a range that is handed over', () => {
  test('takes no writes from the moment when the fence is proposed, and reads all the time', async () => {
    const bed = new SpanGroup();
    bed.set('f', '1');
    await bed.done(captureOn);
    const fencing = bed.executor.spans.command(fence);
    isBusy(bed.set('f', '2'));
    isBusy(bed.incr('f'));
    isBusy(bed.delete('f'));
    isBusy(bed.clear('a', 'g'));
    const beside = [bed.set('e', '1'), bed.clear('m', 'n')];
    assert.equal(bed.get('f').reply, '1');
    await bed.answer(fencing);
    assert.ok(beside.every((one) => one.error === undefined));
    isBusy(bed.set('f', '2'));
    isBusy(bed.clear('a', 'g'));
    assert.equal(bed.get('f').reply, '1');
    await bed.done(unfence);
    const set = bed.set('f', '2');
    bed.settle();
    assert.equal(set.reply, 'OK');
  });

  test('is no ground for a write elsewhere while it is fenced, because nobody here may vouch for it', async () => {
    const bed = new SpanGroup();
    bed.set('f', '1');
    await bed.done(captureOn, fence);
    const copy = bed.run((view) => {
      const value = view.get(bytes('f'))!.value;
      view.put(bytes('b'), value, NEVER);
    });
    isBusy(copy);
    assert.equal(copy.evaluations, 1);
  });

  test('still takes the writes that were proposed before the fence', async () => {
    const bed = new SpanGroup();
    await bed.done(captureOn);
    const before = bed.set('f', '1');
    await bed.done(fence);
    assert.equal(before.reply, 'OK');
    assert.deepEqual((await bed.captured())[0], ['f=1']);
  });

  test('is read no more from the moment when the release is proposed, and its timestamp is above every read', async () => {
    const bed = new SpanGroup();
    bed.set('f', '1');
    await bed.done(captureOn, fence);
    const read = bed.run((view) => (view.get(bytes('f')) === undefined ? undefined : view.ts));
    const releasing = bed.executor.spans.command(release);
    isBusy(bed.get('f'));
    await assert.rejects(bed.executor.scan({ start: bytes('f'), end: bytes('g'), limit: 1 }), RangeBusyError);
    const { outcome } = await bed.answer(releasing);
    assert.ok(outcome.kind === 'done' && outcome.span !== undefined && outcome.span.minWriteTs > read.reply!);
    isElsewhere(bed.get('f'), 9);
    isElsewhere(bed.set('f', '1'), 9);
    assert.equal(bed.get('e').reply, undefined);
  });

  test('is released once: a repetition by a later leader answers the first timestamp', async () => {
    const bed = new SpanGroup();
    await bed.done(captureOn, fence);
    const first = await bed.done(release);
    bed.raft.stepDown();
    bed.clock.advance(1000);
    bed.raft.leaderId = nodeId(1);
    bed.raft.lead();
    const second = await bed.done(release);
    assert.ok(first.outcome.kind === 'done' && second.outcome.kind === 'done');
    assert.equal(second.outcome.span!.minWriteTs, first.outcome.span!.minWriteTs);
    assert.ok(first.outcome.isChanged && !second.outcome.isChanged);
  });

  test('opens again when the command was certainly not proposed, or refused', async () => {
    const bed = new SpanGroup();
    await bed.done(captureOn);
    const lost = bed.executor.spans.command(fence);
    isBusy(bed.set('f', '1'));
    bed.raft.drop('notProposed');
    await assert.rejects(lost, NotLeaderError);
    const set = bed.set('f', '2');
    bed.settle();
    assert.equal(set.reply, 'OK');
    const early = await bed.command(release);
    assert.deepEqual(early.outcome, { kind: 'refused', reason: 'NOT_FENCED' });
    assert.equal(bed.get('f').reply, '2');
  });

  test('does not open because a repetition of the command was not proposed', async () => {
    const bed = new SpanGroup();
    await bed.done(captureOn);
    const first = bed.executor.spans.command(fence);
    const second = bed.executor.spans.command(fence);
    bed.raft.proposals.unshift(bed.raft.proposals.pop()!);
    bed.raft.drop('notProposed');
    await assert.rejects(second, NotLeaderError);
    isBusy(bed.set('f', '1'));
    assert.equal((await bed.answer(first)).outcome.kind, 'done');
  });

  test('stays shut after an unknown outcome, until a command of the job says more', async () => {
    const bed = new SpanGroup();
    await bed.done(captureOn);
    const lost = bed.executor.spans.command(fence);
    bed.raft.drop('unknown');
    await assert.rejects(lost, OutcomeUnknownError);
    isBusy(bed.set('f', '1'));
    await bed.done({ ...captureOn, job: 2, ...range('p', 'q') });
    isBusy(bed.set('f', '1'));
    await bed.done(captureOn);
    const set = bed.set('f', '2');
    bed.settle();
    assert.equal(set.reply, 'OK');
  });

  test('is what the next leader of the group finds in its state', async () => {
    const bed = new SpanGroup();
    await bed.done(captureOn);
    const fencing = bed.executor.spans.command(fence);
    const payload = bed.raft.proposals[0]!.payload;
    bed.raft.stepDown();
    await assert.rejects(fencing, OutcomeUnknownError);
    bed.raft.leaderId = nodeId(1);
    bed.raft.lead();
    const set = bed.set('f', '1');
    bed.settle();
    assert.equal(set.reply, 'OK', 'it never came');
    bed.raft.stepDown();
    bed.raft.apply(payload);
    bed.raft.leaderId = nodeId(1);
    bed.raft.lead();
    isBusy(bed.set('f', '2'));
  });

  test('waits on its new side until it is active', async () => {
    const bed = new SpanGroup({ owned: ['a', 'f'] });
    isElsewhere(bed.get('f'), undefined);
    await bed.done(incoming);
    isBusy(bed.get('f'));
    isBusy(bed.set('f', '1'));
    const active = bed.executor.spans.command(activate(bed.hlc.next()));
    isBusy(bed.get('f'));
    await bed.answer(active);
    assert.equal(bed.get('f').reply, undefined);
  });
});

describe('a scan', () => {
  test('ends where the own keys end, and says where somebody else goes on', async () => {
    const bed = new SpanGroup();
    for (const key of ['b', 'g', 'n', 'y']) bed.set(key, '1');
    assert.deepEqual(await bed.keys('a', '~'), [['b', 'g', 'n', 'y'], 'z']);
    assert.deepEqual(await bed.keys('a', 'z'), [['b', 'g', 'n', 'y'], undefined]);
    assert.deepEqual(await bed.keys('a', '~', 2), [['b', 'g'], 'n']);
    await bed.done(captureOn, fence);
    assert.deepEqual(await bed.keys('a', 'z'), [['b', 'g', 'n', 'y'], undefined]);
    const releasing = bed.executor.spans.command(release);
    const early = bed.executor.scan({ start: bytes('a'), end: bytes('z'), limit: 9 });
    await bed.answer(releasing);
    assert.equal((await bed.answer(early)).next?.toString(), 'f');
    assert.deepEqual(await bed.keys('a', 'z'), [['b'], 'f']);
    assert.deepEqual(await bed.keys('m', 'z'), [['n', 'y'], undefined]);
    await assert.rejects(bed.scan('f', 'z'), (error) => error instanceof NotOwnerError && error.hint === 9);
    await assert.rejects(bed.scan('A', 'z'), NotOwnerError);
  });

  test('is refused when what it read was taken away meanwhile', async () => {
    const bed = new SpanGroup();
    bed.set('g', '1');
    await bed.done(captureOn, fence);
    const { scan } = bed.memory;
    const { promise, resolve } = Promise.withResolvers<void>();
    bed.memory.scan = async (request) => {
      await promise;
      return scan.call(bed.memory, request);
    };
    const page = bed.executor.scan({ start: bytes('a'), end: bytes('z'), limit: 9 });
    await bed.done(release, { kind: 'purge', job: 1 });
    resolve();
    await assert.rejects(bed.answer(page), NotOwnerError);
  });
});

describe('counting', () => {
  test('leaves out what a move is bringing in or has taken away', async () => {
    const bed = new SpanGroup();
    for (const key of ['b', 'g', 'h']) bed.set(key, '1');
    await bed.done(captureOn, fence);
    const count = (of: SpanGroup): Promise<number> => bed.answer(of.executor.countKeys(0));
    assert.equal(await count(bed), 3);
    await bed.done(release);
    assert.equal(await count(bed), 1);
    await bed.done({ kind: 'purge', job: 1 });
    assert.equal(await count(bed), 1);
    const other = new SpanGroup({ owned: ['p', 'z'] });
    await other.done(incoming);
    const commitTs = other.hlc.next();
    const versions = ['f', 'g'].map((key) => ({ key: bytes(key), commitTs, expireTs: NEVER, value: bytes('1') }));
    await other.answer(other.executor.spans.import({ job: 1, attempt: 1, seq: 1, bookmark: bytes(''), versions }));
    assert.equal(await count(other), 0);
    await other.done(activate(other.hlc.next(), 1));
    assert.equal(await count(other), 2);
  });

  test('waits for what is still being dropped, and looks again when a move changes something meanwhile', async () => {
    const bed = new SpanGroup();
    for (const key of ['b', 'g']) bed.set(key, '1');
    await bed.done(captureOn, fence, release);
    const { countRange } = bed.memory;
    let looks = 0;
    bed.memory.countRange = async (...question) => {
      const count = await countRange.call(bed.memory, ...question);
      if (++looks === 1) await bed.done({ kind: 'purge', job: 1 });
      return count;
    };
    assert.equal(await bed.answer(bed.executor.countKeys(0)), 1);
    bed.memory.holdDrops = true;
    await bed.done({ ...incoming, job: 2 }, { kind: 'drop', job: 2 });
    const count = bed.executor.countKeys(0);
    let isDone = false;
    void count.then(() => {
      isDone = true;
    });
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    assert.ok(!isDone);
    bed.memory.carryOutDrops();
    assert.equal(await count, 1);
  });
});

describe('the questions of a move', () => {
  test('are answered by a leader only', async () => {
    const bed = new SpanGroup();
    bed.raft.stepDown();
    const { spans } = bed.executor;
    const empty = { job: 1, attempt: 1, seq: 1, bookmark: bytes(''), versions: [] };
    for (const question of [
      spans.command(fence),
      spans.job(1),
      spans.backfill({ job: 1, start: bytes('f'), after: undefined, maxBytes: 1 }),
      spans.captured(1, START, 1),
      spans.import(empty),
    ]) {
      await assert.rejects(question, NotLeaderError);
    }
  });

  test('wait for room as imports, and pass everybody who waits as commands', async () => {
    const bed = new SpanGroup({ maxInflightEntries: 1 });
    bed.set('a', '1');
    bed.scheduler.endTurn();
    const waiting = bed.set('b', '1');
    const imported = { job: 1, attempt: 1, seq: 1, bookmark: bytes(''), versions: [] };
    await assert.rejects(bed.executor.spans.import(imported), BusyError);
    const captured = bed.executor.spans.command(captureOn);
    assert.equal(waiting.evaluations, 0);
    assert.equal((await bed.answer(captured)).outcome.kind, 'done');
    assert.equal(waiting.reply, 'OK');
  });

  test('wait for confirmation that this node leads', async () => {
    const bed = new SpanGroup();
    await bed.done(captureOn);
    bed.raft.hasLease = false;
    const job = bed.executor.spans.job(1);
    let isDone = false;
    void job.then(() => {
      isDone = true;
    });
    bed.settle();
    for (let turn = 0; turn < 8; turn++) await Promise.resolve();
    assert.ok(!isDone);
    bed.raft.barriers.shift()!.resolve();
    assert.equal((await job).span?.job, 1);
  });

  test('about a job are answered with its span, its imports and its end', async () => {
    const bed = new SpanGroup({ owned: ['a', 'f'] });
    const job = () => bed.answer(bed.executor.spans.job(1));
    const { nowTs, reachTs, ...unknown } = await job();
    assert.deepEqual(unknown, { span: undefined, end: undefined, imports: undefined, gcThreshold: 0n });
    assert.equal(physicalMs(reachTs) - physicalMs(nowTs), bed.executor.clock.maxLeadMs);
    await bed.done(incoming);
    const imported = { job: 1, attempt: 1, seq: 1, bookmark: bytes('here'), versions: [] };
    await bed.answer(bed.executor.spans.import(imported));
    const state = await job();
    assert.equal(state.span?.state, 'INCOMING');
    assert.deepEqual(state.imports, { attempt: 1, seq: 1, bookmark: bytes('here') });
    await bed.done(activate(bed.hlc.next(), 1));
    assert.equal((await job()).end, 'activated');
  });

  test('for histories are refused where nothing is captured, flush first, and stay inside the range', async () => {
    const bed = new SpanGroup();
    const ask = (start: string, after?: HlcTimestamp, maxBytes = 1e6) =>
      bed.answer(bed.executor.spans.backfill({ job: 1, start: bytes(start), after, maxBytes }));
    for (const key of ['e', 'f', 'g', 'm']) bed.set(key, '1');
    bed.settle();
    await assert.rejects(ask('f'), NotOwnerError);
    await bed.done(captureOn);
    const applied = bed.stateMachine.applied().index;
    assert.notEqual(bed.memory.durableIndex, applied);
    const all = await ask('a', hlcTimestamp(5n));
    assert.equal(bed.memory.durableIndex, applied);
    assert.deepEqual(all.versions.map(show), ['f=1', 'g=1']);
    assert.equal(all.next, undefined);
    const first = await ask('f', undefined, 1);
    assert.deepEqual(first.versions.map(show), ['f=1']);
    const rest = await ask(first.next!.start.toString(), first.next!.after, 1);
    assert.deepEqual(rest.versions.map(show), ['g=1']);
    await bed.done(fence, release);
    await assert.rejects(ask('f'), (error) => error instanceof NotOwnerError && error.hint === 9);
  });

  test('for the capture log are answered in pages that go on where the last one ended', async () => {
    const bed = new SpanGroup();
    await bed.done(captureOn);
    assert.deepEqual(await bed.captured(), [[], START, true]);
    bed.set('f', '1');
    bed.set('g', '22', 5000);
    bed.delete('f');
    bed.settle();
    bed.set('h', '3');
    bed.settle();
    const seen: string[] = [];
    let pages = 0;
    for (let point = START, isEnd = false; !isEnd; pages++) {
      const page = await bed.captured(point, 1);
      seen.push(...page[0]);
      [, point, isEnd] = page;
    }
    assert.deepEqual(seen, ['f=-', 'g=22', 'h=3']);
    assert.equal(pages, 3);
    const [versions, next, isEnd] = await bed.captured();
    assert.deepEqual(versions, seen);
    assert.ok(isEnd);
    assert.deepEqual(await bed.captured(next), [[], next, true]);
    bed.set('i', '4');
    assert.deepEqual((await bed.captured(next))[0], ['i=4'], 'what is in flight at the call is in it');
  });

  test('begin a capture above what the destination cannot tell apart, on whatever clock', async () => {
    const bed = new SpanGroup();
    const above = timestampOfMs(bed.clock.nowMs() + 20_000);
    const read = bed.get('f');
    await bed.done({ ...captureOn, above });
    bed.set('f', '1');
    bed.settle();
    assert.equal(read.error, undefined);
    assert.ok(bed.store.latest(bytes('f'))!.commitTs > above);
    assert.ok(bed.stateMachine.maxTs > above, 'a later leader knows');
  });

  test('take a range delete apart into deletes of the keys that it hid, in as many pages as it needs', async () => {
    const bed = new SpanGroup();
    const names = Array.from({ length: 700 }, (_, at) => `g${String(at).padStart(3, '0')}`);
    bed.set('e', '1');
    bed.set('fgone', '1');
    bed.settle();
    bed.delete('fgone');
    for (const name of names) bed.set(name, '1');
    bed.settle();
    await bed.done(captureOn);
    bed.set('first', '1');
    bed.settle();
    bed.clear('a', 'l');
    bed.set('g001', '2');
    bed.settle();
    bed.clear('b', 'c');
    bed.set('last', '1');
    bed.settle();
    const seen: string[] = [];
    let pages = 0;
    for (let point = START, isEnd = false; !isEnd; pages++) {
      const page = await bed.captured(point, 250);
      seen.push(...page[0]);
      [, point, isEnd] = page;
    }
    const deleted = ['first', ...names].map((name) => `${name}=-`);
    assert.deepEqual(seen, ['first=1', ...deleted, 'g001=2', 'last=1']);
    assert.equal(pages, 4, 'steps of 256 keys, whatever the page may hold');
    assert.deepEqual((await bed.captured())[0], seen);
  });
});

describe('the periodic work', () => {
  test('purges what is expired in the own ranges and leaves the rest to their next owner', async () => {
    const bed = new SpanGroup();
    const maintenance = new Maintenance(
      [{ executor: bed.executor, store: bed.store }],
      bed.scheduler,
      { purgeBatchKeys: 2 },
      (error) => assert.fail(String(error)),
    );
    maintenance.start();
    for (const key of ['f', 'g', 'n']) bed.set(key, '1', 100);
    await bed.done(captureOn, fence);
    const entries = bed.raft.log.length;
    for (let passed = 0; passed < 3000; passed += 50) {
      bed.scheduler.advance(50);
      await bed.answer(Promise.resolve());
    }
    assert.ok(bed.raft.log.length <= entries + 2, 'it does not try for ever');
    assert.equal(bed.store.latest(bytes('f'))?.isTombstone, false);
    await bed.done(unfence);
    for (let passed = 0; passed < 3000; passed += 50) {
      bed.scheduler.advance(50);
      await bed.answer(Promise.resolve());
    }
    assert.deepEqual(
      ['f', 'g', 'n'].map((key) => bed.store.latest(bytes(key))?.isTombstone),
      [true, true, true],
    );
    await maintenance.stop();
  });

  test('does not move the threshold while a move needs history', async () => {
    const bed = new SpanGroup();
    await bed.done(captureOn);
    await bed.answer(bed.executor.proposeMaintenance(() => encodeSetGc(timestampOfMs(bed.clock.nowMs()))));
    assert.equal(bed.store.gcThreshold, 0n);
  });
});
