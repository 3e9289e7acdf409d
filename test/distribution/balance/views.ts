/** Short ways to write what planners look at. */
import type { BalanceView, GroupPlacement } from '../../../src/distribution/balance/actions.ts';
import type { ClusterLoad, ClusterWindow, LoadDetail } from '../../../src/distribution/balance/load-window.ts';
import type { NodeRow } from '../../../src/distribution/contract/catalog-rows.ts';
import type { ClusterState } from '../../../src/distribution/contract/cluster-types.ts';
import type { Route } from '../../../src/distribution/contract/types.ts';
import { RouteTable, RouteTableLoader } from '../../../src/distribution/routes/route-table.ts';
import { type NodeId, nodeId } from '../../../src/platform/index.ts';
import { bytes, group, route } from '../builders.ts';

export const MINUTE_MS = 60_000;
export const GIB = 2 ** 30;

/** Groups with their founders as `[id, ...nodes]`, and settings. */
export function documentWith(
  parts: {
    readonly groups?: readonly (readonly number[])[];
    readonly settings?: Readonly<Record<string, string>>;
    readonly nodeBytes?: Readonly<Record<number, number>>;
    readonly preferred?: Readonly<Record<number, number>>;
  } = {},
): ClusterState {
  const nodes = Object.entries(parts.nodeBytes ?? {}).map(
    ([id, storedBytes]): NodeRow => ({
      nodeId: nodeId(Number(id)),
      revision: 1,
      incarnation: Buffer.alloc(16, Number(id)),
      address: '',
      locality: '',
      capabilities: 0n,
      heartbeatMs: 0,
      leaderCount: 0,
      replicaCount: 0,
      storedBytes,
    }),
  );
  const groups = (parts.groups ?? []).map(([id, ...founders]) => ({
    id: group(id!),
    revision: 1,
    founders: founders.map(nodeId),
    state: 'ACTIVE' as const,
    preferredLeader: parts.preferred?.[id!] === undefined ? undefined : nodeId(parts.preferred[id!]!),
    createdMs: 0,
  }));
  const settings = Object.entries(parts.settings ?? {}).map(([name, value]) => ({ name, revision: 1, value }));
  return { revision: 1, nodes, groups, settings, features: [], work: [] };
}

export const nodes = (...ids: number[]): ReadonlySet<NodeId> => new Set(ids.map(nodeId));

export function placement(id: number, voters: readonly number[], rest: Partial<GroupPlacement> = {}): GroupPlacement {
  return { id: group(id), voters: voters.map(nodeId), leader: nodeId(voters[0]!), isBusy: false, bytes: 0, ...rest };
}

/** Routes with ids from 2 on, cut at `starts`, behind the reserved one. */
export function tableOf(starts: readonly string[], rest: (at: number) => Partial<Route> = () => ({})): RouteTable {
  const loader = new RouteTableLoader();
  const all = ['\x01', ...starts];
  loader.add(route(1, '', '\x01'));
  for (const [at, start] of all.entries()) loader.add({ ...route(at + 2, start, all[at + 1] ?? ''), ...rest(at) });
  return loader.finish(1, 1);
}

export const detailOf = (rest: Partial<LoadDetail> = {}): LoadDetail => ({
  bounds: ['b', 'c', 'd'].map(bytes),
  weights: [2_000, 2_000, 2_000, 2_000],
  topKeys: [],
  sampledOps: 8_000,
  isAligned: true,
  ...rest,
});

/** Load of a route of `table`: weighted operations a minute as reads. */
export function loadOf(table: RouteTable, key: string, reads: number, rest: Partial<ClusterLoad> = {}): ClusterLoad {
  const found = table.lookup(bytes(key))!;
  return {
    routeId: found.id,
    start: Buffer.from(found.start),
    groupId: found.groupId,
    routeVersion: found.modifiedVersion,
    reads,
    writes: 0,
    readBytes: 0,
    writtenBytes: 0,
    detail: undefined,
    nodeId: nodeId(1),
    ...rest,
  };
}

/** The `at`th minute. */
export function windowOf(at: number, loads: readonly ClusterLoad[], complete: readonly number[] = [1]): ClusterWindow {
  return {
    startMs: at * MINUTE_MS,
    endMs: (at + 1) * MINUTE_MS,
    routes: new Map(loads.map((load) => [load.routeId, load])),
    completeGroups: new Map(complete.map((id) => [group(id), nodeId(1)])),
  };
}

export const viewOf = (rest: Partial<BalanceView>): BalanceView => ({
  clusterState: documentWith(),
  routes: RouteTable.empty(1),
  windows: [],
  groups: [],
  liveNodes: new Set(),
  rangeBytes: new Map(),
  nowMs: (rest.windows?.at(-1)?.endMs ?? 0) + 1_000,
  ...rest,
});
