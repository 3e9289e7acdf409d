/** A catalog as its group would hold it: rows in a map, and the state taken forward commit by commit. */
import assert from 'node:assert/strict';
import { type CatalogOp, type CatalogResult, planCatalog } from '../../src/distribution/catalog/catalog.ts';
import type { CatalogPlan } from '../../src/distribution/catalog/catalog-draft.ts';
import type { BootstrapGroup } from '../../src/distribution/catalog/catalog-groups.ts';
import type { RoutesResult } from '../../src/distribution/catalog/catalog-routes.ts';
import {
  advanceCatalog,
  type CatalogState,
  clusterStateOf,
  EMPTY_CATALOG,
  loadCatalog,
} from '../../src/distribution/catalog/catalog-state.ts';
import { DEFAULT_RETENTION, type RetentionPolicy } from '../../src/distribution/catalog/change-log.ts';
import { CatalogError } from '../../src/distribution/contract/errors.ts';
import type { Route } from '../../src/distribution/contract/types.ts';
import { nodeId } from '../../src/platform/index.ts';
import { bytes, group } from './builders.ts';

export class CatalogModel {
  state: CatalogState = EMPTY_CATALOG;
  readonly rows = new Map<string, Buffer>();
  readonly retention: RetentionPolicy;
  slowestCursor: number | undefined;
  nowMs = 1_000_000;

  constructor(retention: Partial<RetentionPolicy> = {}) {
    this.retention = { ...DEFAULT_RETENTION, ...retention };
  }

  /** Groups 1 (catalog) and, from `m` on, 2; more groups own nothing yet. */
  static bootstrapped(retention: Partial<RetentionPolicy> = {}, groups = [1, 2, 3, 4]): CatalogModel {
    const model = new CatalogModel(retention);
    model.run({
      kind: 'bootstrap',
      incarnation: 7,
      catalogGroup: group(1),
      ranges: [
        { start: bytes(''), end: bytes('m'), groupId: group(1) },
        { start: bytes('m'), end: undefined, groupId: group(2) },
      ],
      groups: founded(...groups),
    });
    return model;
  }

  get version(): number {
    return this.state.meta?.version ?? 0;
  }

  plan<Op extends CatalogOp>(op: Op): CatalogPlan<CatalogResult<Op>> | CatalogError {
    const { nowMs, slowestCursor, retention } = this;
    return planCatalog(this.state, op, { nowMs, slowestCursor, retention });
  }

  /** Runs an operation that is expected to be accepted. */
  run<Op extends CatalogOp>(op: Op): CatalogResult<Op> {
    const plan = this.plan(op);
    if (plan instanceof CatalogError) throw plan;
    this.commit(plan);
    return plan.result;
  }

  commit(plan: CatalogPlan<unknown>): void {
    for (const { key, value } of plan.mutations) {
      if (value === undefined) this.rows.delete(key.toString('latin1'));
      else this.rows.set(key.toString('latin1'), value);
    }
    this.state = advanceCatalog(this.state, plan.mutations);
  }

  /** The code with which an operation is refused. */
  refusal(op: CatalogOp): string {
    const before = this.state;
    const plan = this.plan(op);
    assert.ok(plan instanceof CatalogError, `${op.kind} is expected to be refused`);
    assert.equal(this.state, before);
    return plan.code;
  }

  route(key: string): Route {
    return this.state.routes.lookup(bytes(key))!;
  }

  /** Splits the route of `key` there. */
  split(key: string): RoutesResult {
    const { id } = this.route(key);
    return this.run({
      kind: 'split',
      expectedVersion: this.version,
      routeId: id,
      splitKey: bytes(key),
      splitAtTs: SPLIT_TS,
    });
  }

  storedRows(): { key: Buffer; value: Buffer }[] {
    return [...this.rows].map(([key, value]) => ({ key: bytes(key), value }));
  }

  /** The state that a new leader would load. */
  reloaded(): CatalogState {
    return loadCatalog(this.storedRows());
  }
}

/** Groups on nodes 1 to 3. */
export const founded = (...ids: number[]): BootstrapGroup[] =>
  ids.map((id) => ({ id: group(id), founders: [1, 2, 3].map(nodeId), preferredLeader: undefined }));

export const SPLIT_TS = 5n as Route['splitAtTs'];

/** What of a state can be compared. */
export const visible = (state: CatalogState): object => ({
  meta: state.meta,
  routes: [...state.routes.all()],
  deltas: Array.from({ length: state.log.count }, (_, at) => state.log.delta(state.log.floor + at)),
  sizeBytes: state.log.sizeBytes,
  jobs: [...state.jobs.values()].sort((a, b) => a.id - b.id),
  finished: state.finished,
  nodes: [...state.nodes.values()].sort((a, b) => a.nodeId - b.nodeId),
  tombstones: [...state.tombstones].sort(),
  clusterState: clusterStateOf(state),
});
