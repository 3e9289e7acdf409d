/** Which tests run together: the quick suite that every change must pass, and the full one that takes hours. */
import { workloads } from './workloads/index.ts';

export interface SuiteEntry {
  readonly workload: string;
  readonly nemeses: readonly string[];
  readonly seconds: number;
  readonly rate?: number;
  readonly concurrency?: number;
  /** Data groups beside the catalog's; one group for everything unless given. */
  readonly groups?: number;
  /** As many as the command line says unless given. */
  readonly nodes?: number;
  /** Faults in force at once; 1 unless given. */
  readonly overlap?: number;
  /** How long each fault lasts; a few seconds unless given. */
  readonly faultSeconds?: number;
}

/** Workloads that only the full suite runs: what they look at has another one in the quick suite. */
export const leftToFullSuite: readonly string[] = ['dynamo-bank', 'dynamo-counter'];

/** Every other workload once, each under faults that have caught it out elsewhere; about eight minutes in all. */
export const quickSuite: readonly SuiteEntry[] = [
  { workload: 'register', nemeses: ['kill', 'partition'], seconds: 11 },
  { workload: 'counter', nemeses: ['kill-leader', 'route-shuffle'], seconds: 9, overlap: 2, groups: 3 },
  {
    workload: 'set',
    nemeses: ['kill-leader', 'membership-churn'],
    seconds: 12,
    overlap: 2,
    groups: 1,
    faultSeconds: 6,
  },
  { workload: 'append', nemeses: ['partition-one-way', 'route-shuffle'], seconds: 8, overlap: 2, groups: 3 },
  { workload: 'append-wide', nemeses: ['transfer'], seconds: 8, groups: 3 },
  { workload: 'unique-ids', nemeses: ['pause-leader', 'route-shuffle'], seconds: 8, overlap: 2, groups: 3 },
  { workload: 'queue', nemeses: ['pause', 'network'], seconds: 8 },
  { workload: 'ttl', nemeses: ['clock-far', 'kill-leader'], seconds: 9, groups: 3 },
  { workload: 'list-append', nemeses: ['kill', 'pause', 'partition'], seconds: 11, groups: 3 },
  { workload: 'rw-register', nemeses: ['clock-far', 'partition'], seconds: 9, groups: 3 },
  { workload: 'bank', nemeses: ['kill', 'route-shuffle'], seconds: 9, overlap: 2, groups: 3 },
  { workload: 'write-skew', nemeses: ['partition', 'disk'], seconds: 8 },
  { workload: 'long-fork', nemeses: ['pause', 'network'], seconds: 8, groups: 3 },
  { workload: 'bounded-reads', nemeses: ['kill-leader', 'clock', 'partition-halves'], seconds: 14, groups: 3 },
  { workload: 'session-reads', nemeses: ['pause', 'partition'], seconds: 8, groups: 3 },
  { workload: 'pipelines', nemeses: ['kill-leader', 'route-shuffle'], seconds: 9, overlap: 2, groups: 3 },
  { workload: 'hash-fields', nemeses: ['kill-leader', 'route-shuffle'], seconds: 8, overlap: 2, groups: 3 },
  { workload: 'hash-counters', nemeses: ['planned'], seconds: 8, overlap: 2, groups: 3 },
  { workload: 'members', nemeses: ['pause', 'route-shuffle'], seconds: 8, overlap: 2, groups: 3 },
  { workload: 'leaderboard', nemeses: ['kill', 'partition-halves'], seconds: 8, groups: 3 },
  { workload: 'list-queue', nemeses: ['kill-leader', 'network'], seconds: 8, groups: 3 },
  {
    workload: 'blocking-queue',
    nemeses: ['kill-leader', 'pause', 'route-shuffle'],
    seconds: 9,
    overlap: 2,
    groups: 3,
  },
  { workload: 'stream-group', nemeses: ['kill-leader', 'route-shuffle'], seconds: 8, overlap: 2, groups: 3 },
  { workload: 'list-transactions', nemeses: ['kill', 'route-shuffle'], seconds: 8, overlap: 2, groups: 3 },
  { workload: 'collection-bank', nemeses: ['kill', 'route-shuffle'], seconds: 8, overlap: 2, groups: 3 },
  { workload: 'subscribers', nemeses: ['network-slow', 'kill'], seconds: 12, groups: 3 },
  { workload: 'key-events', nemeses: ['kill-leader', 'route-shuffle'], seconds: 8, overlap: 2, groups: 3 },
  { workload: 'field-ttl', nemeses: ['kill-leader', 'route-shuffle'], seconds: 8, overlap: 2, groups: 3 },
  { workload: 'script-register', nemeses: ['kill', 'route-shuffle'], seconds: 8, overlap: 2, groups: 3 },
  { workload: 'dynamo-list-append', nemeses: ['kill', 'partition'], seconds: 8, groups: 3 },
  { workload: 'dynamo-index', nemeses: ['kill-leader', 'table-shuffle'], seconds: 8, overlap: 2, groups: 3 },
  { workload: 'dynamo-stream', nemeses: ['pause', 'table-shuffle'], seconds: 8, overlap: 2, groups: 3 },
];

/**
 * Every n-th entry of a suite, so that two changes in a row may share one between them.
 * @param part `k/n`: from the k-th entry on, counted from 1
 * @throws Error when it is not like that
 */
export function partOf(suite: readonly SuiteEntry[], part: string): readonly SuiteEntry[] {
  const [, first, count] = /^([1-9]\d*)\/([1-9]\d*)$/.exec(part) ?? [];
  if (first === undefined || Number(first) > Number(count))
    throw new Error(`${part} is no part of a suite; it is like 1/2, at most 2/2`);
  return suite.filter((_, at) => at % Number(count) === Number(first) - 1);
}

/** Those of hashes, lists, sets and sorted sets, which a move has to carry whole. */
const COLLECTIONS = [
  'hash-fields',
  'hash-counters',
  'members',
  'leaderboard',
  'list-queue',
  'blocking-queue',
  'stream-group',
  'field-ttl',
  'script-register',
];

/** Those of tables of DynamoDB. */
const TABLES = ['dynamo-bank', 'dynamo-list-append', 'dynamo-counter', 'dynamo-index', 'dynamo-stream'];

/** What release 0.1.0 serves too. */
const RELEASED = ['register', 'counter', 'set', 'append', 'unique-ids', 'ttl'];

/** Planned work that is in progress while things break: a node more, so that a drained one has where to give its replicas. */
const PLANNED: readonly SuiteEntry[] = [
  ...['register', 'set', 'bank', 'list-append', 'hash-counters', 'dynamo-list-append'].flatMap((workload) =>
    ['kill', 'partition', 'pause'].flatMap((fault) => [
      { workload, nemeses: [fault, 'backup'], seconds: 180, overlap: 2, groups: 3 },
      { workload, nemeses: [fault, 'archive'], seconds: 180, overlap: 2, groups: 3 },
      {
        workload,
        nemeses: [fault, 'drain', 'archive'],
        seconds: 180,
        overlap: 3,
        groups: 3,
        nodes: 4,
        faultSeconds: 10,
      },
      { workload, nemeses: [fault, 'drain'], seconds: 180, overlap: 2, groups: 3, nodes: 4, faultSeconds: 10 },
    ]),
  ),
  ...RELEASED.flatMap((workload) =>
    [['upgrade'], ['kill', 'upgrade'], ['partition', 'upgrade'], ['pause', 'upgrade']].map((nemeses) => ({
      workload,
      nemeses,
      seconds: 120,
      overlap: nemeses.length,
      groups: 2,
    })),
  ),
];

/** Every workload under every family of faults and under all of them together; those of single keys also while ranges move. */
export const fullSuite: readonly SuiteEntry[] = Object.keys(workloads)
  .flatMap((workload): SuiteEntry[] =>
    [['kill'], ['pause'], ['partition'], ['network'], ['clock'], ['disk'], ['transfer'], ['planned'], ['all']].map(
      (nemeses) => ({
        workload,
        nemeses,
        seconds: 180,
      }),
    ),
  )
  .concat(
    [...['register', 'counter', 'set', 'append', 'queue', 'ttl', 'unique-ids'], ...COLLECTIONS].flatMap((workload) =>
      [
        ['kill', 'routes'],
        ['partition', 'routes'],
        ['pause', 'routes'],
        ['transfer', 'routes'],
      ].map((nemeses) => ({
        workload,
        nemeses,
        seconds: 180,
        overlap: 2,
        groups: 3,
      })),
    ),
  )
  .concat(
    TABLES.flatMap((workload) =>
      [
        ['kill', 'tables'],
        ['partition', 'tables'],
        ['pause', 'tables'],
        ['transfer', 'tables'],
      ].map((nemeses) => ({ workload, nemeses, seconds: 180, overlap: 2, groups: 3 })),
    ),
  )
  .concat(
    ['register', 'append', 'set', 'bank', 'list-append', 'queue'].flatMap((workload) =>
      [
        ['kill', 'membership-churn'],
        ['partition', 'membership-churn'],
        ['pause', 'membership-churn'],
        ['membership-empty-voter'],
      ].map((nemeses) => ({
        workload,
        nemeses,
        seconds: 180,
        overlap: nemeses.length,
        groups: 2,
        faultSeconds: 10,
      })),
    ),
  )
  .concat(PLANNED);
