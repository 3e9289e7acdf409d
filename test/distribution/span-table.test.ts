import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { CatalogCorruptError } from '../../src/distribution/contract/errors.ts';
import {
  decodeSpanCommand,
  decodeSpanTable,
  encodeSpanCommand,
  encodeSpanTable,
} from '../../src/distribution/ownership/span-codec.ts';
import { SpanTable } from '../../src/distribution/ownership/span-table.ts';
import { applySpanCommand } from '../../src/distribution/ownership/span-transitions.ts';
import type { SpanCommand, SpanRefusal } from '../../src/distribution/ownership/span-types.ts';
import { hlcTimestamp, SeededRandom } from '../../src/platform/index.ts';
import { bytes, group } from './builders.ts';
import { MoveSimulation } from './move-simulation.ts';

const seeds = (): fc.Arbitrary<number> => fc.integer({ min: 0, max: 0xffff_ffff });
const range = (start: string, end: string) => ({ start: bytes(start), end: end === '' ? undefined : bytes(end) });

/** A table that commands are applied to one by one. */
class Group {
  table = SpanTable.empty;

  static owning(start: string, end: string): Group {
    const owner = new Group();
    owner.does({ kind: 'assign', ...range(start, end), epoch: 1 });
    return owner;
  }

  does(command: SpanCommand): boolean {
    const { table, outcome } = applySpanCommand(this.table, command);
    assert.equal(outcome.kind === 'refused' ? outcome.reason : 'DONE', 'DONE', command.kind);
    this.table = table;
    return outcome.kind === 'done' && outcome.isChanged;
  }

  refuses(command: SpanCommand, reason: SpanRefusal): void {
    const { table, outcome } = applySpanCommand(this.table, command);
    assert.deepEqual(outcome, { kind: 'refused', reason });
    assert.equal(table, this.table);
  }

  says(key: string): string {
    return `${this.table.check(bytes(key), 'read').kind}/${this.table.check(bytes(key), 'write').kind}`;
  }
}

const captureOn = (job: number, start: string, end: string): SpanCommand => ({
  kind: 'captureOn',
  job,
  ...range(start, end),
});
const incoming = (job: number, start: string, end: string, attempt = 1): SpanCommand => ({
  kind: 'incoming',
  job,
  attempt,
  ...range(start, end),
});
const fence = (job: number, attempt = 1): SpanCommand => ({ kind: 'fence', job, attempt });
const unfence = (job: number, attempt = 1): SpanCommand => ({ kind: 'unfence', job, attempt });
const release = (job: number, attempt = 1, fenceTs = 50n): SpanCommand => ({
  kind: 'release',
  job,
  attempt,
  dst: group(2),
  fenceTs: hlcTimestamp(fenceTs),
});
const activate = (job: number, epoch = 2): SpanCommand => ({ kind: 'activate', job, floor: hlcTimestamp(50n), epoch });
const simple = (kind: 'captureOff' | 'drop' | 'purge' | 'forget', job: number): SpanCommand => ({ kind, job });

describe('a span table', () => {
  test('answers reads and writes by the state of the span that holds the key', () => {
    const source = Group.owning('b', 'y');
    source.does(captureOn(1, 'f', 'm'));
    assert.equal(source.says('g'), 'owned/owned');
    source.does(fence(1));
    assert.equal(source.says('g'), 'owned/fenced');
    source.does(release(1));
    assert.equal(source.says('g'), 'notOwner/notOwner');
    assert.deepEqual(source.table.check(bytes('g'), 'read'), { kind: 'notOwner', hint: 2, epoch: 2 });
    assert.deepEqual(source.table.check(bytes('a'), 'read'), { kind: 'notOwner', hint: undefined, epoch: 0 });
    for (const key of ['b', 'e', 'm', 'x']) assert.equal(source.says(key), 'owned/owned');
    for (const key of ['a', 'y', 'z', '']) assert.equal(source.says(key), 'notOwner/notOwner');
    const target = new Group();
    target.does(incoming(1, 'f', 'm'));
    assert.equal(target.says('g'), 'incoming/incoming');
    target.does(activate(1));
    assert.equal(target.says('g'), 'owned/owned');
    assert.deepEqual(source.table.successors(), [2]);
  });

  test('serves a scan up to the first key that is not its own', () => {
    const source = Group.owning('', '');
    source.does(captureOn(1, 'f', 'm'));
    const whole = source.table.intersect(bytes('a'), undefined, 'read');
    assert.deepEqual(whole, { ownedEnd: undefined, rest: undefined });
    source.does(fence(1));
    assert.equal(source.table.intersect(bytes('a'), bytes('z'), 'read').rest, undefined);
    const write = source.table.intersect(bytes('a'), bytes('z'), 'write');
    assert.deepEqual([write.ownedEnd, write.rest?.verdict.kind], [bytes('f'), 'fenced']);
    source.does(release(1));
    const cut = source.table.intersect(bytes('a'), bytes('z'), 'read');
    assert.deepEqual(cut.ownedEnd, bytes('f'));
    assert.deepEqual(cut.rest, {
      start: bytes('f'),
      end: bytes('z'),
      verdict: { kind: 'notOwner', hint: 2, epoch: 2 },
    });
    assert.equal(source.table.intersect(bytes('a'), bytes('f'), 'read').rest, undefined);
    assert.deepEqual(source.table.intersect(bytes('g'), bytes('h'), 'read').ownedEnd, bytes('g'));
  });

  test('agrees with a search from the front for random spans and keys', () => {
    fc.assert(
      fc.property(seeds(), (seed) => {
        const random = new SeededRandom(seed);
        const simulation = new MoveSimulation(random);
        for (let step = 0; step < 60; step++) simulation.step();
        for (const table of simulation.tables.values()) {
          for (let probe = 0; probe < 50; probe++) {
            const key = random.bytes(random.int(3));
            const holder = table.spans.find(
              (span) =>
                Buffer.compare(span.start, key) <= 0 && (span.end === undefined || Buffer.compare(key, span.end) < 0),
            );
            const verdict = table.check(key, 'write');
            assert.equal(
              'span' in verdict ? verdict.span : undefined,
              holder?.state === 'MOVED_OUT' ? undefined : holder,
            );
            const scan = table.intersect(key, undefined, 'read');
            if (scan.rest !== undefined) {
              assert.notEqual(table.check(scan.rest.start, 'read').kind, 'owned');
              assert.deepEqual(scan.rest.verdict, table.check(scan.rest.start, 'read'));
            }
          }
        }
      }),
      { numRuns: 20 },
    );
  });

  test('takes every command twice and changes once', () => {
    const source = Group.owning('', '');
    const target = new Group();
    const twice = (owner: Group, command: SpanCommand): void => {
      assert.ok(owner.does(command));
      assert.ok(!owner.does(command));
    };
    twice(target, incoming(1, 'f', 'm'));
    twice(source, captureOn(1, 'f', 'm'));
    twice(source, fence(1));
    twice(source, unfence(1));
    twice(source, fence(1, 2));
    twice(source, release(1, 2));
    twice(target, activate(1));
    twice(source, simple('purge', 1));
    twice(source, simple('forget', 1));
    twice(source, captureOn(2, 'n', 'p'));
    twice(source, simple('captureOff', 2));
    twice(target, incoming(3, 'n', 'p'));
    twice(target, simple('drop', 3));
  });

  test('gives the first release again to whoever repeats it with another timestamp', () => {
    const source = Group.owning('', '');
    source.does(captureOn(1, 'f', 'm'));
    source.does(fence(1));
    source.does(release(1, 1, 50n));
    source.does(release(1, 1, 70n));
    assert.equal(source.table.spanOf(1)?.minWriteTs, 50n);
  });

  test('never fences or releases for an attempt that was given up', () => {
    const source = Group.owning('', '');
    source.does(captureOn(1, 'f', 'm'));
    source.refuses(release(1), 'NOT_FENCED');
    source.does(fence(1, 1));
    source.does(unfence(1, 1));
    source.refuses(fence(1, 1), 'STALE_ATTEMPT');
    source.refuses(release(1, 1), 'NOT_FENCED');
    source.does(fence(1, 2));
    assert.ok(!source.does(unfence(1, 1)));
    source.refuses(release(1, 1), 'STALE_ATTEMPT');
    source.does(release(1, 2));
  });

  test('undoes nothing after the release or the activation', () => {
    const source = Group.owning('', '');
    source.does(captureOn(1, 'f', 'm'));
    source.does(fence(1));
    source.refuses(simple('captureOff', 1), 'FENCED');
    source.does(release(1));
    source.refuses(unfence(1), 'RELEASED');
    source.refuses(simple('captureOff', 1), 'RELEASED');
    source.refuses(fence(1, 2), 'RELEASED');
    source.refuses(simple('forget', 1), 'NOT_PURGED');
    const target = new Group();
    target.refuses(activate(1), 'UNKNOWN_JOB');
    target.does(incoming(1, 'f', 'm'));
    target.does(activate(1));
    target.refuses(simple('drop', 1), 'ACTIVATED');
    target.refuses(incoming(1, 'f', 'm'), 'JOB_CLOSED');
    target.refuses(incoming(2, 'g', 'h'), 'OWNED');
  });

  test('shuts the door behind an aborted job, also one that never began here', () => {
    const source = Group.owning('', '');
    source.does(simple('captureOff', 1));
    source.refuses(captureOn(1, 'f', 'm'), 'JOB_CLOSED');
    const target = new Group();
    target.does(simple('drop', 1));
    target.refuses(incoming(1, 'f', 'm'), 'JOB_CLOSED');
    target.refuses(activate(1), 'JOB_CLOSED');
    source.refuses(fence(1), 'JOB_CLOSED');
    source.refuses(fence(9), 'UNKNOWN_JOB');
  });

  test('remembers a bounded number of finished jobs and shuts out all below them', () => {
    const owner = new Group();
    for (let job = 1; job <= 1100; job++) owner.does(simple('drop', job));
    assert.equal(owner.table.closed.ends.length, 1024);
    owner.refuses(incoming(3, 'f', 'm'), 'JOB_CLOSED');
    owner.does(incoming(1101, 'f', 'm'));
    assert.deepEqual(decodeSpanTable(encodeSpanTable(owner.table)), owner.table);
  });

  test('captures only ranges of its own that no other job has', () => {
    const source = Group.owning('b', 'y');
    source.refuses(captureOn(1, 'a', 'c'), 'NOT_OWNED');
    source.refuses(captureOn(1, 'x', 'z'), 'NOT_OWNED');
    source.refuses(captureOn(1, 'x', 'x'), 'INVALID_RANGE');
    source.does(captureOn(1, 'f', 'm'));
    source.refuses(captureOn(2, 'l', 'n'), 'BUSY');
    assert.equal(source.table.capturingJob(bytes('g')), 1);
    assert.equal(source.table.capturingJob(bytes('m')), 0);
    assert.equal(source.table.capturingJob(bytes('z')), 0);
  });

  test('takes a range back only after its own data of it is purged, and leaves the rest of the forwarding pointer', () => {
    const source = Group.owning('', '');
    source.does(captureOn(1, 'f', 'm'));
    source.does(fence(1));
    source.does(release(1));
    source.refuses(incoming(2, 'g', 'h'), 'BUSY');
    source.does(simple('purge', 1));
    source.does(incoming(2, 'g', 'h'));
    assert.equal(source.says('g'), 'incoming/incoming');
    assert.deepEqual(source.table.check(bytes('l'), 'read'), { kind: 'notOwner', hint: 2, epoch: 2 });
    source.does(activate(2, 3));
    source.does(simple('forget', 1));
    assert.deepEqual(source.table.check(bytes('l'), 'read'), { kind: 'notOwner', hint: undefined, epoch: 0 });
    assert.equal(source.says('g'), 'owned/owned');
  });

  test('never gets a floor below the one that it has', () => {
    const owner = new Group();
    owner.does(incoming(1, 'f', 'm'));
    owner.refuses(activate(1, 0), 'BAD_FLOOR');
    owner.does(activate(1));
    owner.does(captureOn(2, 'f', 'm'));
    owner.does(fence(2));
    owner.refuses(release(2, 1, 49n), 'BAD_FLOOR');
    owner.does(release(2, 1, 50n));
  });

  test('joins what an aborted move cut apart', () => {
    const source = Group.owning('', '');
    source.does(captureOn(1, 'f', 'm'));
    assert.equal(source.table.spans.length, 3);
    source.does(simple('captureOff', 1));
    assert.equal(source.table.spans.length, 1);
  });
});

describe('moves of random ranges between groups', () => {
  test('leave every key with at most one owner at every moment, and with exactly one at the end', () => {
    let moved = 0;
    let aborted = 0;
    fc.assert(
      fc.property(seeds(), (seed) => {
        const simulation = new MoveSimulation(new SeededRandom(seed));
        for (let step = 0; step < 400; step++) simulation.step();
        simulation.settle();
        const { finished, routes } = simulation.catalog.state;
        moved += finished.filter((row) => row.job.phase === 'DONE').length;
        aborted += finished.filter((row) => row.job.phase === 'ABORTED').length;
        for (const key of [...simulation.interestingKeys(), ...[...routes.all()].map((route) => route.start)]) {
          assert.deepEqual(simulation.ownersOf(key), [routes.groupOf(key)], `owner of '${key.toString('latin1')}'`);
        }
        for (const route of routes.all()) {
          const verdict = simulation.tables.get(route.groupId)!.check(route.start, 'write');
          assert.equal(verdict.kind, 'owned');
        }
      }),
      { numRuns: 60 },
    );
    assert.ok(moved > 100 && aborted > 100, `${moved} moves, ${aborted} aborts`);
  });
});

describe('the bytes of spans', () => {
  test('come back as they were', () => {
    fc.assert(
      fc.property(seeds(), (seed) => {
        const simulation = new MoveSimulation(new SeededRandom(seed));
        for (let step = 0; step < 120; step++) simulation.step();
        for (const table of simulation.tables.values()) {
          const encoded = encodeSpanTable(table);
          assert.deepEqual(decodeSpanTable(encoded), table);
          assert.throws(() => decodeSpanTable(encoded.subarray(0, encoded.length - 1)), CatalogCorruptError);
          assert.throws(() => decodeSpanTable(Buffer.concat([encoded, Buffer.of(0)])), CatalogCorruptError);
        }
      }),
      { numRuns: 20 },
    );
    const commands = [
      { kind: 'assign', ...range('a', ''), epoch: 3 } as const,
      incoming(1, 'a', 'b'),
      captureOn(2, 'a', ''),
      fence(3),
      unfence(4),
      release(5),
      activate(6),
      ...(['captureOff', 'drop', 'purge', 'forget'] as const).map((kind) => simple(kind, 7)),
    ];
    for (const command of commands) {
      const encoded = encodeSpanCommand(command);
      assert.deepEqual(decodeSpanCommand(encoded), command);
      assert.throws(() => decodeSpanCommand(Buffer.concat([encoded, Buffer.of(0)])), CatalogCorruptError);
    }
    assert.throws(() => decodeSpanCommand(Buffer.of(1, 99)), CatalogCorruptError);
    assert.throws(() => decodeSpanCommand(Buffer.of(2, 0)), CatalogCorruptError);
  });
});
