/** Random use of a write-ahead log beside a model of it: crashes, errors of the disk, and keys that change while it is written again. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { groupId, nodeId } from '../../../src/platform/index.ts';
import type { LogWrite } from '../../../src/raftengine/contract/types.ts';
import type { HardState } from '../../../src/raftengine/core/types.ts';
import type { LogEncryption, WalLogStore } from '../../../src/raftengine/log/wal-log-store.ts';
import type { DataKey, DataKeys } from '../../../src/security/index.ts';
import { entry } from '../../support/log-store-contract.ts';
import { UsedNonces, WatchedKeys } from '../../support/watched-keys.ts';
import { testKey } from './encrypted-bench.ts';
import { ModelLog } from './model-log.ts';
import { WalBench as Bench } from './wal-bench.ts';

/** One thing that is done to the log. */
export type Step =
  | { readonly kind: 'append'; readonly group: number; readonly count: number; readonly bytes: number }
  | { readonly kind: 'overwrite'; readonly group: number; readonly back: number; readonly bytes: number }
  | { readonly kind: 'reset'; readonly group: number; readonly ahead: number }
  | { readonly kind: 'truncate'; readonly group: number; readonly share: number }
  | { readonly kind: 'remove'; readonly group: number }
  | { readonly kind: 'pass'; readonly ms: number }
  | { readonly kind: 'crash'; readonly losePower: boolean }
  | {
      readonly kind: 'ioError';
      readonly group: number;
      readonly bytes: number;
      /** One write fails, of those that are under way; else all do. */
      readonly once: boolean;
      /** The machine dies before the process is started again. */
      readonly losePower: boolean;
    }
  | { readonly kind: 'renew' }
  | { readonly kind: 'restart' };

const group = fc.integer({ min: 1, max: 4 });
const bytes = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 300 }) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 20_000 }) },
);
/** Any of them. */
export const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constant('append' as const), group, count: fc.integer({ min: 0, max: 5 }), bytes }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('overwrite' as const), group, back: fc.nat(10), bytes }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reset' as const), group, ahead: fc.nat(50) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('truncate' as const),
      group,
      share: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('remove' as const), group }) },
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.double({ min: 0, max: 2, noNaN: true }) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('crash' as const), losePower: fc.boolean() }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('ioError' as const),
      group,
      bytes,
      once: fc.boolean(),
      losePower: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('renew' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
);

/** Drives a store and a model of it; the model keeps the state after every write, acknowledged or not. */
export class RandomUse {
  private readonly bench: Bench;
  private store: WalLogStore | undefined;
  private model = new ModelLog();
  /** States after each write that is not known to be stable, oldest first; the first one is known to be. */
  private history: ModelLog[] = [this.model.copy()];
  private serial = 0;
  /** What the folder keeps, of an encrypted log. */
  private readonly keys: DataKey[] = [testKey(1)];
  /** What the process that has the log was given of them. */
  private given: DataKeys | undefined;
  private readonly used = new UsedNonces();
  /** What nobody waits for, and should not have failed so. */
  private surprise: Error | undefined;

  constructor(seed: number, isEncrypted: boolean) {
    const give = ({ machine }: Bench): LogEncryption => {
      this.given = new WatchedKeys(this.keys, machine.random, this.used);
      return { sealing: this.given.sealing('log'), allowsClear: false };
    };
    this.bench = isEncrypted ? new Bench(seed, give) : new Bench(seed);
  }

  async go(steps: readonly Step[]): Promise<void> {
    this.store = await this.bench.open();
    for (const one of steps) await this.step(one, this.store!);
    await this.crash(true);
    await this.bench.run(this.store!.close());
    if (this.surprise !== undefined) throw this.surprise;
    assert.deepEqual(this.used.twice, [], 'no nonce is used twice with a key');
  }

  private async step(one: Step, store: WalLogStore): Promise<void> {
    switch (one.kind) {
      case 'append': {
        const last = store.group(groupId(one.group)).lastIndex();
        this.write(store, one.group, last + 1, one.count, one.bytes);
        break;
      }
      case 'overwrite': {
        const log = store.group(groupId(one.group));
        this.write(store, one.group, Math.max(log.firstIndex(), log.lastIndex() - one.back), 2, one.bytes);
        break;
      }
      case 'reset': {
        const id = groupId(one.group);
        const conf = { voters: [], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
        const index = store.group(id).lastIndex() + one.ahead;
        this.submit(store, [{ groupId: id, hardState: undefined, entries: [], resetTo: { index, term: 5, conf } }]);
        break;
      }
      case 'truncate': {
        const log = store.group(groupId(one.group));
        const upTo = Math.floor(log.firstIndex() + (log.lastIndex() - log.firstIndex()) * one.share);
        const term = log.term(upTo);
        if (upTo < log.firstIndex() || term === undefined || log.lastIndex() < log.firstIndex()) break;
        store.truncatePrefix(groupId(one.group), upTo, term);
        this.model.truncate(groupId(one.group), upTo, term);
        break;
      }
      case 'remove': {
        const removed = store.removeGroup(groupId(one.group));
        // Nothing is written for a group that is not there.
        if (this.model.remove(groupId(one.group))) this.watch(removed);
        break;
      }
      case 'pass':
        await this.bench.simulation.runFor(one.ms);
        break;
      case 'crash':
        await this.crash(one.losePower);
        break;
      case 'ioError':
        await this.failWrite(store, one);
        break;
      case 'renew':
        this.renew(store);
        break;
      case 'restart':
        await this.bench.run(store.close());
        this.store = await this.bench.open();
        assert.equal(this.store.closedInOrder, true);
        assert.equal(this.store.tornBytes, 0);
        this.model.check(this.store, 'after a restart');
        this.history = [this.model.copy()];
        break;
    }
    if (this.surprise !== undefined) throw this.surprise;
    if (this.store === store) this.model.check(store, 'live');
  }

  /** Everything is written again, an encrypted log with another key. What it has replaced is needed no more. */
  private renew(store: WalLogStore): void {
    const newest = testKey(this.keys.at(-1)!.id + 1);
    this.keys.push(newest);
    this.given?.add(newest);
    const done = (): void => {
      if (this.store !== store) return;
      while (this.keys[0]!.id < newest.id) {
        const { id } = this.keys.shift()!;
        this.given?.forget(id);
      }
    };
    // A crash, or an error of the disk, leaves it unfinished.
    store.renew().then(done, (error) => this.expect(error, /^LOG_(?:WRITE_FAILED|CLOSED)$/));
  }

  private expect(error: Error & { code?: string }, codes: RegExp): void {
    if (!codes.test(String(error.code))) this.surprise ??= error;
  }

  private write(store: WalLogStore, id: number, from: number, count: number, size: number): void {
    this.serial += 1;
    const entries = Array.from({ length: count }, (_, i) =>
      entry(this.serial, from + i, `${this.serial}.${i}.`.padEnd(size, 'x')),
    );
    const hardState: HardState = { term: this.serial, vote: nodeId(1), commitIndex: from };
    // Every third write has entries alone.
    const hard = this.serial % 3 === 0 ? undefined : hardState;
    this.submit(store, [{ groupId: groupId(id), hardState: hard, entries, resetTo: undefined }]);
  }

  private submit(store: WalLogStore, writes: LogWrite[]): void {
    for (const write of writes) this.model.write(write);
    this.watch(store.write(writes));
  }

  /** Remembers the state after a write until it is known to be stable. */
  private watch(written: Promise<void>): void {
    const state = this.model.copy();
    this.history.push(state);
    written.then(
      () => {
        const at = this.history.indexOf(state);
        if (at > 0) this.history.splice(0, at);
      },
      (error) => this.expect(error, /^LOG_WRITE_FAILED$/),
    );
  }

  /** The disk refuses a write, so the store ends; the supervisor starts the process again at once, or the machine dies before it. */
  private async failWrite(store: WalLogStore, fault: Extract<Step, { kind: 'ioError' }>): Promise<void> {
    const { disk } = this.bench.machine;
    disk.failsSyncs = fault.once ? 'once' : true;
    this.write(store, fault.group, store.group(groupId(fault.group)).lastIndex() + 1, 1, fault.bytes);
    await this.bench.run(store.close());
    disk.failsSyncs = false;
    if (fault.losePower) await this.crash(true);
    else await this.reopen();
  }

  private async crash(losePower: boolean): Promise<void> {
    // What was begun waits for the disk or the clock now: what ran on here would run in the process that comes next.
    await this.bench.simulation.runFor(0);
    this.bench.machine.crash({ losePower });
    await this.reopen();
  }

  /** What is found is the state after some write that is not older than the last acknowledged one. */
  private async reopen(): Promise<void> {
    const store = await this.bench.open();
    const found = this.history.findLast((state) => state.differsFrom(store) === undefined);
    if (found === undefined)
      assert.fail(
        `nothing that was written matches; against the last acknowledged: ${this.history[0]!.differsFrom(store)}, ` +
          `against the last written: ${this.history.at(-1)!.differsFrom(store)}`,
      );
    this.store = store;
    // Truncations are kept lazily: go on from what is there.
    this.model = found.copy();
    this.model.adoptTruncations(store);
    this.history = [this.model.copy()];
  }
}
