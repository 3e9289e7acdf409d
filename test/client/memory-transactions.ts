/** Transactions over one map: what was read must still be so at the commit. Fails on request. */
import { randomBytes } from 'node:crypto';
import { ConflictError } from '../../src/kv/contract/errors.ts';
import type { KvTransaction, TransactionOptions, Transactions } from '../../src/kv/contract/transactions.ts';
import type { KeyView, LiveValue, ScanRequest } from '../../src/kv/contract/view.ts';
import { type HlcTimestamp, hlcTimestamp, NEVER } from '../../src/platform/index.ts';

export class MemoryTransactions implements Transactions {
  readonly rows = new Map<string, LiveValue>();
  /** Thrown by the next commits, after they were done (`done`) or instead of them. */
  readonly failures: { readonly error: Error; readonly done: boolean }[] = [];
  readonly begun: TransactionOptions[] = [];
  rolledBack = 0;
  commits = 0;
  private now = 1n << 16n;

  tick(): HlcTimestamp {
    return hlcTimestamp(++this.now);
  }

  write(name: string, value: Buffer | undefined, commitTs: HlcTimestamp): void {
    if (value === undefined) this.rows.delete(name);
    else this.rows.set(name, { value, commitTs, expireTs: NEVER });
  }

  async begin(options: TransactionOptions): Promise<KvTransaction> {
    this.begun.push(options);
    return new MemoryTransaction(this, options.ageTs ?? this.tick());
  }

  async run<Reply>(
    _request: object,
    body: (view: KeyView) => Reply,
  ): Promise<{ reply: Reply; commitTs: HlcTimestamp | undefined; seenTs: HlcTimestamp }> {
    const ts = this.tick();
    let commitTs: HlcTimestamp | undefined;
    const set = (key: Buffer, value: Buffer | undefined): void => {
      commitTs = ts;
      this.write(key.toString('latin1'), value, ts);
    };
    const view: KeyView = {
      ts,
      get: (key) => this.rows.get(key.toString('latin1')),
      put: set,
      delete: (key) => set(key, undefined),
      deleteRange: () => undefined,
    };
    return { reply: body(view), commitTs, seenTs: ts };
  }
}

class MemoryTransaction implements KvTransaction {
  readonly id = randomBytes(16);
  readonly startTs: HlcTimestamp;
  seenTs = NEVER;
  private readonly store: MemoryTransactions;
  private readonly seen = new Map<string, HlcTimestamp | undefined>();
  private readonly writes = new Map<string, Buffer | undefined>();
  private commitTs: HlcTimestamp | undefined;

  constructor(store: MemoryTransactions, startTs: HlcTimestamp) {
    this.store = store;
    this.startTs = startTs;
  }

  async get(key: Buffer): Promise<LiveValue | undefined> {
    const name = key.toString('latin1');
    if (this.writes.has(name)) {
      const value = this.writes.get(name);
      return value === undefined ? undefined : { value, commitTs: this.startTs, expireTs: NEVER };
    }
    const found = this.store.rows.get(name);
    this.seen.set(name, found?.commitTs);
    this.seenTs = this.store.tick();
    return found;
  }

  async scan({ start, end, limit, reverse }: ScanRequest) {
    const names = new Set([...this.store.rows.keys(), ...this.writes.keys()]);
    const keys = [...names].map((name) => Buffer.from(name, 'latin1')).sort(Buffer.compare);
    if (reverse === true) keys.reverse();
    const rows = [];
    for (const key of keys) {
      if (Buffer.compare(key, start) < 0 || Buffer.compare(key, end) >= 0) continue;
      const found = await this.get(key);
      if (found !== undefined) rows.push({ key, ...found });
    }
    const next = rows.length <= limit ? undefined : reverse === true ? rows[limit - 1]!.key : rows[limit]!.key;
    return { rows: rows.slice(0, limit), next };
  }

  put(key: Buffer, value: Buffer): void {
    this.writes.set(key.toString('latin1'), value);
  }

  delete(key: Buffer): void {
    this.writes.set(key.toString('latin1'), undefined);
  }

  async commit(): Promise<HlcTimestamp> {
    const failure = this.store.failures.shift();
    if (failure !== undefined && !failure.done) throw failure.error;
    if (this.commitTs === undefined) {
      for (const [name, version] of this.seen) {
        if (this.store.rows.get(name)?.commitTs !== version) throw new ConflictError('changed');
      }
      this.commitTs = this.store.tick();
      for (const [name, value] of this.writes) this.store.write(name, value, this.commitTs);
      this.store.commits++;
    }
    if (failure !== undefined) throw failure.error;
    return this.commitTs;
  }

  async rollback(): Promise<void> {
    this.store.rolledBack++;
  }
}
