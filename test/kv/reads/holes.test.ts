/**
 * Scans over groups whose ranges move at any moment, behind a directory that is behind: whatever comes, every key is met once,
 * in order, and no page leaves anything out.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { KvCluster } from '../../../src/kv/client/cluster.ts';
import { decodeMessage, encodePage } from '../../../src/kv/client/codec.ts';
import { NotOwnerError, RangeBusyError } from '../../../src/kv/contract/errors.ts';
import type { ReadAtRequest } from '../../../src/kv/contract/reads.ts';
import type { KeyStretch, KvService } from '../../../src/kv/contract/service.ts';
import type { ScanPage, ScanRequest } from '../../../src/kv/contract/view.ts';
import { GroupRouter } from '../../../src/kv/forward/group-router.ts';
import { SnapshotReader } from '../../../src/kv/reads/snapshot.ts';
import { ElapsedClock, type GroupId, groupId, type Scheduler, SeededRandom } from '../../../src/platform/index.ts';
import { ManualClock } from '../../support/manual-time.ts';
import { ts } from '../span-machine.ts';

const PLACES = 24;
const GROUPS = 4;
/** `k` and a letter each, as the storage keys of these services begin. */
const keyOf = (place: number): Buffer => Buffer.from([0x6b, 0x61 + place]);
const placeOf = (key: Buffer): number => (key[0]! > 0x6b ? PLACES : key.length < 2 ? 0 : key[1]! - 0x61);
const START = keyOf(0);
const END = Buffer.from('l');

/** Who has each place; what the directory believes. */
class RestlessRange {
  private readonly truth: GroupId[];
  private belief: GroupId[];
  private readonly random: SeededRandom;
  private readonly restlessness: number;
  refusals = 0;

  constructor(seed: number, restlessness: number) {
    this.random = new SeededRandom(seed);
    this.restlessness = restlessness;
    this.truth = Array.from({ length: PLACES }, () => groupId(1 + this.random.int(GROUPS)));
    this.belief = [...this.truth];
  }

  private move(): void {
    const from = this.random.int(PLACES);
    const group = groupId(1 + this.random.int(GROUPS));
    for (let at = from; at < Math.min(PLACES, from + 1 + this.random.int(8)); at++) this.truth[at] = group;
  }

  private refuse(owner: GroupId | undefined): Error {
    this.refusals++;
    // The directory hears of it, sooner or later.
    if (this.random.next() < 0.4) this.belief = [...this.truth];
    if (this.random.next() < 0.2) return new RangeBusyError('it is being handed over');
    return new NotOwnerError(this.random.next() < 0.5 ? owner : undefined);
  }

  /** One page as a group answers it: for what it has, and no further. */
  serve(group: GroupId, { start, end, limit, reverse }: ScanRequest): ScanPage {
    if (this.random.next() < this.restlessness) this.move();
    const from = placeOf(start);
    const to = placeOf(end);
    let own = from;
    while (own < to && this.truth[own] === group) own++;
    if (own === from || (reverse === true && own < to)) throw this.refuse(this.truth[reverse === true ? own : from]);
    const places = Array.from({ length: own - from }, (_, at) => from + at);
    if (reverse === true) places.reverse();
    const rows = places
      .slice(0, limit)
      .map((place) => ({ key: keyOf(place), value: keyOf(place), commitTs: ts(1), expireTs: ts(0) }));
    const isCut = places.length > limit;
    const next = isCut
      ? reverse === true
        ? rows.at(-1)!.key
        : keyOf(places[limit]!)
      : own < to
        ? keyOf(own)
        : undefined;
    return { rows, next, readTs: ts(7) };
  }

  readonly kv = {
    groupOf: (key: Buffer) => this.belief[Math.min(PLACES - 1, placeOf(key))]!,
    stretchAt: (key: Buffer): KeyStretch => {
      const place = Math.min(PLACES - 1, placeOf(key));
      const group = this.belief[place]!;
      let end = place;
      while (end < PLACES && this.belief[end] === group) end++;
      return { group, end: end === PLACES ? undefined : keyOf(end) };
    },
    dataGroups: () => [...new Set(this.belief)],
    servesLocally: () => false,
    forward: (
      group: GroupId,
      _service: string,
      payload: Buffer,
      _deadlineMs: number,
      done: (error: Error | undefined, reply: Buffer | undefined) => void,
    ) => {
      const message = decodeMessage(payload);
      assert.ok(message.kind === 'page');
      try {
        done(undefined, encodePage(this.serve(group, message.page)));
      } catch (error) {
        done(error as Error, undefined);
      }
    },
  } as unknown as KvService;
}

/** Time does not pass: pauses are over at once. */
const scheduler: Scheduler = {
  after: (_delayMs, callback) => {
    queueMicrotask(callback);
    return () => undefined;
  },
  endOfTurn: (callback) => queueMicrotask(callback),
  nextTurn: (callback) => queueMicrotask(callback),
};

const partsOf = (world: RestlessRange, seed: number) => ({
  kv: world.kv,
  clock: new ManualClock(),
  scheduler,
  random: new SeededRandom(seed),
});

const ALL = Array.from({ length: PLACES }, (_, place) => keyOf(place).toString());

async function scanByPages(world: RestlessRange, seed: number, reverse: boolean, limit: number): Promise<string[]> {
  const cluster = new KvCluster(partsOf(world, seed));
  const keys: string[] = [];
  const options = { limit: limit * 3, reverse, keysOnly: false };
  let start: Buffer = START;
  let end: Buffer = END;
  const { signal } = new AbortController();
  // Several scans of some rows each, as a client goes on with one.
  while (Buffer.compare(start, end) < 0) {
    for await (const page of cluster.scan({ start, end }, options, Number.POSITIVE_INFINITY, signal)) {
      assert.deepEqual(
        reverse ? page.end : page.start,
        reverse ? end : start,
        'a page begins where the one before ended',
      );
      keys.push(...page.rows.map(({ key }) => key.toString()));
      if (reverse) end = page.start;
      else start = page.end;
    }
  }
  return keys;
}

async function scanBySnapshot(world: RestlessRange, seed: number, reverse: boolean, limit: number): Promise<string[]> {
  const parts = partsOf(world, seed);
  const snapshots = new SnapshotReader({
    reader: {
      readAt: async (request: ReadAtRequest) => {
        assert.ok('range' in request);
        const page = world.serve(request.group, request.range);
        return { values: [], page, servedTs: ts(7), stalenessMs: 0, token: '', isReplica: true };
      },
    },
    askLeader: async () => ({ servedTs: ts(6), ageMs: 0, values: [], page: undefined }),
    claims: { of: () => undefined },
    router: new GroupRouter(parts),
    kv: world.kv,
    oracleTs: async () => ts(7),
    clock: parts.clock,
    elapsed: new ElapsedClock(parts.clock),
    cluster: () => 1n,
  });
  const deadlineMs = Number.POSITIVE_INFINITY;
  const snapshot = await snapshots.begin({ consistency: { kind: 'linearizable' }, deadlineMs });
  const keys: string[] = [];
  let start: Buffer = START;
  let end: Buffer = END;
  for (;;) {
    const page = await snapshot.scan({ start, end, limit, reverse }, deadlineMs);
    keys.push(...page.rows.map(({ key }) => key.toString()));
    if (page.next === undefined) return keys;
    if (reverse) end = page.next;
    else start = page.next;
  }
}

describe('a scan over groups', () => {
  for (const [name, scan] of [
    ['page by page at leaders', scanByPages],
    ['as of one timestamp', scanBySnapshot],
  ] as const) {
    test(`meets every key once and in order, ${name}, however ranges move meanwhile`, async () => {
      let refusals = 0;
      await fc.assert(
        fc.asyncProperty(
          fc.integer({ min: 1, max: 1_000_000 }),
          fc.double({ min: 0, max: 0.8, noNaN: true }),
          fc.boolean(),
          fc.integer({ min: 1, max: 9 }),
          async (seed, restlessness, reverse, limit) => {
            const world = new RestlessRange(seed, restlessness);
            const keys = await scan(world, seed, reverse, limit);
            refusals += world.refusals;
            assert.deepEqual(keys, reverse ? [...ALL].reverse() : ALL);
          },
        ),
        { numRuns: 150 },
      );
      assert.ok(refusals > 20, `only ${refusals} refusals`);
    });
  }
});
