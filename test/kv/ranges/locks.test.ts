/**
 * Moves with transactions in flight: locks, records and statuses belong to their keys and travel with them. Transactions are prepared, committed,
 * given up or abandoned at any step of a move; each of them ends whole, at whoever has its keys then.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { copyCaptured, copyHistories } from '../../../src/cluster/moves/copying.ts';
import type { JobRow } from '../../../src/distribution/contract/catalog-rows.ts';
import { NotOwnerError, RangeBusyError } from '../../../src/kv/contract/errors.ts';
import type { SpanClient, SpanReply, SpanRequest } from '../../../src/kv/contract/range-transfer.ts';
import type { FinishRequest, TxnIdentity, TxnStatus } from '../../../src/kv/contract/txn.ts';
import { type HlcTimestamp, hlcTimestamp, SeededRandom } from '../../../src/platform/index.ts';
import { bytes, group } from '../../distribution/builders.ts';
import { SpanGroup } from '../span-group.ts';
import { put, request } from '../txn/entries.ts';

const [SRC, DST] = [group(1), group(2)];
const JOB = 1;
const RANGE = { start: bytes('f'), end: bytes('k') };
const TRANSACTIONS = 8;
/** A coordinator's promise to be heard of again, in milliseconds. */
const PATIENCE_MS = 50;

/** What became of a transaction, as far as its coordinator knows. */
type Progress = 'begun' | 'prepared' | 'committed' | 'abandoned' | 'ended';

class Transaction {
  readonly identity: TxnIdentity;
  readonly keys: readonly string[];
  readonly value: string;
  progress: Progress = 'begun';
  isBusy = false;
  /** Keys with a lock, and those whose lock has been ended. */
  readonly locked = new Set<string>();
  readonly finished = new Set<string>();
  commitTs: HlcTimestamp | undefined;
  minCommitTs = hlcTimestamp(0n);

  constructor(number: number, keys: readonly string[], primary: string, startTs: HlcTimestamp) {
    this.keys = keys;
    this.value = `new${number}`;
    this.identity = { txnId: Buffer.alloc(16, number + 1), primary: bytes(primary), startTs };
  }
}

class LockedRanges {
  readonly random: SeededRandom;
  readonly beds = new Map([
    [SRC, new SpanGroup({ owned: ['a', 'm'] })],
    [DST, new SpanGroup({ owned: ['m', 'z'] })],
  ]);
  readonly transactions: Transaction[] = [];
  /** How many transactions had locks in the range when it changed hands. */
  carried = 0;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    for (let number = 0; number < TRANSACTIONS; number++) {
      // Some lie in the moving range, some reach out of it to either group.
      const all = [`f${number}`, `g${number}`, `b${number}`, `p${number}`];
      const keys = all.filter((_, at) => at === 0 || this.random.int(2) === 0);
      for (const key of all) this.bedOf(key).set(key, 'old');
      const primary = keys[this.random.int(keys.length)]!;
      this.transactions.push(new Transaction(number, keys, primary, this.bed(SRC).hlc.next()));
    }
    for (const bed of this.beds.values()) bed.settle();
  }

  bed(id: typeof SRC): SpanGroup {
    return this.beds.get(id)!;
  }

  /** Who serves writes of a key; the source while nobody does, which then says so. */
  bedOf(key: string): SpanGroup {
    for (const bed of this.beds.values()) {
      if (bed.executor.spanTable.check(bytes(key), 'write').kind === 'owned') return bed;
    }
    return this.bed(SRC);
  }

  /** Keys by who has them. */
  private byBed(keys: Iterable<string>): Map<SpanGroup, string[]> {
    const groups = new Map<SpanGroup, string[]>();
    for (const key of keys) groups.set(this.bedOf(key), [...(groups.get(this.bedOf(key)) ?? []), key]);
    return groups;
  }

  /** @returns undefined when a range is on its way: nothing happened, and it is tried again later */
  private async ask<T>(bed: SpanGroup, question: () => Promise<T>): Promise<T | undefined> {
    try {
      return await bed.answer(question());
    } catch (error) {
      if (error instanceof RangeBusyError || error instanceof NotOwnerError) return undefined;
      throw error;
    }
  }

  private finish({ identity }: Transaction, writes: readonly string[]): FinishRequest {
    const isPrimary = writes.includes(identity.primary.toString());
    return { ...identity, isPrimary, participants: [SRC, DST], writes: writes.map(bytes), reads: [], ranges: [] };
  }

  /** One step of one coordinator, which does one thing at a time. */
  async coordinate(): Promise<void> {
    const txn = this.transactions[this.random.int(TRANSACTIONS)]!;
    if (txn.isBusy) return;
    txn.isBusy = true;
    await this.step(txn);
    txn.isBusy = false;
  }

  private async step(txn: Transaction): Promise<void> {
    switch (txn.progress) {
      case 'begun': {
        const [next] = this.byBed(txn.keys.filter((key) => !txn.locked.has(key)));
        if (next === undefined) {
          txn.progress = this.random.int(6) === 0 ? 'abandoned' : 'prepared';
          return;
        }
        const [bed, keys] = next;
        const intents = keys.map((key) => put(key, txn.value, bed.store.latest(bytes(key))?.commitTs));
        const asked = { ...request(txn.identity, intents, PATIENCE_MS), participants: [SRC, DST] };
        const reply = await this.ask(bed, () => bed.executor.txns.prepare(asked));
        if (reply === undefined) return;
        assert.equal(reply.kind, 'prepared');
        if (reply.kind !== 'prepared') return;
        for (const key of keys) txn.locked.add(key);
        if (reply.minCommitTs > txn.minCommitTs) txn.minCommitTs = reply.minCommitTs;
        return;
      }
      case 'prepared': {
        if (this.random.int(8) === 0) {
          txn.progress = 'abandoned';
          return;
        }
        const primary = txn.identity.primary.toString();
        const bed = this.bedOf(primary);
        const writes = this.byBed(txn.keys).get(bed)!;
        if (this.random.int(5) === 0) {
          const status = await this.ask(bed, () => bed.executor.txns.abort(this.finish(txn, writes)));
          if (status === undefined) return;
          assert.equal(status.kind, 'rolledBack');
          txn.progress = 'ended';
        } else {
          const commitTs = txn.commitTs ?? hlcTimestamp(txn.minCommitTs + BigInt(1 + this.random.int(1000)));
          const reply = await this.ask(bed, () => bed.executor.txns.commit({ ...this.finish(txn, writes), commitTs }));
          if (reply === undefined) return;
          assert.equal(reply.kind, 'committed');
          txn.commitTs = commitTs;
          txn.progress = 'committed';
        }
        for (const key of writes) txn.finished.add(key);
        return;
      }
      case 'committed': {
        const [next] = this.byBed(txn.keys.filter((key) => !txn.finished.has(key)));
        if (next === undefined) {
          txn.progress = 'ended';
          return;
        }
        if (this.random.int(6) === 0) {
          txn.progress = 'abandoned';
          return;
        }
        const [bed, writes] = next;
        const finish = { ...this.finish(txn, writes), commitTs: txn.commitTs! };
        const reply = await this.ask(bed, () => bed.executor.txns.commit(finish));
        if (reply === undefined) return;
        assert.equal(reply.kind, 'committed', 'who has the key has its lock');
        for (const key of writes) txn.finished.add(key);
        return;
      }
      default:
    }
  }

  async someSteps(): Promise<void> {
    for (let count = this.random.int(4); count > 0; count--) await this.coordinate();
  }

  /** Coordinators go on between any two questions of the move. */
  private async asked<T>(id: typeof SRC, question: (bed: SpanGroup) => Promise<T>): Promise<T> {
    await this.someSteps();
    return this.bed(id).answer(question(this.bed(id)));
  }

  readonly spans: SpanClient = {
    command: (id, command) => this.asked(id, (bed) => bed.executor.spans.command(command)),
    job: (id, job) => this.asked(id, (bed) => bed.executor.spans.job(job)),
    backfill: (id, page) => this.asked(id, (bed) => bed.executor.spans.backfill(page)),
    captured: (id, job, from, maxBytes) => this.asked(id, (bed) => bed.executor.spans.captured(job, from, maxBytes)),
    import: (id, page) => this.asked(id, (bed) => bed.executor.spans.import(page)),
  };

  private async done(id: typeof SRC, command: SpanRequest): Promise<SpanReply> {
    const reply = await this.spans.command(id, command);
    assert.equal(reply.outcome.kind, 'done', command.kind);
    return reply;
  }

  async move(): Promise<void> {
    const { done } = this;
    const at = done.bind(this);
    const copying = {
      spans: this.spans,
      job: { id: JOB, ...RANGE, src: SRC, dst: DST, attempt: 1 } as JobRow,
      pageBytes: 1 + this.random.int(400),
      pagesAhead: 2,
      importsAhead: 3,
      isOurs: () => true,
      rest: async () => undefined,
    };
    await at(DST, { kind: 'incoming', job: JOB, attempt: 1, ...RANGE });
    const { gcThreshold: above } = await this.spans.job(DST, JOB);
    await at(SRC, { kind: 'captureOn', job: JOB, ...RANGE, above });
    assert.equal(await copyHistories(copying), 'done');
    for (let rounds = this.random.int(3); rounds > 0; rounds--) await copyCaptured(copying);
    await at(SRC, { kind: 'fence', job: JOB, attempt: 1 });
    const copied = await copyCaptured(copying);
    assert.ok(typeof copied === 'object');
    const isInside = (txn: Transaction): boolean => txn.locked.has(txn.keys[0]!) && !txn.finished.has(txn.keys[0]!);
    this.carried = this.transactions.filter(isInside).length;
    const { outcome, gcThreshold } = await at(SRC, { kind: 'release', job: JOB, attempt: 1, dst: DST });
    assert.ok(outcome.kind === 'done' && outcome.span !== undefined);
    const { minWriteTs: floor, epoch } = outcome.span;
    await at(DST, { kind: 'activate', job: JOB, floor, epoch, gcThreshold, imports: copied.imports.seq });
    await this.someSteps();
    await at(SRC, { kind: 'purge', job: JOB });
  }

  /** What a resolver does about those whose coordinator is not heard of any more. */
  private async resolve(txn: Transaction): Promise<TxnStatus> {
    const primary = this.bedOf(txn.identity.primary.toString());
    const status = await primary.answer(primary.executor.txns.status(txn.identity));
    assert.ok(status.kind === 'committed' || status.kind === 'rolledBack', `${status.kind} after its time`);
    for (const key of txn.keys) {
      const bed = this.bedOf(key);
      const verdict = { txnId: txn.identity.txnId, key: bytes(key), end: undefined, status: status };
      await bed.answer(bed.executor.txns.resolve([verdict]));
    }
    return status;
  }

  /** Every transaction is there as a whole or not at all, as its record says. @returns how many are there */
  async check(): Promise<number> {
    for (const bed of this.beds.values()) bed.clock.advance(10 * PATIENCE_MS);
    let committed = 0;
    for (const txn of this.transactions) {
      const status = await this.resolve(txn);
      if (txn.commitTs !== undefined) assert.equal(status.kind, 'committed', 'what was acknowledged stays');
      if (status.kind === 'committed') committed++;
      for (const key of txn.keys) {
        const latest = this.bedOf(key).store.latest(bytes(key));
        const wanted = status.kind === 'committed' ? txn.value : 'old';
        assert.equal(latest?.value.toString(), wanted, `${key} of a transaction that is ${status.kind}`);
        if (status.kind === 'committed') assert.equal(latest?.commitTs, status.commitTs);
      }
    }
    for (const [id, { stateMachine }] of this.beds) assert.equal(stateMachine.locks.size, 0, `locks of group ${id}`);
    return committed;
  }
}

describe('transactions whose keys move', () => {
  test('end whole, wherever their keys and their record are by then', async () => {
    let carried = 0;
    let committed = 0;
    for (let seed = 1; seed <= 120; seed++) {
      const world = new LockedRanges(seed);
      try {
        for (let count = world.random.int(20); count > 0; count--) await world.coordinate();
        await world.move();
        for (let count = world.random.int(60); count > 0; count--) await world.coordinate();
        committed += await world.check();
        carried += world.carried;
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error });
      }
    }
    assert.ok(carried > 100 && committed > 200, `${carried} carried, ${committed} committed`);
  });
});
