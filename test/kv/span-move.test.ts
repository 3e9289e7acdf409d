/**
 * A range on its way between two groups, there and back, while clients write, delete, flush and read, keys expire, garbage is
 * collected, leaders change and steps are repeated. What every client was told is kept in a model of all history; whoever
 * owns a key has to agree with it at every moment that can still be read.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { NotOwnerError, RangeBusyError } from '../../src/kv/contract/errors.ts';
import type {
  BackfillPage,
  BackfillRequest,
  CapturePoint,
  ImportState,
  SpanReply,
  SpanRequest,
} from '../../src/kv/contract/range-transfer.ts';
import { encodePurge, encodeSetGc } from '../../src/kv/entry/entry.ts';
import { isLocalKey } from '../../src/kv/entry/local-keys.ts';
import { groupId, hlcTimestamp, NEVER, nodeId, SeededRandom, timestampOfMs } from '../../src/platform/index.ts';
import { NotLeaderError } from '../../src/raftengine/errors.ts';
import type { GroupStore } from '../../src/store/contract/types.ts';
import { openGroupStore } from '../../src/store/group/open.ts';
import { SimulatedLevels } from '../../src/store/level/simulated-level.ts';
import { bytes, LoneGroup, type Outcome } from '../support/lone-group.ts';
import { MemoryStore } from '../support/memory-store.ts';

const KEYS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
/** What moves. */
const START = 'c';
const END = 'g';

interface Version {
  readonly ts: bigint;
  readonly value: string | undefined;
  readonly expireTs: bigint;
}

/** Every version of every key that a client was told of. */
class History {
  private readonly versions = new Map<string, Version[]>(KEYS.map((key) => [key, []]));
  readonly moments = new Set<bigint>();

  put(key: string, ts: bigint, value: string | undefined, expireTs = 0n): void {
    const list = this.versions.get(key)!;
    this.moments.add(ts);
    const last = list.at(-1);
    assert.ok(last === undefined || last.ts <= ts, `${key}: ${ts} is not above ${last?.ts}`);
    if (last?.ts === ts) list.pop();
    list.push({ ts, value, expireTs });
  }

  deleteRange(from: string, to: string, ts: bigint): void {
    for (const key of KEYS) {
      if (key < from || key >= to) continue;
      const isOwn = this.versions.get(key)!.at(-1)?.ts === ts;
      if (isOwn) this.versions.get(key)!.pop();
      this.put(key, ts - 1n, undefined);
      if (isOwn) this.put(key, ts, undefined);
    }
  }

  at(key: string, ts: bigint): string | undefined {
    const version = this.versions.get(key)!.findLast((one) => one.ts <= ts);
    if (version === undefined || (version.expireTs !== 0n && version.expireTs <= ts)) return undefined;
    return version.value;
  }
}

/** Errors of an operation that did not happen. */
const isNothing = (error: Error): boolean =>
  error instanceof NotOwnerError || error instanceof RangeBusyError || error instanceof NotLeaderError;

class MovedRange {
  readonly random: SeededRandom;
  readonly history = new History();
  readonly groups: readonly LoneGroup[];
  /** Replies that have not come. */
  private readonly open = new Set<{ outcome: Outcome<unknown>; done: () => void }>();
  private writes = 0;
  acknowledged = 0;
  refused = 0;

  constructor(seed: number, stores: readonly GroupStore[]) {
    this.random = new SeededRandom(seed);
    this.groups = stores.map((store, at) => new LoneGroup({}, store, { ownsEverything: at === 0 }));
    for (const bed of this.groups) bed.clock.advance(this.random.int(50));
  }

  private expect<Reply>(outcome: Outcome<Reply>, onReply: (reply: Reply) => void): void {
    const settle = (): void => {
      const error = outcome.error;
      if (error === undefined) {
        this.acknowledged++;
        onReply(outcome.reply as Reply);
      } else if (isNothing(error)) this.refused++;
      else throw error;
    };
    this.open.add({ outcome: outcome as Outcome<unknown>, done: settle });
  }

  /** Takes notice of replies, in the order in which they came. */
  private listen(): void {
    const done = [...this.open].filter(({ outcome }) => outcome.isDone);
    for (const one of done.sort((a, b) => a.outcome.order - b.outcome.order)) {
      this.open.delete(one);
      one.done();
    }
  }

  private pick(): string {
    return KEYS[this.random.int(KEYS.length)]!;
  }

  /** A client asks one of the groups, maybe the wrong one. */
  client(): void {
    const bed = this.groups[this.random.int(2)]!;
    const { history } = this;
    const key = this.pick();
    const value = `${++this.writes}`;
    switch (this.random.int(8)) {
      case 0:
      case 1:
        this.expect(
          bed.run((view) => {
            view.put(bytes(key), bytes(value), NEVER);
            return view.ts;
          }),
          (ts) => history.put(key, ts, value),
        );
        break;
      case 2: {
        const ttl = BigInt(1 + this.random.int(30)) << 16n;
        this.expect(
          bed.run((view) => {
            view.put(bytes(key), bytes(value), hlcTimestamp(view.ts + ttl));
            return view.ts;
          }),
          (ts) => history.put(key, ts, value, ts + ttl),
        );
        break;
      }
      case 3:
        this.expect(
          bed.run((view) => {
            view.delete(bytes(key));
            return view.ts;
          }),
          (ts) => history.put(key, ts, undefined),
        );
        break;
      case 4: {
        const to = String.fromCharCode(key.charCodeAt(0) + 1 + this.random.int(4));
        this.expect(
          bed.run((view) => {
            view.deleteRange(bytes(key), bytes(to));
            return view.ts;
          }),
          (ts) => history.deleteRange(key, to, ts),
        );
        break;
      }
      case 5: {
        const from = this.pick();
        this.expect(
          bed.run((view) => {
            const read = view.get(bytes(from))?.value.toString();
            view.put(bytes(key), bytes(`${read ?? '-'}+${value}`.slice(-12)), NEVER);
            return { ts: view.ts, read };
          }),
          ({ ts, read }) => {
            assert.equal(read, history.at(from, ts), `read of ${from} at ${ts}`);
            history.put(key, ts, `${read ?? '-'}+${value}`.slice(-12));
          },
        );
        break;
      }
      default:
        this.expect(
          bed.run((view) => ({ ts: view.ts, read: view.get(bytes(key))?.value.toString() })),
          ({ ts, read }) => assert.equal(read, history.at(key, ts), `read of ${key} at ${ts}`),
        );
    }
  }

  /** Something that happens beside the move. */
  happen(): void {
    const which = this.random.int(2);
    const bed = this.groups[which]!;
    switch (this.random.int(14)) {
      case 0: {
        // Purges what is expired, and things that are not.
        const seen = KEYS.flatMap((name) => {
          const latest = bed.store.latest(bytes(name));
          return latest === undefined ? [] : [{ key: bytes(name), commitTs: latest.commitTs }];
        });
        void bed.executor.proposeMaintenance((commitTs) => encodePurge(commitTs, seen));
        break;
      }
      case 1:
        void bed.executor.proposeMaintenance(() => encodeSetGc(timestampOfMs(bed.clock.nowMs() - 40)));
        break;
      case 2:
        this.flow(bed);
        // A new leader on a clock of its own; what it applied is all that it knows.
        bed.raft.stepDown();
        bed.clock.advance(this.random.int(5));
        bed.raft.leaderId = nodeId(1);
        bed.raft.lead();
        break;
      case 3:
      case 4:
        for (const one of this.groups) one.clock.advance(this.random.int(10));
        break;
      case 5:
        bed.scheduler.endTurn();
        break;
      case 6:
        this.flow(bed);
        break;
      case 7:
        void (this.random.int(2) === 0 ? bed.store.collectGarbage(1) : bed.store.flush());
        break;
      default:
        this.client();
    }
    this.listen();
  }

  flow(bed: LoneGroup): void {
    bed.settle();
    this.listen();
  }

  /** Runs a question to a leader to its answer, with the world going on around it. */
  async ask<Answer>(bed: LoneGroup, question: () => Promise<Answer>): Promise<Answer> {
    for (let count = this.random.int(6); count > 0; count--) this.happen();
    let isDone = false;
    const answer = question().finally(() => {
      isDone = true;
    });
    answer.catch(() => undefined);
    while (!isDone) {
      this.flow(bed);
      if (bed.store instanceof MemoryStore) for (let turn = 0; turn < 8; turn++) await Promise.resolve();
      else await new Promise<void>((resolve) => setImmediate(resolve));
      await bed.stateMachine.applyPressure();
      if (!isDone && this.random.int(4) === 0) this.client();
    }
    return answer;
  }

  async command(bed: LoneGroup, request: SpanRequest): Promise<SpanReply> {
    const reply = await this.ask(bed, () => bed.executor.spans.command(request));
    // A repetition changes nothing and answers the same.
    if (this.random.int(4) > 0) return reply;
    const again = await this.ask(bed, () => bed.executor.spans.command(request));
    assert.equal(again.outcome.kind, reply.outcome.kind, request.kind);
    assert.ok(again.outcome.kind === 'refused' || !again.outcome.isChanged);
    return reply;
  }

  /** The driver of a move: all that it knows is in what the groups tell it. */
  async move(job: number, from: number, to: number): Promise<void> {
    const [src, dst] = [this.groups[from]!, this.groups[to]!];
    const range = { start: bytes(START), end: bytes(END) };
    let attempt = 1;
    let state: ImportState = { attempt, seq: 0, bookmark: Buffer.alloc(0) };
    const send = async (versions: Parameters<typeof dst.executor.spans.import>[0]['versions']): Promise<void> => {
      const request = { job, attempt, seq: state.seq + 1, bookmark: bytes('here'), versions };
      for (let times = 1 + this.random.int(2); times > 0; times--) {
        const outcome = await this.ask(dst, () => dst.executor.spans.import(request));
        assert.equal(outcome.kind, 'done');
        if (outcome.kind === 'done') state = outcome.state;
      }
      assert.equal(state.seq, request.seq);
    };
    const begin = async (): Promise<void> => {
      const { outcome, gcThreshold: above } = await this.command(dst, { kind: 'incoming', job, attempt, ...range });
      assert.equal(outcome.kind, 'done');
      state = { attempt, seq: 0, bookmark: Buffer.alloc(0) };
      await this.command(src, { kind: 'captureOn', job, ...range, above });
      let next: BackfillPage['next'] = { start: range.start, after: undefined };
      while (next !== undefined) {
        const question: BackfillRequest = { job, ...next, maxBytes: 1 + this.random.int(20) };
        const page: BackfillPage = await this.ask(src, () => src.executor.spans.backfill(question));
        await send(page.versions);
        next = page.next;
      }
    };
    await begin();
    if (this.random.int(3) === 0) {
      attempt++;
      await begin();
    }
    let point: CapturePoint = { index: 0, position: 0 };
    const ship = async (): Promise<boolean> => {
      const page = await this.ask(src, () => src.executor.spans.captured(job, point, 1 + this.random.int(20)));
      await send(page.versions);
      point = page.next;
      return page.isEnd;
    };
    for (let rounds = this.random.int(4); rounds > 0; rounds--) await ship();
    let fence = 1;
    await this.command(src, { kind: 'fence', job, attempt: fence });
    if (this.random.int(3) === 0) {
      await ship();
      await this.command(src, { kind: 'unfence', job, attempt: fence });
      await ship();
      await this.command(src, { kind: 'fence', job, attempt: ++fence });
    }
    while (!(await ship()));
    const release: SpanRequest = { kind: 'release', job, attempt: fence, dst: groupId(to + 1) };
    const { outcome, gcThreshold } = await this.command(src, release);
    assert.ok(outcome.kind === 'done' && outcome.span !== undefined);
    const { minWriteTs: floor, epoch } = outcome.span;
    const activate: SpanRequest = { kind: 'activate', job, floor, epoch, gcThreshold, imports: state.seq };
    assert.equal((await this.command(dst, { ...activate, imports: state.seq - 1 })).outcome.kind, 'refused');
    assert.equal((await this.command(dst, activate)).outcome.kind, 'done');
    for (let count = this.random.int(10); count > 0; count--) this.happen();
    assert.equal((await this.command(src, { kind: 'purge', job })).outcome.kind, 'done');
  }

  /** Whoever owns a key knows all of its history that may still be read; the other one knows nothing of it. */
  async check(): Promise<void> {
    for (const bed of this.groups) {
      await bed.store.dropping(bytes(''), undefined);
      this.flow(bed);
    }
    assert.equal(this.open.size, 0, 'every operation is answered');
    for (const key of KEYS) {
      const owners = this.groups.filter((bed) => bed.executor.spanTable.check(bytes(key), 'write').kind === 'owned');
      assert.equal(owners.length, 1, `${key} has one owner`);
      const { store, hlc } = owners[0]!;
      for (const ts of [...this.history.moments, hlc.next()]) {
        if (ts < store.gcThreshold) continue;
        const row = await store.get(bytes(key), hlcTimestamp(ts));
        assert.equal(row?.value.toString(), this.history.at(key, ts), `${key} at ${ts}`);
      }
      const other = this.groups.find((bed) => bed !== owners[0])!;
      assert.equal(other.store.latest(bytes(key)), undefined, `${key} is dropped`);
    }
    for (const bed of this.groups) {
      const all = await bed.store.scan({ start: bytes(''), end: bytes('~'), readTs: bed.hlc.next(), limit: 1000 });
      assert.ok(!all.rows.some(({ key }) => isLocalKey(key)), 'no capture row is left');
      const own = KEYS.filter((key) => bed.store.latest(bytes(key))?.isTombstone === false);
      assert.equal(await bed.executor.countKeys(0), own.length);
    }
  }
}

/** Two worlds' stores: in memory, or the real one over databases in memory that it flushes to often. */
const openStore = (location: string): Promise<GroupStore> => {
  const levels = new SimulatedLevels();
  return openGroupStore({
    location,
    openLevel: levels.openLevel,
    folders: levels,
    limits: { flushBytes: 200, flushIntervalMs: 5, inlineBytes: 4 },
    counterClassOf: (key) => (key[0] === 0 ? undefined : 0),
  });
};

async function thereAndBack(seed: number, stores: readonly GroupStore[]): Promise<MovedRange> {
  const world = new MovedRange(seed, stores);
  try {
    for (let count = 20; count > 0; count--) world.happen();
    await world.move(1, 0, 1);
    await world.check();
    for (let count = 10; count > 0; count--) world.happen();
    await world.move(2, 1, 0);
    await world.check();
  } catch (error) {
    throw new Error(`seed ${seed}`, { cause: error });
  }
  return world;
}

describe('a move between two groups', () => {
  test('keeps every acknowledged write and all history, there and back', async () => {
    let acknowledged = 0;
    let refused = 0;
    // The last one once found a version below the threshold of a destination whose clock was ahead.
    for (const seed of [...Array.from({ length: 300 }, (_, at) => at + 1), 7780]) {
      const world = await thereAndBack(seed, [new MemoryStore(), new MemoryStore()]);
      acknowledged += world.acknowledged;
      refused += world.refused;
    }
    assert.ok(acknowledged > 5000 && refused > 1000, `${acknowledged} acknowledged, ${refused} refused`);
  });

  test('does so on the real store, with flushes and collections of garbage in between', async () => {
    for (let seed = 1001; seed <= 1030; seed++) {
      const stores = await Promise.all([openStore('one'), openStore('other')]);
      await thereAndBack(seed, stores);
      for (const store of stores) await store.close();
    }
  });
});
