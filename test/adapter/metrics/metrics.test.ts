import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Registry } from 'prom-client';
import { MAX_LABELLED_GROUPS } from '../../../src/adapter/metrics/group-metrics.ts';
import {
  ALL_METRICS,
  type GroupFacts,
  GrpcCounters,
  type MetricSources,
  registerMetrics,
} from '../../../src/adapter/metrics/index.ts';
import { CommandCounters } from '../../../src/adapter/redis/command/counters.ts';
import { Messages } from '../../../src/adapter/redis/messages/index.ts';
import { ReadCounters } from '../../../src/kv/contract/read-counters.ts';
import { ForwardCounters } from '../../../src/kv/forward/forward-counters.ts';
import { TxnCounters } from '../../../src/kv/txn/counters.ts';
import { BucketCounts, DiskCounters, groupId, NetworkCounters, nodeId } from '../../../src/platform/index.ts';
import { EngineCounters } from '../../../src/raftengine/contract/counters.ts';
import { StoreActivity } from '../../../src/store/level/activity.ts';
import { parseExposition } from '../../monitoring/exposition.ts';

const group = (id: number, facts: { lag?: number; waiting?: number } = {}): GroupFacts => ({
  groupId: groupId(id),
  status: {
    groupId: groupId(id),
    nodeId: nodeId(1),
    role: 'leader',
    term: 3,
    leader: nodeId(1),
    commitIndex: 90,
    appliedIndex: 88,
    firstIndex: 10,
    lastIndex: 100,
    conf: { voters: [nodeId(1), nodeId(2)], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false },
    leaseRemainingMs: 250,
    progress: [
      { nodeId: nodeId(1), matchIndex: 0, nextIndex: 1, state: 'replicate', isLearner: false, recentlyActive: true },
      {
        nodeId: nodeId(2),
        matchIndex: 100 - (facts.lag ?? 0),
        nextIndex: 101,
        state: 'replicate',
        isLearner: false,
        recentlyActive: true,
      },
    ],
  },
  executor: {
    operations: 7,
    entries: 2,
    conflicts: 1,
    inflightEntries: 0,
    inflightBytes: 0,
    waitingOperations: facts.waiting ?? 0,
    keyWaiters: 0,
  },
  clockBoundMs: 1_700_000_000_500,
  authorityEpoch: 0,
  locks: 2,
  pressures: undefined,
  admissionLevel: 'ok',
  refusals: 1,
  keyRefusals: 0,
  gcThresholdMs: 0,
});

function sources(groups: readonly GroupFacts[]): MetricSources {
  const set = new CommandCounters();
  for (const ms of [0.1, 0.3, 700, 99_000]) set.latencyMs.observe(ms);
  set.errors = 1;
  return {
    version: '1.2.3',
    nowMs: 0,
    isReady: true,
    groups,
    awakeGroups: groups.length,
    engine: new EngineCounters(),
    network: new NetworkCounters(),
    logDisk: new DiskCounters(),
    store: new StoreActivity(),
    diskFreeBytes: undefined,
    diskReserveBytes: 0,
    overhangLimitBytes: 0,
    storeLevels: [],
    storeMemoryBytes: 0,
    memoryLimitBytes: 0,
    ownMemoryBytes: 0,
    encryption: undefined,
    heldTurns: new Map([['xack', { turns: 3, processorMs: 400, longestMs: 200 }]]),
    clock: { offsetMs: 600_000, errorMs: 2, isOff: true, peers: [1, 2] },
    clockLeadMs: -20,
    routes: { version: 5, count: 9, lookups: 11 },
    watch: {
      version: 5,
      mode: 'local',
      connectedTo: undefined,
      lastBeat: undefined,
      resets: 0,
      failures: 0,
      lastProblem: undefined,
    },
    jobs: undefined,
    backups: { everyMs: 3_600_000, lastMs: 1_000, isRunning: false, isFailing: true, archive: undefined },
    proxy: {
      counters: new ForwardCounters(),
      pending: 0,
      breakers: 3,
      forwards: 0,
      openBreakers: 1,
      breakerOpens: 2,
      probes: 0,
      heldBack: 0,
      overBudget: 0,
    },
    txn: new TxnCounters(),
    reads: {
      counters: new ReadCounters(),
      ...{ served: 0, forwarded: 0, lockRedirects: 0, indexRounds: 0, pointRounds: 0, pointReads: 0 },
    },
    oracle: { requests: 0, timestamps: 0, failures: 0, belowLocal: 0, inversions: 0 },
    shadow: { samples: 0, failures: 0, belowLocal: 0, maxBehindMs: 0, inversions: 0 },
    dynamodb: {
      operations: [{ operation: 'GetItem', calls: 3, latencyMs: new BucketCounts() }],
      exceptions: new Map([['ValidationException', 2]]),
      connections: 1,
      receivedBytes: 10,
      sentBytes: 20,
    },
    redis: {
      stats: {
        connectionsReceived: 0,
        connectionsRejected: 0,
        commandsProcessed: 0,
        inputBytes: 0,
        outputBytes: 0,
        errorReplies: 0,
        forwardedRequests: 0,
      },
      connections: 2,
      messages: new Messages().counters,
      commands: [{ name: 'set', counters: set }],
    },
    grpc: new GrpcCounters(),
  } as MetricSources;
}

async function scrape(read: () => MetricSources) {
  const registry = new Registry();
  registerMetrics(registry, read);
  const families = parseExposition(await registry.metrics());
  const value = (name: string, labels: Readonly<Record<string, string>> = {}): number | undefined => {
    const family = [...families.values()].find((each) => each.series.some((series) => series.name === name));
    return family?.series.find(
      (series) =>
        series.name === name && Object.entries(labels).every(([label, text]) => series.labels[label] === text),
    )?.value;
  };
  return { registry, families, value };
}

describe('every metric', () => {
  test('has a name of its own that says its unit, as Prometheus wants it', () => {
    assert.equal(new Set(ALL_METRICS.map(({ name }) => name)).size, ALL_METRICS.length);
    for (const { name, type, help, labels } of ALL_METRICS) {
      assert.match(name, /^kvorum_[a-z]+(_[a-z]+)*$/);
      assert.equal(name.endsWith('_total'), type === 'counter', name);
      assert.doesNotMatch(name, /_(?:ms|milliseconds|kb|mb|count|bucket|sum)(?:_|$)/);
      assert.match(help, /^[A-Z]/, name);
      assert.ok(!help.includes('\n') && !help.includes('|'), name);
      for (const label of labels) assert.match(label, /^[a-z]+$/, name);
    }
  });

  test('is made from one reading of the node a scrape', async () => {
    let readings = 0;
    const { registry } = await scrape(() => {
      readings++;
      return sources([group(1)]);
    });
    assert.equal(readings, 1);
    await registry.metrics();
    assert.equal(readings, 2);
  });
});

describe('a scrape', () => {
  test('shows histograms cumulatively, in seconds, with what is beyond the last bound', async () => {
    const { value } = await scrape(() => sources([]));
    const name = 'kvorum_redis_command_duration_seconds';
    const bucket = (le: string): number | undefined => value(`${name}_bucket`, { command: 'set', le });
    assert.deepEqual(
      [bucket('0.00025'), bucket('0.0005'), bucket('0.5'), bucket('1'), bucket('10'), bucket('+Inf')],
      [1, 2, 2, 3, 3, 4],
    );
    assert.equal(value(`${name}_count`), 4);
    assert.ok(Math.abs(value(`${name}_sum`)! - 99.7004) < 1e-9);
    assert.equal(value('kvorum_redis_commands_total', { command: 'set' }), 4);
    assert.equal(value('kvorum_redis_command_errors_total', { command: 'set' }), 1);
  });

  test('has series of the first hundred groups, and the worst and the sum of all', async () => {
    const many = Array.from({ length: 1000 }, (_, at) => group(at + 1, at === 999 ? { lag: 77, waiting: 5 } : {}));
    const { families, value } = await scrape(() => sources(many));
    const total = [...families.values()].reduce((sum, { series }) => sum + series.length, 0);
    assert.equal(families.get('kvorum_raft_term')!.series.length, MAX_LABELLED_GROUPS);
    assert.ok(total < 2500, `${total} series`);
    assert.equal(value('kvorum_groups_unlabelled'), 900);
    assert.equal(value('kvorum_groups'), 1000);
    assert.equal(value('kvorum_groups_led'), 1000);
    assert.equal(value('kvorum_raft_largest_follower_lag_entries'), 77);
    assert.equal(value('kvorum_raft_largest_apply_lag_entries'), 2);
    assert.equal(value('kvorum_waiting_operations'), 5);
    assert.equal(value('kvorum_txn_locks'), 2000);
  });

  test('forgets a group that is gone', async () => {
    let groups = [group(1), group(2)];
    const { registry } = await scrape(() => sources(groups));
    groups = [group(2)];
    assert.doesNotMatch(await registry.metrics(), /\{group="1"\}/);
  });

  test('shows the node itself, its clock, its breakers and its directory', async () => {
    const { value } = await scrape(() => sources([group(1)]));
    assert.equal(value('kvorum_build_info', { version: '1.2.3' }), 1);
    assert.equal(value('kvorum_ready'), 1);
    assert.equal(value('kvorum_clock_lead_seconds'), -0.02);
    assert.equal(value('kvorum_clock_offset_seconds'), 600);
    assert.equal(value('kvorum_clock_offset_error_seconds'), 0.002);
    assert.equal(value('kvorum_clock_off'), 1);
    assert.equal(value('kvorum_clock_peers'), 2);
    assert.equal(value('kvorum_clock_ceiling_seconds', { group: '1' }), 1_700_000_000.5);
    assert.equal(value('kvorum_raft_lease_seconds', { group: '1' }), 0.25);
    assert.equal(value('kvorum_proxy_breakers', { state: 'open' }), 1);
    assert.equal(value('kvorum_proxy_breakers', { state: 'closed' }), 2);
    assert.equal(value('kvorum_routes_watch', { mode: 'local' }), 1);
    assert.equal(value('kvorum_catalog_leader'), 0);
    assert.ok(value('process_cpu_seconds_total')! > 0);
  });
});
