/** A catalog with four groups: keys below 'm' are in group 1, the rest in group 2; 3 and 4 own nothing. */
import type { BootstrapOp } from '../../../src/distribution/catalog/catalog-routes.ts';
import type { CatalogState } from '../../../src/distribution/catalog/catalog-state.ts';
import type { Route } from '../../../src/distribution/contract/types.ts';
import type { KeyRules } from '../../../src/distribution/index.ts';
import { groupId, hlcTimestamp, nodeId } from '../../../src/platform/index.ts';
import { FakeCatalogCluster } from '../../support/fake-catalog.ts';

export const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
export const incarnationOf = (node: number): Buffer => Buffer.alloc(16, node);

export const BOOTSTRAP: BootstrapOp = {
  kind: 'bootstrap',
  incarnation: 7,
  catalogGroup: groupId(1),
  ranges: [
    { start: bytes(''), end: bytes('m'), groupId: groupId(1) },
    { start: bytes('m'), end: undefined, groupId: groupId(2) },
  ],
  groups: [1, 2, 3, 4].map((id) => ({
    id: groupId(id),
    founders: [1, 2, 3].map(nodeId),
    preferredLeader: undefined,
  })),
};

/** Node 0 leads and the catalog has its first rows. */
export async function founded(nodes = 1, keyRules?: Pick<KeyRules, 'align'>): Promise<FakeCatalogCluster> {
  const cluster = new FakeCatalogCluster(nodes, keyRules);
  cluster.group.elect(0);
  await cluster.time.outcome(cluster.leaders[0]!.bootstrap(BOOTSTRAP));
  return cluster;
}

export const versionOf = (state: CatalogState | undefined): number => state?.meta?.version ?? 0;

export function routeAt(state: CatalogState | undefined, key: string): Route {
  const route = state?.routes.lookup(bytes(key));
  if (route === undefined) throw new Error(`no route has ${key}`);
  return route;
}

let splitTs = 0n;

/** A split of the newest version, with a timestamp of its own. */
export function splitAt(state: CatalogState | undefined, key: string) {
  splitTs += 1n;
  return {
    kind: 'split',
    expectedVersion: versionOf(state),
    routeId: routeAt(state, key).id,
    splitKey: bytes(key),
    splitAtTs: hlcTimestamp(splitTs),
  } as const;
}

export function moveOf(state: CatalogState | undefined, key: string, dst: number) {
  const { id, start } = routeAt(state, key);
  return { kind: 'createMove', expectedVersion: versionOf(state), routeId: id, start, dst: groupId(dst) } as const;
}
