/** What a node tells Prometheus. */
import { collectDefaultMetrics, Gauge, type Registry } from 'prom-client';
import type { ExecutorStats, OracleClientStats, ShadowStats } from '../kv/index.ts';
import { type GroupStatus, Role } from '../raftengine/index.ts';
import type { AssembledNode } from './assemble.ts';
import type { HostedGroup } from './group-host.ts';

/** Registers everything; values are read when somebody asks. */
export function registerMetrics(registry: Registry, node: AssembledNode): void {
  collectDefaultMetrics({ register: registry });
  const ofGroups = (name: string, help: string, value: (group: HostedGroup) => number): void => {
    const gauge: Gauge = new Gauge({
      name,
      help,
      labelNames: ['group'],
      registers: [registry],
      collect() {
        // A group that is gone must not be shown with what it was last.
        gauge.reset();
        for (const group of node.host.all()) gauge.set({ group: String(group.groupId) }, value(group));
      },
    });
  };
  const raft = (name: string, help: string, value: (status: GroupStatus) => number): void =>
    ofGroups(`kvorum_raft_${name}`, help, (group) => value(group.raft.status()));
  raft('leader', 'Whether this node leads the group', ({ role }) => (role === Role.Leader ? 1 : 0));
  raft('term', 'Current term', ({ term }) => term);
  raft('commit_index', 'Highest index known to be committed', ({ commitIndex }) => commitIndex);
  raft('applied_index', 'Highest index applied here', ({ appliedIndex }) => appliedIndex);
  raft('log_entries', 'Entries held in the log', ({ lastIndex, firstIndex }) => lastIndex - firstIndex + 1);
  const executor = (name: string, help: string, value: (stats: ExecutorStats) => number): void =>
    ofGroups(`kvorum_group_${name}`, help, (group) => value(group.executor.stats()));
  executor('operations_total', 'Operations that this leader evaluated', ({ operations }) => operations);
  executor('entries_total', 'Log entries that this leader proposed', ({ entries }) => entries);
  executor('conflicts_total', 'Operations that were evaluated again after a conflict', ({ conflicts }) => conflicts);
  executor('waiting_operations', 'Operations that wait for room in flight', (stats) => stats.waitingOperations);

  ofGroups(
    'kvorum_group_clock_bound_ms',
    'Timestamps are issued below this time; 0 while none may be',
    (group) => group.executor.clock.bound,
  );
  ofGroups(
    'kvorum_group_authority_epoch',
    'Epoch of the authority over timestamps',
    (group) => group.stateMachine.authority.epoch,
  );

  const ofNode = (name: string, help: string, value: () => number): void => {
    const gauge: Gauge = new Gauge({ name, help, registers: [registry], collect: () => gauge.set(value()) });
  };
  ofNode('kvorum_replicas', 'Replicas on this node', () => node.host.all().length);
  ofNode('kvorum_routes_version', 'Version of the directory of ranges', () => node.routes.current.version);
  ofNode('kvorum_proxy_forwards_total', 'Requests sent on to leaders', () => node.kv.proxyStats().forwards);
  ofNode('kvorum_proxy_open_breakers', 'Groups whose leader does not answer', () => node.kv.proxyStats().openBreakers);
  ofNode('kvorum_proxy_held_back_total', 'Waits for an open breaker', () => node.kv.proxyStats().heldBack);
  ofNode('kvorum_proxy_over_budget_total', 'Repetitions put off', () => node.kv.proxyStats().overBudget);
  const oracle = (name: string, help: string, value: (stats: OracleClientStats) => number): void =>
    ofNode(`kvorum_oracle_${name}_total`, help, () => value(node.oracle.stats()));
  oracle('requests', 'Requests to the oracle', ({ requests }) => requests);
  oracle('timestamps', 'Timestamps that the oracle granted', ({ timestamps }) => timestamps);
  oracle('failures', 'Requests to the oracle that failed', ({ failures }) => failures);
  oracle('below_local', 'Grants that lay below the time of this node', ({ belowLocal }) => belowLocal);
  oracle('inversions', 'Grants that were not above an earlier answer', ({ inversions }) => inversions);
  const shadow = (name: string, help: string, value: (stats: ShadowStats) => number): void =>
    ofNode(`kvorum_oracle_shadow_${name}`, help, () => value(node.shadow.stats()));
  shadow('samples', 'Timestamps of the measured group', ({ samples }) => samples);
  shadow('below_local', 'Samples that lay below the time of this node', ({ belowLocal }) => belowLocal);
  shadow('behind_ms', 'Largest distance of a sample below the time of this node', ({ maxBehindMs }) => maxBehindMs);
  shadow('inversions', 'Samples that were not above an earlier one', ({ inversions }) => inversions);
}
