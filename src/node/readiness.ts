/** When a node may be given clients. */
import type { Readiness } from '../adapter/metrics/index.ts';
import type { ClusterDocument, RouteEngine } from '../distribution/index.ts';
import type { NodeId } from '../platform/index.ts';
import type { GroupHost } from './group-host.ts';

export type { Readiness } from '../adapter/metrics/index.ts';

export interface ReadinessFacts {
  readonly self: NodeId;
  readonly routes: RouteEngine;
  /** Groups that were made while the cluster runs are in it. */
  readonly document: ClusterDocument | undefined;
  readonly host: GroupHost;
}

const MOST_NAMED = 5;

/** Ready means: this node knows who owns what, has the replicas that it should have, and each of them knows its leader. */
export function readinessOf({ self, routes, document, host }: ReadinessFacts): Readiness {
  const notYet = (reason: string): Readiness => ({ ready: false, reason });
  if (routes.current.version === 0) return notYet('the directory of ranges is not known yet');
  const missing = (document?.groups ?? []).filter(
    ({ id, state, founders }) => state === 'ACTIVE' && founders.includes(self) && host.get(id) === undefined,
  );
  if (missing.length > 0) return notYet(`no replica is open yet of ${named(missing.map(({ id }) => id))}`);
  const leaderless = host.all().filter(({ raft }) => raft.leader() === undefined);
  if (leaderless.length > 0) return notYet(`no leader is known of ${named(leaderless.map(({ groupId }) => groupId))}`);
  return { ready: true, reason: 'ready' };
}

function named(groups: readonly number[]): string {
  const rest = groups.length - MOST_NAMED;
  const names = groups.slice(0, MOST_NAMED).join(', ');
  return `group ${names}${rest > 0 ? ` and ${rest} more` : ''}`;
}
