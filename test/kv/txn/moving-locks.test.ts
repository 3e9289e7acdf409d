/**
 * Locks and statuses on their way between two groups: transactions are anywhere in their life while their range is copied, and go on
 * at its new owner as if nothing had been. A third group, which nothing is moved in, is asked the same and has to agree.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Lock, statusName } from '../../../src/kv/apply/lock-rows.ts';
import type {
  BackfillPage,
  CapturePoint,
  ImportRequest,
  SpanReply,
  SpanRequest,
} from '../../../src/kv/contract/range-transfer.ts';
import type { TxnIdentity } from '../../../src/kv/contract/txn.ts';
import { groupId, hlcTimestamp, SeededRandom } from '../../../src/platform/index.ts';
import { bytes, LoneGroup } from '../../support/lone-group.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { del, entry, finish, put, range, read, ts, txn } from './entries.ts';

const KEYS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
const [START, END] = ['c', 'f'];
const isMoving = (key: string): boolean => key >= START && key < END;
const SEEDS = 60;

/** Of several locks that stand in the way, which of them is named does not matter. */
const told = (answer: unknown): unknown =>
  (answer as { kind: string } | undefined)?.kind === 'locked' ? 'locked' : answer;

const factsOf = (lock: Lock): unknown => ({
  name: lock.rowName.toString('hex'),
  key: lock.key.toString(),
  row: lock.encode().toString('hex'),
});

class MovedLocks {
  readonly random: SeededRandom;
  readonly src = new LoneGroup({}, new MemoryStore());
  readonly dst = new LoneGroup({}, new MemoryStore(), { ownsEverything: false });
  /** Owns everything for good. */
  readonly still = new LoneGroup({}, new MemoryStore());
  readonly txns: TxnIdentity[] = [];
  isMoved = false;
  /** The group that it left has been told to forget it. */
  private isPurged = false;
  compared = 0;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
  }

  private pick<T>(from: readonly T[]): T {
    return from[this.random.int(from.length)]!;
  }

  /** Above everything that any of the groups has issued. */
  private next(): bigint {
    const beds = [this.src, this.dst, this.still];
    for (const one of beds) for (const other of beds) one.hlc.observe(other.hlc.last);
    return this.src.hlc.next();
  }

  /** An entry about keys that lie on one side of the range's ends. */
  step(): void {
    const { random } = this;
    const isInside = random.int(3) > 0;
    const own = KEYS.filter((key) => isMoving(key) === isInside);
    const keys = own.filter(() => random.int(2) === 0);
    if (keys.length === 0) return;
    if (this.txns.length < 4 || random.int(4) === 0) {
      const name = String.fromCharCode(0x100 + this.txns.length);
      this.txns.push({ ...txn('x', 1n, this.pick(own)), txnId: Buffer.alloc(16, name, 'utf16le') });
    }
    // With its primary: whether that is rolled back is known to a group only where it owns it.
    const candidates = this.txns.slice(-8).filter(({ primary }) => isMoving(primary.toString()) === isInside);
    if (candidates.length === 0) return;
    const who = this.pick(candidates);
    const at = this.next();
    const [first, last] = isInside ? [START, END] : ['f', 'i'];
    const ranges = random.int(4) === 0 ? [range(first, last)] : [];
    // While all of it is here; the move cuts it.
    const wide = random.int(4) === 0 && !this.isMoved ? [range('b', 'e')] : ranges;
    const build = (): Buffer => {
      switch (random.int(7)) {
        case 0:
          return entry.prepare(
            at,
            who,
            keys.map((key) => read(key)),
            wide,
          );
        case 1:
          return random.int(2) === 0
            ? entry.commit(at, at, finish(who, keys, { ranges }))
            : entry.commitAnchored(at, at, finish(who, keys, { ranges }));
        case 2:
          return entry.abort(at, finish(who, keys, { ranges }));
        case 3:
          return entry.push(at, who, (1n << 62n) + at);
        case 4:
          return entry.anchored(
            at,
            who,
            keys.map((key) => put(key, `${at}`)),
          );
        default:
          return entry.prepare(
            at,
            who,
            keys.map((key) => (random.int(5) === 0 ? del(key) : put(key, `${at}`))),
            ranges,
          );
      }
    };
    const payload = build();
    const owner = isInside && this.isMoved ? this.dst : this.src;
    assert.deepEqual(told(owner.raft.apply(payload)), told(this.still.raft.apply(payload)));
  }

  steps(count: number): void {
    for (let left = this.random.int(count); left > 0; left--) this.step();
  }

  private async command(bed: LoneGroup, request: SpanRequest): Promise<SpanReply> {
    this.next();
    const reply = await bed.answered(bed.executor.spans.command(request));
    assert.equal(reply.outcome.kind, 'done', request.kind);
    return reply;
  }

  async move(): Promise<void> {
    const { src, dst, still, random } = this;
    const bounds = { start: bytes(START), end: bytes(END) };
    let seq = 0;
    const send = async ({ versions, sides }: Pick<ImportRequest, 'versions' | 'sides'>): Promise<void> => {
      const request = { job: 1, attempt: 1, seq: ++seq, bookmark: bytes('here'), versions, ...(sides && { sides }) };
      for (let times = 1 + random.int(2); times > 0; times--) {
        assert.equal((await dst.answered(dst.executor.spans.import(request))).kind, 'done');
      }
    };
    const { gcThreshold: above } = await this.command(dst, { kind: 'incoming', job: 1, attempt: 1, ...bounds });
    await this.command(src, { kind: 'captureOn', job: 1, ...bounds, above });
    // Cuts range locks where the range ends, as the move does.
    await this.command(still, { kind: 'captureOn', job: 1, ...bounds, above });
    for (let next: BackfillPage['next'] = { start: bounds.start, after: undefined }; next !== undefined; ) {
      this.steps(4);
      const question = src.executor.spans.backfill({ job: 1, ...next, maxBytes: 1 + random.int(120) });
      const page: BackfillPage = await src.answered(question);
      await send(page);
      next = page.next;
    }
    let point: CapturePoint = { index: 0, position: 0 };
    const ship = async (): Promise<boolean> => {
      this.next();
      const page = await src.answered(src.executor.spans.captured(1, point, 1 + random.int(120)));
      await send(page);
      point = page.next;
      return page.isEnd;
    };
    for (let rounds = random.int(5); rounds > 0; rounds--) {
      this.steps(5);
      await ship();
    }
    await this.command(src, { kind: 'fence', job: 1, attempt: 1 });
    while (!(await ship()));
    const released = await this.command(src, { kind: 'release', job: 1, attempt: 1, dst: groupId(2) });
    assert.ok(released.outcome.kind === 'done' && released.outcome.span !== undefined);
    const { minWriteTs: floor, epoch } = released.outcome.span;
    const { gcThreshold } = released;
    await this.command(dst, { kind: 'activate', job: 1, floor, epoch, gcThreshold, imports: seq });
    this.isMoved = true;
    if (random.int(2) === 0) return;
    await this.command(src, { kind: 'purge', job: 1 });
    this.isPurged = true;
  }

  /** What the owner of a key knows of it is what the group that nothing was moved in knows. */
  compare(): void {
    const { src, dst, still } = this;
    for (const key of KEYS) {
      const owner = isMoving(key) && this.isMoved ? dst : src;
      const [mine, reference] = [owner, still].map(({ stateMachine, store }) => ({
        locks: [...stateMachine.locks.all()]
          .filter((lock) => lock.key.equals(bytes(key)))
          .map(factsOf)
          .sort((a, b) => (JSON.stringify(a, forJson) < JSON.stringify(b, forJson) ? -1 : 1)),
        statuses: this.txns.map(({ txnId }) => store.side(bytes(key), statusName(txnId))?.toString('hex')),
        latest: store.latest(bytes(key)),
      }));
      assert.deepEqual(mine, reference, key);
      this.compared += mine!.locks.length + mine!.statuses.filter((status) => status !== undefined).length;
    }
    if (!this.isPurged) return;
    const left = [...src.stateMachine.locks.all()].filter(({ key }) => isMoving(key.toString()));
    assert.deepEqual(left, [], 'the group that it left holds nothing back');
  }
}

const forJson = (_name: string, value: unknown): unknown => (typeof value === 'bigint' ? `${value}` : value);

describe('a range that moves with transactions under way', () => {
  test(`takes locks and statuses along, and each transaction goes on as if nothing had been (${SEEDS} seeds)`, async () => {
    let compared = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const world = new MovedLocks(seed);
      try {
        world.steps(30);
        await world.move();
        world.compare();
        world.steps(40);
        world.compare();
      } catch (error) {
        throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
      }
      compared += world.compared;
    }
    assert.ok(compared > SEEDS * 20, `${compared} locks and statuses in all`);
  });

  test('finds a transaction that was committed before it came, when its coordinator asks again at the new owner (T13)', async () => {
    const world = new MovedLocks(1);
    const { src, dst } = world;
    const who = txn('t', 1n, 'd');
    const first = world.src.hlc.next();
    const done = src.raft.apply(entry.onePhase(first, who, [put('d', '1')]));
    assert.deepEqual(done, { kind: 'committed', commitTs: ts(first) });
    world.still.raft.apply(entry.onePhase(first, who, [put('d', '1')]));
    await world.move();
    dst.hlc.observe(hlcTimestamp(src.hlc.last));
    const before = dst.store.latest(bytes('d'));
    assert.deepEqual(dst.raft.apply(entry.onePhase(dst.hlc.next(), who, [put('d', '1')])), done);
    assert.deepEqual(dst.store.latest(bytes('d')), before, 'once');
  });
});
