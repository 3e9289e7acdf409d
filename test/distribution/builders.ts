/** Short ways to write routes and random deltas in tests. */

import type { NodeOp } from '../../src/distribution/catalog/catalog.ts';
import { CAPABILITIES } from '../../src/distribution/catalog/features.ts';
import type { CatalogDelta, Route, RouteMutation } from '../../src/distribution/contract/types.ts';
import { type GroupId, groupId, NEVER, nodeId, type SeededRandom } from '../../src/platform/index.ts';

export const group = (id: number): GroupId => groupId(id);
type PutNode = Extract<NodeOp, { readonly kind: 'putNode' }>;

export const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

/** `end` '' is the end of the key space. */
export function route(id: number, start: string, end: string, owner = 1, rest: Partial<Route> = {}): Route {
  return {
    id,
    start: bytes(start),
    end: end === '' ? undefined : bytes(end),
    groupId: group(owner),
    state: 'ACTIVE',
    jobId: 0,
    parentId: 0,
    splitAtTs: NEVER,
    minWriteTs: NEVER,
    spanEpoch: 1,
    createdVersion: 1,
    modifiedVersion: 1,
    ...rest,
  };
}

export const delta = (version: number, mutations: RouteMutation[]): CatalogDelta => ({
  version,
  committedMs: version * 1000,
  cause: 'split',
  batchId: undefined,
  mutations,
});

export const upsert = (row: Route): RouteMutation => ({ kind: 'upsert', route: row });
export const remove = (row: Route): RouteMutation => ({ kind: 'delete', id: row.id, start: row.start });

/** What a node tells the catalog of itself; `rest` is what differs from a node that has just come and has nothing. */
export const nodeReport = (id: number, rest: Partial<PutNode['node']> = {}): PutNode['node'] => ({
  nodeId: nodeId(id),
  incarnation: Buffer.alloc(16, id),
  address: `node${id}`,
  locality: '',
  capabilities: CAPABILITIES,
  heartbeatMs: 0,
  leaderCount: 0,
  replicaCount: 0,
  storedBytes: 0,
  ...rest,
});

/** The naive directory: a sorted array that is searched from the front. */
export class ArrayDirectory {
  rows: Route[];
  nextId: number;

  constructor(rows: Route[], nextId: number) {
    this.rows = rows;
    this.nextId = nextId;
  }

  lookup(key: Buffer): Route {
    return this.rows.find((row) => Buffer.compare(row.start, key) <= 0 && isBelow(key, row.end))!;
  }

  overlap(start: Buffer, end: Buffer | undefined): Route[] {
    if (end !== undefined && Buffer.compare(start, end) >= 0) return [];
    return this.rows.filter((row) => isBelow(start, row.end) && isBelow(row.start, end));
  }

  /** A random split, merge, move or batch of splits as the mutations of one delta; already made here. */
  change(random: SeededRandom, groups: number): RouteMutation[] {
    const choice = random.int(10);
    if (choice < 2 && this.rows.length > 1) return this.merge(random.int(this.rows.length - 1));
    if (choice < 4) return this.move(random.int(this.rows.length), 1 + random.int(groups));
    const splits = choice < 9 ? 1 : 1 + random.int(20);
    const mutations: RouteMutation[] = [];
    const used = new Set<number>();
    for (let left = splits; left > 0; left--) {
      const at = random.int(this.rows.length);
      if (used.has(this.rows[at]!.id)) continue;
      const children = this.split(at, random.bytes(1 + random.int(3)));
      for (const mutation of children) used.add(mutation.kind === 'delete' ? mutation.id : mutation.route.id);
      mutations.push(...children);
    }
    return mutations;
  }

  private split(at: number, key: Buffer): RouteMutation[] {
    const row = this.rows[at]!;
    if (Buffer.compare(key, row.start) <= 0 || !isBelow(key, row.end)) return [];
    const left = { ...row, id: this.nextId++, parentId: row.id, end: key };
    const right = { ...row, id: this.nextId++, parentId: row.id, start: key };
    this.rows.splice(at, 1, left, right);
    return [remove(row), upsert(left), upsert(right)];
  }

  private merge(at: number): RouteMutation[] {
    const [left, right] = [this.rows[at]!, this.rows[at + 1]!];
    const merged = { ...left, id: this.nextId++, parentId: left.id, end: right.end };
    this.rows.splice(at, 2, merged);
    return [remove(right), remove(left), upsert(merged)];
  }

  private move(at: number, owner: number): RouteMutation[] {
    const row = this.rows[at]!;
    const moved = { ...row, groupId: group(owner), spanEpoch: row.spanEpoch + 1 };
    this.rows.splice(at, 1, moved);
    return [upsert(moved)];
  }
}

/** True when `key` is below an exclusive end; undefined is above every key. */
export const isBelow = (key: Buffer, end: Buffer | undefined): boolean =>
  end === undefined || Buffer.compare(key, end) < 0;
