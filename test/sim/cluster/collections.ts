/**
 * What must hold for collections at rest, on every replica: each is whole, with every row that its head and its pages speak of, counts and all;
 * and once the past is forgotten there is no row that nothing refers to.
 */
import { type BodyLimits, checkBody, type Rows } from '../../../src/adapter/redis/bodies/index.ts';
import { bodyOf, decodeStorageKey, incarnationIn } from '../../../src/adapter/redis/keys/index.ts';
import { ValueType } from '../../../src/adapter/redis/values/index.ts';
import { type GroupId, type HlcTimestamp, hlcTimestamp, type Simulation } from '../../../src/platform/index.ts';
import type { GroupStore, StoreRow } from '../../../src/store/contract/types.ts';
import type { ClusterNode } from './cluster-node.ts';
import { InvariantViolation } from './violation.ts';

const POLL_MS = 200;
const PAGE_ROWS = 1000;
const FIRST_KEY = Buffer.alloc(0);
const BEHIND_ALL_KEYS = Buffer.alloc(16, 0xff);
/** Behind every version. */
const END_OF_TIME = hlcTimestamp((1n << 63n) - 1n);

export interface CollectionInvariantsOptions {
  readonly simulation: Simulation;
  readonly nodes: readonly ClusterNode[];
  readonly limits: BodyLimits;
}

interface Replica {
  readonly node: ClusterNode;
  readonly group: GroupId;
  readonly store: GroupStore;
}

/** Rows of one store at one timestamp. */
class RowsAt implements Rows {
  readonly ts: HlcTimestamp;
  readonly byKey = new Map<string, StoreRow>();

  constructor(ts: HlcTimestamp, rows: readonly StoreRow[]) {
    this.ts = ts;
    for (const row of rows) this.byKey.set(row.key.toString('latin1'), row);
  }

  get(key: Buffer): StoreRow | undefined {
    return this.byKey.get(key.toString('latin1'));
  }

  put(): never {
    throw new Error('nothing is written here');
  }

  delete(): never {
    throw new Error('nothing is written here');
  }
}

async function rowsOf(store: GroupStore, readTs: HlcTimestamp): Promise<RowsAt> {
  const rows: StoreRow[] = [];
  let start: Buffer | undefined = FIRST_KEY;
  while (start !== undefined) {
    const page = await store.scan({ start, end: BEHIND_ALL_KEYS, readTs, limit: PAGE_ROWS });
    for (const row of page.rows)
      if (decodeStorageKey(row.key) !== undefined || bodyOf(row.key) !== undefined) rows.push(row);
    start = page.next;
  }
  return new RowsAt(readTs, rows);
}

export class CollectionInvariants {
  /** Rows behind heads that collections of all replicas had when they were looked at last. */
  bodyRows = 0;
  private readonly options: CollectionInvariantsOptions;

  constructor(options: CollectionInvariantsOptions) {
    this.options = options;
  }

  /** Every collection of every replica. @throws InvariantViolation */
  async checkWhole(): Promise<void> {
    this.bodyRows = 0;
    for (const replica of this.replicas()) this.bodyRows += (await this.checkReplica(replica, END_OF_TIME)).reached;
  }

  /** Waits until every replica has forgotten what was before this call, and looks at what is left. @throws InvariantViolation */
  async checkForgotten(): Promise<void> {
    const { simulation } = this.options;
    for (const replica of this.replicas()) {
      const since = await this.newestOf(replica);
      while (!(await this.isForgotten(replica, since))) await simulation.delay(POLL_MS, 'forget');
    }
  }

  private *replicas(): Generator<Replica> {
    for (const node of this.options.nodes) {
      for (const { groupId: group, store } of node.process?.node.host.all() ?? []) yield { node, group, store };
    }
  }

  private async newestOf({ store }: Replica): Promise<HlcTimestamp> {
    let newest: HlcTimestamp = hlcTimestamp(0n);
    let next: { start: Buffer; after: HlcTimestamp | undefined } | undefined = { start: FIRST_KEY, after: undefined };
    while (next !== undefined) {
      const page = await store.exportVersions({ ...next, end: undefined, maxBytes: 1 << 20 });
      for (const { commitTs } of page.versions) if (commitTs > newest) newest = commitTs;
      next = page.next;
    }
    return newest;
  }

  /** @returns false when the last pass of collection is not behind `since` yet */
  private async isForgotten(replica: Replica, since: HlcTimestamp): Promise<boolean> {
    const { store } = replica;
    const pass = store.pressures?.().lastPass;
    if (pass === undefined || pass.threshold < since || pass.threshold !== store.gcThreshold) return false;
    const { lost } = await this.checkReplica(replica, pass.threshold);
    // The threshold may have risen meanwhile, and with it what is gone.
    if (pass.threshold !== store.gcThreshold) return false;
    if (lost[0] !== undefined) this.broken(replica, lost[0], 'no head names its body any more, and it is still there');
    return true;
  }

  /** @returns how many rows bodies have, and those of bodies that no head names */
  private async checkReplica(replica: Replica, readTs: HlcTimestamp): Promise<{ reached: number; lost: Buffer[] }> {
    const rows = await rowsOf(replica.store, readTs);
    const reached = new Set<string>();
    for (const { key } of rows.byKey.values()) {
      if (bodyOf(key) !== undefined) continue;
      for (const each of this.check(replica, rows, key)) {
        const text = each.toString('latin1');
        if (reached.has(text)) this.broken(replica, each, 'it is referred to twice');
        reached.add(text);
      }
    }
    const lost: Buffer[] = [];
    for (const [text, { key }] of rows.byKey) {
      const body = bodyOf(key);
      if (body === undefined || reached.has(text)) continue;
      const head = rows.get(key.subarray(0, body.headLength));
      if (head === undefined || incarnationIn(head.value)?.equals(body.incarnation) !== true) lost.push(key);
      else if (head.value[0] !== ValueType.String) this.broken(replica, key, 'its body does not refer to it');
    }
    return { reached: reached.size, lost };
  }

  private check(replica: Replica, rows: RowsAt, head: Buffer): Buffer[] {
    try {
      return checkBody(rows, head, this.options.limits);
    } catch (error) {
      return this.broken(replica, head, error instanceof Error ? error.message : String(error));
    }
  }

  private broken({ node, group }: Replica, key: Buffer, what: string): never {
    const head = bodyOf(key)?.headLength ?? key.length;
    const name = decodeStorageKey(key.subarray(0, head))?.userKey.toString('latin1');
    throw new InvariantViolation(
      'collection',
      `node ${node.id}, group ${group}, key ${name}, row ${key.subarray(head).toString('hex')}: ${what}`,
    );
  }
}
