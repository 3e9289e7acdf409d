/**
 * Everything that one seed decides before a run starts: sizes, limits, workloads, and the faults with their times. A plan is
 * plain data, so that a failing one can be made smaller and run again.
 */

import type { GcTimes } from '../../../src/cluster/gc/node-gc.ts';
import type { MoveLimits } from '../../../src/cluster/moves/driver.ts';
import type { GroupsSetting } from '../../../src/config/index.ts';
import type { KvServiceOptions } from '../../../src/kv/service/service.ts';
import { SeededRandom } from '../../../src/platform/index.ts';
import type { EngineLimits } from '../../../src/raftengine/contract/limits.ts';
import type { StoreLimits } from '../../../src/store/contract/types.ts';

export const FAULTS = [
  'partition',
  'noise',
  'slowNode',
  'breakConnections',
  'pause',
  'crash',
  'crashAll',
  'diskFull',
  'diskError',
  'slowDisk',
  'clockJump',
  'clockDrift',
  'transfer',
  'membership',
  'lostDisk',
] as const;
/** Faults that take a node out of its groups for a while. */
const REPLACES: ReadonlySet<FaultKind> = new Set(['membership', 'lostDisk']);

export type FaultKind = (typeof FAULTS)[number];

export interface PlannedFault {
  readonly kind: FaultKind;
  readonly atMs: number;
  readonly lastsMs: number;
  /** Decides the details. */
  readonly seed: number;
}

/** One order of the operator who cuts, joins and carries ranges. */
export interface PlannedOrder {
  readonly atMs: number;
  /** Decides what is ordered, of whom and about which range. */
  readonly seed: number;
}

/** Ranges that are on the move during a run. */
export interface RoutesPlan {
  readonly orders: readonly PlannedOrder[];
  /** Groups are made and removed too. */
  readonly changesGroups: boolean;
  /** How many of all cuts are proposed at random bytes behind a key of many rows, instead of at a slot. */
  readonly cutsInObjects: number;
  readonly moves: Partial<MoveLimits>;
}

export interface Plan {
  readonly seed: number;
  readonly nodes: number;
  /** Groups that share the keys, beside the catalog's; 0: that one has them all. */
  readonly dataGroups: number;
  /** Groups one by one, for tests of a story; those above are then not made. */
  readonly groups?: GroupsSetting;
  /** How long clients work and faults happen, in simulated time. */
  readonly durationMs: number;
  readonly workloads: readonly string[];
  readonly clientsPerWorkload: number;
  /** Mean pause of a client between two operations. */
  readonly thinkMs: number;
  readonly faults: readonly PlannedFault[];
  readonly limits: Partial<EngineLimits>;
  readonly storeLimits: Partial<StoreLimits>;
  readonly segmentBytes: number;
  readonly logCacheBytes: number;
  /** How much slower than a good drive all disks are. */
  readonly diskSlowness: number;
  readonly retentionMs: number;
  readonly kv: Pick<KvServiceOptions, 'limits' | 'maintenance'>;
  readonly gc: GcTimes;
  /** How collections are laid out: as usual, or in pages so small that trees are deep. */
  readonly bodies: 'usual' | 'tiny';
  readonly commandTimeoutMs: number;
  /** Transactions touch keys wherever they are; otherwise keys of one transaction have one slot. */
  readonly crossesGroups: boolean;
  /** Wall clocks start up to this far from true time. */
  readonly maxSkewMs: number;
  /** That of the first node is so far off from the start, beside. */
  readonly misledMs: number;
  /** Undefined: nobody touches the ranges. */
  readonly routes?: RoutesPlan | undefined;
}

export interface PlanOptions {
  readonly nodes?: number | undefined;
  readonly dataGroups?: number | undefined;
  readonly durationMs?: number | undefined;
  readonly workloads?: readonly string[] | undefined;
  readonly faults?: readonly FaultKind[] | undefined;
  /** Whether transactions touch keys of several groups; undefined: the seed decides. */
  readonly crossing?: boolean | undefined;
  /** Whether ranges are on the move; undefined: the seed decides. */
  readonly routes?: boolean | undefined;
}

/** Workloads of which a run takes some; each keeps to its own keys, apart from the two that append to lists. */
export const WORKLOADS = [
  'register',
  'counter',
  'set',
  'append',
  'unique-ids',
  'queue',
  'ttl',
  'list-append',
  'rw-register',
  'bank',
  'write-skew',
  'long-fork',
] as const;

/** More workloads of runs in which ranges are on the move. */
export const ROUTE_WORKLOADS = ['flush', 'scan', ...WORKLOADS] as const;

const MISLED_MS = 3_600_000;

/** Clocks that are seconds apart are allowed to be: then every group goes by that of its leader. */
const TOLERANT = { clock: { maxForwardSkewMs: 21_000 } };

/** Reads from replicas, which are one more workload of some runs. */
export const REPLICA_WORKLOADS = ['bounded-reads', 'session-reads'] as const;

/** Pipelines that meet the locks of transactions over groups, which are one more workload of some runs with those. */
export const CROSSING_WORKLOADS = ['pipelines'] as const;

/** Hashes, lists, sets, sorted sets and streams, of which some runs have one or two besides. */
export const COLLECTION_WORKLOADS = [
  'hash-fields',
  'hash-counters',
  'members',
  'leaderboard',
  'list-queue',
  'blocking-queue',
  'list-transactions',
  'collection-bank',
  'stream-group',
  'script-register',
  'field-ttl',
] as const;

/** Clients that listen to messages, or to events of keys, which are one more workload of some runs. */
export const LISTENING_WORKLOADS = ['subscribers', 'key-events'] as const;

const COLLECTIONS: ReadonlySet<string> = new Set(COLLECTION_WORKLOADS);

/** Those whose transactions touch several keys. */
export const TRANSACTIONAL: ReadonlySet<string> = new Set([
  'list-append',
  'rw-register',
  'bank',
  'write-skew',
  'long-fork',
  'list-queue',
  'list-transactions',
  'collection-bank',
]);

export function drawPlan(seed: number, options: PlanOptions = {}): Plan {
  const random = new SeededRandom(seed).fork(77);
  const oneOf = <T>(...choices: T[]): T => choices[random.int(choices.length)]!;
  const nodes = oneOf(3, 3, 3, 5);
  const durationMs = 4000 + random.int(6000);
  const workloads = new Set<string>();
  for (let left = oneOf(1, 2, 2, 3); left > 0; left--) workloads.add(WORKLOADS[random.int(WORKLOADS.length)]!);
  if (workloads.has('list-append')) workloads.delete('append');
  const electionTimeoutMs = oneOf(300, 500, 1000);
  const dataGroups = (options.workloads ?? [...workloads]).some((name) => TRANSACTIONAL.has(name))
    ? oneOf(0, 1)
    : oneOf(0, 1, 2, 3);
  const clientsPerWorkload = oneOf(4, 8, 12);
  const tiny = random.next() < 0.6;
  const plan: Plan = {
    seed,
    nodes: options.nodes ?? nodes,
    dataGroups: options.dataGroups ?? dataGroups,
    durationMs: options.durationMs ?? durationMs,
    workloads: options.workloads ?? [...workloads],
    clientsPerWorkload,
    thinkMs: (clientsPerWorkload * workloads.size * 1000) / oneOf(20, 60, 120),
    limits: {
      tickMs: oneOf(20, 50),
      heartbeatMs: electionTimeoutMs / 5,
      electionTimeoutMs,
      leaseMarginMs: oneOf(0, electionTimeoutMs / 5),
      maxAppendBytes: oneOf(1, 200, 4096, 1024 * 1024),
      rotatesAppends: oneOf(false, true, true),
      maxInflightMessages: oneOf(1, 4, 256),
      maxInflightBytes: oneOf(300, 1024 * 1024),
      retainEntries: tiny ? oneOf(0, 2, 20) : 10_000,
      truncateIntervalMs: oneOf(100, 1000),
      maxApplyEntries: oneOf(1, 5, 256),
      maxPromoteLag: oneOf(4, 1024),
      snapshotRetryMs: 200,
      snapshotMaxRetryMs: 1000,
      snapshotTimeoutMs: 5000,
      snapshotIdleMs: 1500,
      snapshotKeepMs: 3000,
      snapshotsFromFollowers: seed % 2 === 1,
    },
    storeLimits: {
      inlineBytes: oneOf(4, 512),
      cacheBytes: oneOf(3000, 64 << 20),
      flushBytes: oneOf(600, 1 << 20),
      flushIntervalMs: oneOf(20, 200, 1000),
      bufferBytes: oneOf(4000, 32 << 20),
      scanPageBytes: oneOf(16, 8 << 20),
    },
    segmentBytes: oneOf(8 * 1024, 32 * 1024, 128 * 1024),
    diskSlowness: oneOf(1, 1, 30, 150),
    logCacheBytes: oneOf(0, 1000, 1 << 20),
    retentionMs: oneOf(500, 3000, 60_000),
    kv: {
      limits: { executor: { maxInflightEntries: oneOf(1, 3, 512), maxEntryBytes: oneOf(1, 100, 1 << 20) } },
      maintenance: {
        periodMs: oneOf(100, 1000),
        purgeBatchKeys: oneOf(1, 1000),
      },
    },
    gc: {
      safepoint: { stepMs: oneOf(500, 60_000), retryMs: 500, askMs: 500 },
      collector: { pauseMs: oneOf(1, 50), periodMs: 500 },
      lookMs: 500,
    },
    bodies: 'usual',
    commandTimeoutMs: oneOf(1000, 5000),
    crossesGroups: false,
    maxSkewMs: 2000,
    misledMs: 0,
    faults: [],
  };
  const drawn = { ...plan, faults: drawFaults(random, plan, options.faults) };
  const routes = new SeededRandom(seed).fork(78);
  const isDrawn = routes.next() < 0.5;
  const placed = (options.routes ?? (isDrawn && options.dataGroups !== 0)) ? withRoutes(drawn, options, routes) : drawn;
  const collected = withCollections(placed, options, new SeededRandom(seed).fork(81));
  return withParts(withMore(collected, options, new SeededRandom(seed).fork(79)), new SeededRandom(seed).fork(83));
}

/** The same plan, perhaps with commands that come in parts although they name little, a row or two a turn. */
function withParts(plan: Plan, random: SeededRandom): Plan {
  const draws = { takes: random.next(), mostNamedAtOnce: random.int(4), partRows: 1 + random.int(2) };
  if (draws.takes < 0.5) return plan;
  const { mostNamedAtOnce, partRows } = draws;
  const executor = { ...plan.kv.limits?.executor, mostNamedAtOnce, partRows };
  return { ...plan, kv: { ...plan.kv, limits: { ...plan.kv.limits, executor } } };
}

/** Collections have a thousand rows: with one in a page, and a rest behind each, a move would outlast every patience. */
const quickerPages = ({ pageBytes = 0, pageGapMs = 0 }: Partial<MoveLimits>): Partial<MoveLimits> => ({
  pageBytes: Math.max(pageBytes, 200),
  pageGapMs: Math.min(pageGapMs, 5),
});

/** The same plan, perhaps with workloads over collections besides. */
function withCollections(plan: Plan, options: PlanOptions, random: SeededRandom): Plan {
  const draws = { takes: random.next(), isTiny: random.next() < 0.7, cuts: random.next() };
  const chosen = new Set<string>();
  for (let left = 1 + random.int(2); left > 0; left--)
    chosen.add(COLLECTION_WORKLOADS[random.int(COLLECTION_WORKLOADS.length)]!);
  const added = options.workloads === undefined && draws.takes < 0.5 ? [...chosen] : [];
  const workloads = [...plan.workloads, ...added];
  if (!workloads.some((name) => COLLECTIONS.has(name))) return plan;
  return {
    ...plan,
    workloads,
    bodies: draws.isTiny ? 'tiny' : 'usual',
    routes: plan.routes && {
      ...plan.routes,
      cutsInObjects: draws.cuts * 0.5,
      moves: { ...plan.routes.moves, ...quickerPages(plan.routes.moves) },
    },
  };
}

/** The same plan, perhaps with transactions over several groups, with reads from replicas, and with clocks further apart. */
function withMore(plan: Plan, options: PlanOptions, random: SeededRandom): Plan {
  const draws = { crosses: random.next(), groups: 2 + random.int(2), reads: random.next(), skew: random.next() };
  const isTransactional = plan.workloads.some((name) => TRANSACTIONAL.has(name));
  const crossesGroups =
    options.crossing ?? (isTransactional && options.dataGroups === undefined && draws.crosses < 0.5);
  const kind = REPLICA_WORKLOADS[random.int(REPLICA_WORKLOADS.length)]!;
  const readsReplicas = options.workloads === undefined && draws.reads < 0.25;
  const pipelined = options.workloads === undefined && crossesGroups && random.next() < 0.3;
  const listening = new SeededRandom(plan.seed).fork(82);
  const listens = options.workloads === undefined && listening.next() < 0.15;
  const heard = LISTENING_WORKLOADS[listening.int(LISTENING_WORKLOADS.length)]!;
  const clocks = new SeededRandom(plan.seed).fork(80);
  return {
    ...plan,
    crossesGroups,
    dataGroups: crossesGroups ? (options.dataGroups ?? Math.max(plan.dataGroups, draws.groups)) : plan.dataGroups,
    workloads: [
      ...plan.workloads,
      ...(readsReplicas ? [kind] : []),
      ...(pipelined ? CROSSING_WORKLOADS : []),
      ...(listens ? [heard] : []),
    ],
    maxSkewMs: draws.skew < 0.3 ? 10_000 : draws.skew < 0.6 ? 200 : plan.maxSkewMs,
    kv: draws.skew < 0.15 ? { ...plan.kv, limits: { ...plan.kv.limits, ...TOLERANT } } : plan.kv,
    retentionMs: draws.skew < 0.15 ? 60_000 : plan.retentionMs,
    // One of two nodes cannot be outvoted before they have agreed once.
    misledMs: plan.nodes > 2 && clocks.next() < 0.2 ? (clocks.next() * 2 - 1) * MISLED_MS : 0,
  };
}

/** The same plan with several groups, and ranges that are on the move between them. */
function withRoutes(plan: Plan, options: PlanOptions, random: SeededRandom): Plan {
  const oneOf = <T>(...choices: T[]): T => choices[random.int(choices.length)]!;
  const workloads = new Set<string>();
  for (let left = oneOf(1, 2, 2, 3); left > 0; left--)
    workloads.add(ROUTE_WORKLOADS[random.int(ROUTE_WORKLOADS.length)]!);
  if (workloads.has('list-append')) workloads.delete('append');
  const meanGapMs = oneOf(60, 150, 400);
  const orders: PlannedOrder[] = [];
  for (let atMs = 200; atMs < plan.durationMs; atMs += random.next() * 2 * meanGapMs)
    orders.push({ atMs, seed: random.int(2 ** 31) });
  return {
    ...plan,
    dataGroups: options.dataGroups ?? oneOf(1, 2, 3),
    workloads: options.workloads ?? [...workloads],
    routes: {
      orders,
      // A node that is out of its groups could be a founder of the next one.
      changesGroups: !plan.faults.some(({ kind }) => REPLACES.has(kind)) && random.next() < 0.6,
      cutsInObjects: 0,
      moves: {
        pageBytes: oneOf(1, 200, 1 << 20),
        pageGapMs: oneOf(0, 5, 50),
        fenceBelowBytes: oneOf(0, 100, 64 * 1024),
        maxRounds: oneOf(3, 1000),
        fenceMs: oneOf(100, 1000),
        graceMs: oneOf(0, 200, 1500),
        forwardingPointerMs: oneOf(500, 60_000),
        sweepMs: 500,
        retryBaseMs: 20,
        retryCapMs: 500,
        maxJobs: oneOf(1, 8),
      },
    },
  };
}

function drawFaults(random: SeededRandom, plan: Plan, only: readonly FaultKind[] | undefined): PlannedFault[] {
  const chosen = [...(only ?? FAULTS.filter(() => random.next() < 0.5))];
  if (chosen.length === 0) return [];
  if (chosen.includes('partition')) chosen.push('partition', 'partition');
  if (chosen.includes('crashAll')) chosen.push('crashAll');
  const meanGapMs = [400, 1000, 2000][random.int(3)]!;
  const faults: PlannedFault[] = [];
  for (let atMs = 300 + random.int(1000); atMs < plan.durationMs; atMs += random.next() * 2 * meanGapMs) {
    faults.push({
      kind: chosen[random.int(chosen.length)]!,
      atMs,
      lastsMs: random.next() * random.next() * 5000,
      seed: random.int(2 ** 31),
    });
  }
  return faults;
}
