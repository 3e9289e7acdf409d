/** When a node may be given clients. */
import type { Readiness } from '../adapter/metrics/index.ts';
import { offsetText } from '../cluster/index.ts';
import type { ClusterState, RouteEngine } from '../distribution/index.ts';
import type { NodeClock } from '../kv/index.ts';
import { type Clock, type GroupId, type Millis, type NodeId, type Scheduler, sleep } from '../platform/index.ts';
import type { GroupHost, HostedGroup } from './group-host.ts';
import type { FolderStanding } from './standing.ts';

export type { Readiness } from '../adapter/metrics/index.ts';

export interface ReadinessFacts {
  readonly self: NodeId;
  readonly routes: RouteEngine;
  /** Groups that were made while the cluster runs are in it. */
  readonly clusterState: ClusterState | undefined;
  readonly host: GroupHost;
  readonly clock: Pick<NodeClock, 'status'>;
  readonly standing: FolderStanding;
  /** See `NodeParts`. */
  readonly unknownToClients: string | undefined;
  /** Whether writes of a group are let in, and why not. */
  readonly admissionOf: (group: GroupId) => { readonly level: string; readonly reason: string };
}

/** What says whether the node knows what it needs for serving clients. */
type KnowledgeFacts = Pick<ReadinessFacts, 'self' | 'routes' | 'clusterState' | 'host' | 'unknownToClients'>;

const MOST_NAMED = 5;
/** Between two looks whether a node that starts can serve. */
const LOOK_MS: Millis = 10;
/** One that cannot after this takes its clients all the same: they wait with it, and hear why. */
const MOST_MS: Millis = 5_000;

/**
 * Ready means: this node knows who owns what, has the replicas that it should have, each of them knows its leader, it knows who
 * may come in, and its disk takes what is written.
 */
export function readinessOf(facts: ReadinessFacts): Readiness {
  const { host, standing } = facts;
  const details = [...host.all().map((group) => detailOf(facts, group)), ...standing.details()];
  const verdict = verdictOf(facts);
  const standingReason = standing.reason();
  if (standing.isOver) return { ready: false, reason: standingReason ?? verdict.reason, details };
  const because = verdict.ready || standingReason === undefined ? '' : `: ${standingReason}`;
  return { ready: verdict.ready, reason: `${verdict.reason}${because}`, details };
}

/**
 * Settles when a node that starts knows what it needs for serving clients, or is not to wait for it any longer. Until then a client is better off with
 * another node.
 * @param facts as they are whenever it is called
 * @param signal ends the waiting
 */
export async function untilServing(
  facts: () => KnowledgeFacts & Pick<ReadinessFacts, 'standing'>,
  clock: Pick<Clock, 'monotonicMs'>,
  scheduler: Scheduler,
  signal: AbortSignal | undefined,
): Promise<void> {
  const untilMs = clock.monotonicMs() + MOST_MS;
  for (;;) {
    const now = facts();
    const isOver = signal?.aborted === true || now.standing.isOver || clock.monotonicMs() >= untilMs;
    if (isOver || unknownYet(now) === undefined) return;
    await sleep(scheduler, LOOK_MS, signal);
  }
}

/** What a node does not know yet without which it cannot serve. */
function unknownYet({ self, routes, clusterState, host, unknownToClients }: KnowledgeFacts): string | undefined {
  if (routes.current.version === 0) return 'the directory of ranges is not known yet';
  const missing = (clusterState?.groups ?? []).filter(
    ({ id, state, founders }) => state === 'ACTIVE' && founders.includes(self) && host.get(id) === undefined,
  );
  if (missing.length > 0) return `no replica is open yet of ${named(missing.map(({ id }) => id))}`;
  const leaderless = host.all().filter(({ raft }) => raft.leader() === undefined);
  if (leaderless.length > 0) return `no leader is known of ${named(leaderless.map(({ groupId }) => groupId))}`;
  return unknownToClients;
}

function verdictOf(facts: ReadinessFacts): Pick<Readiness, 'ready' | 'reason'> {
  const { host, clock } = facts;
  const notYet = (reason: string): Pick<Readiness, 'ready' | 'reason'> => ({ ready: false, reason });
  const unknown = unknownYet(facts);
  if (unknown !== undefined) return notYet(unknown);
  const full = host.all().filter(({ store }) => store.pressures?.().isOutOfSpace === true);
  if (full.length > 0) {
    return notYet(
      `the disk is full: reads go on, writes wait for room in ${named(full.map(({ groupId }) => groupId))}`,
    );
  }
  const { offsetMs, errorMs, isOff } = clock.status();
  // It serves: by the time of the others, and without leading where they can.
  const off = isOff
    ? `, but its clock is ${offsetText({ clockOffsetMs: offsetMs, clockErrorMs: errorMs })}: set it`
    : '';
  return { ready: true, reason: `ready${off}` };
}

/** One line about a replica. */
function detailOf({ self, admissionOf }: ReadinessFacts, { groupId, raft, executor }: HostedGroup): string {
  const { role, leader, leaseRemainingMs, commitIndex, appliedIndex } = raft.status();
  const lag = commitIndex - appliedIndex;
  const { level, reason } = admissionOf(groupId);
  const held = level === 'ok' ? '' : `, writes ${level === 'slow' ? 'slowed' : 'refused'}: ${reason}`;
  const behind = `${lag > 0 ? `, ${lag} entries to apply` : ''}${held}`;
  if (leader !== self)
    return `group ${groupId}: ${role} of ${leader === undefined ? 'nobody' : `node ${leader}`}${behind}`;
  const lease = leaseRemainingMs > 0 ? 'with a lease' : 'without a lease';
  return `group ${groupId}: led here ${lease}${executor.isServing ? '' : ', not yet serving'}${behind}`;
}

function named(groups: readonly number[]): string {
  const rest = groups.length - MOST_NAMED;
  const names = groups.slice(0, MOST_NAMED).join(', ');
  return `group ${names}${rest > 0 ? ` and ${rest} more` : ''}`;
}
