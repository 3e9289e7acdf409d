/**
 * A catalog group of several replicas in memory, with everything that can go wrong around one: leaders that come and go, entries
 * whose outcome nobody hears, requests and answers that get lost. Time is virtual.
 */

import { ForwardingCatalogClient } from '../../src/cluster/catalog/client.ts';
import { CatalogEndpoint } from '../../src/cluster/catalog/endpoint.ts';
import type { CatalogGroup } from '../../src/cluster/catalog/group.ts';
import { Heartbeats } from '../../src/cluster/catalog/heartbeats.ts';
import { CatalogLeader } from '../../src/cluster/catalog/leader.ts';
import { type CatalogState, loadCatalog } from '../../src/distribution/catalog/catalog-state.ts';
import { CATALOG_END, CATALOG_START } from '../../src/distribution/contract/catalog-keys.ts';
import type { KeyRules } from '../../src/distribution/index.ts';
import { LeaderUnavailableError, NotOwnerError } from '../../src/kv/contract/errors.ts';
import { type ForwardHandler, type KvService, wholeAnswer } from '../../src/kv/contract/service.ts';
import type { KeyView, Operation, ScanPage, ScanRequest } from '../../src/kv/contract/view.ts';
import { groupId, hlcTimestamp, KvorumError } from '../../src/platform/index.ts';
import { BusyError, NotLeaderError, OutcomeUnknownError } from '../../src/raftengine/errors.ts';

import { VirtualTime } from './virtual-time.ts';

export const CATALOG_GROUP = groupId(1);

/**
 * What becomes of an operation on the group. `late`: nobody hears of it, and it is applied some time later, unless what it
 * rests on has changed by then. `lost`: nobody hears of it and it never happens.
 */
export type Fate = 'ok' | 'applied, unheard' | 'lost' | 'late' | 'refused' | 'busy';

interface Stored {
  readonly value: Buffer;
  readonly commitTs: bigint;
}

interface Entry {
  readonly reads: Map<string, bigint>;
  readonly writes: Map<string, Buffer | undefined>;
  readonly commitTs: bigint;
}

export class FakeCatalogGroup {
  readonly time: VirtualTime;
  readonly rows = new Map<string, Stored>();
  /** False before the group was given the reserved keys. */
  ownsReserved = true;
  /** Pages are refused as if the group did not own them, whatever single rows are. */
  refusesScans = false;
  leader: number | undefined;
  term = 0;
  /** Entries that were written, for the growth of the log. */
  entries = 0;
  /** Decides about each operation and each page of a scan, at the moment when its outcome is due. */
  fate: (kind: 'write' | 'read' | 'scan', node: number) => Fate = () => 'ok';
  /** Replicas that believe that they lead, whatever the group says: their entries are taken. */
  readonly usurpers = new Set<number>();
  private lastTs: bigint;
  private readonly late: Entry[] = [];
  private readonly listeners: (() => void)[] = [];

  constructor(time: VirtualTime) {
    this.time = time;
    this.lastTs = BigInt(time.nowMs()) << 16n;
  }

  /** Entries of the past either happen before a new leader serves, or never. */
  elect(node: number | undefined): void {
    for (const entry of this.late.splice(0)) this.apply(entry);
    this.leader = node;
    if (node !== undefined) this.term++;
    for (const listener of this.listeners) listener();
  }

  /** What a late entry waits for. */
  applyLate(): void {
    for (const entry of this.late.splice(0)) this.apply(entry);
  }

  isServing(node: number): boolean {
    return this.leader === node || this.usurpers.has(node);
  }

  replica(node: number): CatalogGroup {
    const group = this;
    return {
      get isServing() {
        return group.isServing(node);
      },
      get term() {
        return group.term;
      },
      onLeadership: (listener) => void this.listeners.push(listener),
      submit: (operation) => this.submit(node, operation as Operation<unknown>),
      scan: (request) => this.scan(node, request),
      nowTs: () => hlcTimestamp(this.now()),
    };
  }

  private now(): bigint {
    const wall = BigInt(this.time.nowMs()) << 16n;
    if (wall > this.lastTs) this.lastTs = wall;
    return this.lastTs;
  }

  private submit(node: number, operation: Operation<unknown>): void {
    if (!this.isServing(node)) {
      operation.complete(new NotLeaderError(undefined), undefined);
      return;
    }
    this.lastTs = this.now() + 1n;
    const entry: Entry = { reads: new Map(), writes: new Map(), commitTs: this.lastTs };
    let reply: unknown;
    let thrown: Error | undefined;
    try {
      reply = operation.evaluate(this.view(entry));
    } catch (error) {
      thrown = error as Error;
    }
    const { term } = this;
    setImmediate(() => {
      const isOver = !this.isServing(node) || this.term !== term;
      const fate = this.fate(entry.writes.size > 0 ? 'write' : 'read', node);
      if (entry.writes.size === 0) {
        if (isOver || fate === 'lost' || fate === 'refused')
          operation.complete(new NotLeaderError(undefined), undefined);
        else if (fate === 'busy') operation.complete(new BusyError('full'), undefined);
        else operation.complete(thrown, thrown === undefined ? reply : undefined);
        return;
      }
      if (fate === 'busy') operation.complete(new BusyError('full'), undefined);
      else if (fate === 'refused') operation.complete(new NotLeaderError(undefined), undefined);
      else if (fate === 'late' && !isOver) {
        this.late.push(entry);
        operation.complete(new OutcomeUnknownError('late'), undefined);
      } else if (fate === 'lost' || isOver) operation.complete(new OutcomeUnknownError('lost'), undefined);
      else if (!this.apply(entry)) this.submit(node, operation);
      else if (fate === 'ok') operation.complete(undefined, reply);
      else operation.complete(new OutcomeUnknownError('applied'), undefined);
    });
  }

  private view(entry: Entry): KeyView {
    const own = (key: Buffer): void => {
      if (!this.ownsReserved && key[0] === 0) throw new NotOwnerError(undefined);
    };
    return {
      ts: hlcTimestamp(entry.commitTs),
      get: (key) => {
        own(key);
        const stored = this.rows.get(key.toString('latin1'));
        entry.reads.set(key.toString('latin1'), stored?.commitTs ?? 0n);
        if (stored === undefined) return undefined;
        return { value: stored.value, expireTs: hlcTimestamp(0n), commitTs: hlcTimestamp(stored.commitTs) };
      },
      put: (key, value) => {
        own(key);
        entry.writes.set(key.toString('latin1'), value);
      },
      delete: (key) => void entry.writes.set(key.toString('latin1'), undefined),
      deleteRange: () => {
        throw new Error('nobody deletes ranges here');
      },
    };
  }

  /** As the state machine does: nothing happens unless everything that was read is as it was. */
  private apply(entry: Entry): boolean {
    for (const [key, ts] of entry.reads) if ((this.rows.get(key)?.commitTs ?? 0n) !== ts) return false;
    this.entries++;
    for (const [key, value] of entry.writes) {
      if (value === undefined) this.rows.delete(key);
      else this.rows.set(key, { value: Buffer.from(value), commitTs: entry.commitTs });
    }
    return true;
  }

  private async scan(node: number, request: ScanRequest): Promise<ScanPage> {
    if (!this.isServing(node)) throw new NotLeaderError(undefined);
    if (!this.ownsReserved || this.refusesScans) throw new NotOwnerError(undefined);
    const fate = this.fate('scan', node);
    const inRange = this.storedRows(request.start, request.end);
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (!this.isServing(node) || fate === 'lost' || fate === 'refused') throw new NotLeaderError(undefined);
    // Small pages, so that something can happen between them.
    const limit = Math.min(request.limit, 7);
    const rows = inRange
      .slice(0, limit)
      .map((row) => ({ ...row, expireTs: hlcTimestamp(0n), commitTs: hlcTimestamp(row.commitTs) }));
    return { rows, next: inRange[limit]?.key };
  }

  storedRows(
    start: Buffer = CATALOG_START,
    end: Buffer = CATALOG_END,
  ): { key: Buffer; value: Buffer; commitTs: bigint }[] {
    return [...this.rows]
      .map(([key, stored]) => ({ key: Buffer.from(key, 'latin1'), ...stored }))
      .filter(({ key }) => Buffer.compare(key, start) >= 0 && Buffer.compare(key, end) < 0)
      .sort((a, b) => Buffer.compare(a.key, b.key));
  }

  /** What a new leader would load. */
  loaded(): CatalogState {
    return loadCatalog(this.storedRows());
  }
}

/** What becomes of a question on its way. */
export type Delivery = 'ok' | 'question lost' | 'answer lost';

/** The catalog on some nodes, and its clients. */
export class FakeCatalogCluster {
  readonly time = new VirtualTime();
  readonly group = new FakeCatalogGroup(this.time);
  readonly leaders: CatalogLeader[] = [];
  readonly heartbeats: Heartbeats[] = [];
  readonly errors: unknown[] = [];
  delivery: () => Delivery = () => 'ok';
  private readonly handlers: ForwardHandler[] = [];

  /** @param keyRules where objects of several keys begin; left out: each key is one */
  constructor(nodes = 1, keyRules?: Pick<KeyRules, 'align'>) {
    for (let node = 0; node < nodes; node++) {
      const leader = new CatalogLeader({
        group: this.group.replica(node),
        clock: this.time,
        scheduler: this.time,
        onError: (error) => this.errors.push(error),
        ...(keyRules === undefined ? {} : { keyRules }),
      });
      const heartbeats = new Heartbeats(leader, this.time);
      new CatalogEndpoint({ onForward: (_service, handler) => void this.handlers.push(handler) }, leader, heartbeats);
      this.leaders.push(leader);
      this.heartbeats.push(heartbeats);
    }
  }

  client(): ForwardingCatalogClient {
    const kv: Pick<KvService, 'forward'> = {
      forward: (_group, _service, payload, deadlineMs, done) => this.forward(payload, deadlineMs, done),
    };
    return new ForwardingCatalogClient({ kv, catalogGroup: CATALOG_GROUP, clock: this.time, scheduler: this.time });
  }

  /** As the leader proxy does: waits for a leader, repeats what certainly did not happen, and reports what got lost. */
  private forward(
    payload: Buffer,
    deadlineMs: number,
    done: (error: Error | undefined, reply: Buffer | undefined) => void,
  ): void {
    let isDone = false;
    let isSent = false;
    const finish = (error: Error | undefined, reply: Buffer | undefined): void => {
      if (isDone) return;
      isDone = true;
      done(error, reply);
    };
    const leftMs = Math.max(0, deadlineMs - this.time.monotonicMs());
    this.time.after(leftMs, () =>
      finish(isSent ? new OutcomeUnknownError('no answer') : new LeaderUnavailableError('no leader'), undefined),
    );
    const attempt = (): void => {
      if (isDone) return;
      const handler = this.group.leader === undefined ? undefined : this.handlers[this.group.leader];
      if (handler === undefined) {
        this.time.after(20, attempt);
        return;
      }
      const delivery = this.delivery();
      isSent = true;
      if (delivery !== 'ok')
        this.time.after(3, () => finish(new OutcomeUnknownError('the connection broke'), undefined));
      if (delivery === 'question lost') return;
      handler(Buffer.from(payload), (error, reply) => {
        if (delivery === 'answer lost' || isDone) return;
        const isRetryable = error instanceof KvorumError && ['redirect', 'wait'].includes(error.disposition);
        if (!isRetryable) {
          finish(error, reply && wholeAnswer(reply));
          return;
        }
        isSent = false;
        this.time.after(20, attempt);
      });
    };
    attempt();
  }
}
