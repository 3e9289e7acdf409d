import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BalanceScheduler, DEFAULT_BALANCE_TIMES, KEPT_REPORTS } from '../../../src/cluster/balance/scheduler.ts';
import type { BalanceInputs, BalanceOutputs, BalanceReport } from '../../../src/cluster/contract/balance.ts';
import type { BalanceAction, GroupPlacement } from '../../../src/distribution/balance/actions.ts';
import type { ClusterWindow } from '../../../src/distribution/balance/load-window.ts';
import type { ClusterState } from '../../../src/distribution/contract/cluster-types.ts';
import { RouteTable } from '../../../src/distribution/routes/route-table.ts';
import {
  detailOf,
  documentWith,
  GIB,
  loadOf,
  MINUTE_MS,
  nodes,
  placement,
  tableOf,
  windowOf,
} from '../../distribution/balance/views.ts';
import { bytes, group } from '../../distribution/builders.ts';
import { ManualClock, ManualScheduler } from '../../support/manual-time.ts';

/** A cluster whose outputs wait to be settled. */
class Stage {
  readonly clock = new ManualClock(0, 0);
  readonly scheduler = new ManualScheduler(this.clock);
  isLeading = true;
  clusterState: ClusterState = documentWith();
  routes: RouteTable = RouteTable.empty(1);
  windows: ClusterWindow[] = [];
  groups: GroupPlacement[] = [];
  live = nodes(1, 2, 3, 4);
  rangeBytes = new Map<number, number>();
  readonly begun: BalanceAction[] = [];
  readonly reports: BalanceReport[] = [];
  private readonly settle: { readonly done: () => void; readonly fail: (error: Error) => void }[] = [];
  readonly balancer: BalanceScheduler;

  constructor() {
    const inputs: BalanceInputs = {
      clusterState: () => this.clusterState,
      routes: () => this.routes,
      windows: () => this.windows,
      groupStatus: () => this.groups,
      liveNodes: () => this.live,
      rangeBytes: () => this.rangeBytes,
    };
    const begin = (action: BalanceAction): Promise<void> => {
      this.begun.push(action);
      return new Promise((done, fail) => this.settle.push({ done, fail }));
    };
    const outputs: BalanceOutputs = {
      split: begin,
      merge: begin,
      transferLeader: begin,
      changeMembership: begin,
      move: begin,
      report: (report) => this.reports.push(report),
    };
    this.balancer = new BalanceScheduler({
      clock: this.clock,
      scheduler: this.scheduler,
      inputs,
      outputs,
      catalogGroup: group(1),
      isLeading: () => this.isLeading,
    });
    this.balancer.start();
  }

  /** Three groups on nodes 1 to 3, all led by node 1. */
  static crowded(settings: Record<string, string>): Stage {
    const stage = new Stage();
    const groups = [1, 2, 3].map((id) => [id, 1, 2, 3]);
    stage.clusterState = documentWith({ groups, settings });
    stage.groups = groups.map(([id, ...voters]) => placement(id!, voters));
    return stage;
  }

  /** One range that was hot in every window since the start. */
  static hot(settings: Record<string, string>): Stage {
    const stage = new Stage();
    stage.clusterState = documentWith({ settings });
    stage.routes = tableOf(['m']);
    stage.heat(0, 10);
    return stage;
  }

  heat(from: number, count: number): void {
    const load = loadOf(this.routes, 'c', 60_000, { detail: detailOf() });
    this.windows = Array.from({ length: count }, (_, at) => windowOf(from + at, [load]));
  }

  finish(error?: Error): void {
    const { done, fail } = this.settle.shift()!;
    if (error === undefined) done();
    else fail(error);
  }

  said(duty: string): string[] {
    return this.reports.filter((report) => report.duty === duty).map((report) => report.event);
  }
}

const OFF = { 'balance.leaders': 'off', 'balance.size': 'off', autosplit: 'off', automerge: 'off' };
const LEADERS = { ...OFF, 'balance.leaders': 'on' };

describe('the balance scheduler', () => {
  test('does nothing while another node leads, and waits for a while in each leadership', async () => {
    const stage = Stage.crowded(LEADERS);
    stage.isLeading = false;
    await stage.scheduler.advanceSettling(600_000);
    stage.isLeading = true;
    await stage.scheduler.advanceSettling(30_000);
    assert.deepEqual(stage.begun, []);
    stage.isLeading = false;
    await stage.scheduler.advanceSettling(1_000);
    stage.isLeading = true;
    await stage.scheduler.advanceSettling(30_000);
    assert.deepEqual(stage.begun, []);
    await stage.scheduler.advanceSettling(2_000);
    assert.equal(stage.begun.length, 1);
  });

  test('transfers one leader at a time, and leaves the group alone for a while', async () => {
    const stage = Stage.crowded(LEADERS);
    await stage.scheduler.advanceSettling(120_000);
    assert.equal(stage.begun.length, 1);
    stage.finish();
    await stage.scheduler.advanceSettling(1_000);
    // The group's status is slow: it still says that node 1 leads. The next transfer is of another group.
    await stage.scheduler.advanceSettling(15_000);
    assert.deepEqual(
      stage.begun.map((action) => action.kind === 'transferLeader' && [action.group, action.to]),
      [
        [2, 2],
        [3, 2],
      ],
    );
    assert.deepEqual(stage.said('balance.leaders'), ['begun', 'done', 'begun']);
  });

  test('says in observe mode what it would do, once, and does it when the switch is turned', async () => {
    const stage = Stage.crowded({ ...OFF, 'balance.leaders': 'observe' });
    await stage.scheduler.advanceSettling(300_000);
    assert.deepEqual([stage.begun, stage.said('balance.leaders')], [[], ['observed']]);
    assert.equal(stage.reports[0]?.action?.kind, 'transferLeader');
    assert.match(stage.reports[0]!.text, /node 1 leads 3 groups/);
    stage.clusterState = { ...stage.clusterState, settings: documentWith({ settings: LEADERS }).settings };
    await stage.scheduler.advanceSettling(31_000);
    assert.equal(stage.begun.length, 1);
  });

  test('says nothing and does nothing about what is switched off', async () => {
    const stage = Stage.hot({ ...OFF });
    await stage.scheduler.advanceSettling(600_000);
    assert.deepEqual([stage.begun, stage.reports], [[], []]);
  });

  test('cuts a hot range when three windows of its own leadership show it', async () => {
    const stage = Stage.hot({ ...OFF, autosplit: 'on' });
    stage.isLeading = false;
    await stage.scheduler.advanceSettling(8 * MINUTE_MS);
    stage.isLeading = true;
    await stage.scheduler.advanceSettling(2 * MINUTE_MS);
    assert.deepEqual(stage.said('autosplit'), ['idle']);
    stage.heat(6, 6);
    await stage.scheduler.advanceSettling(2 * MINUTE_MS);
    const [action] = stage.begun;
    assert.ok(action?.kind === 'split' && stage.begun.length === 1);
    assert.deepEqual([action.routeId, action.keys], [2, [bytes('c')]]);
  });

  test('rests for minutes after a replica was moved, until nodes have said what they hold', async () => {
    const stage = new Stage();
    const groups = [2, 3].map((id) => [id, 1, 2, 3]);
    stage.clusterState = documentWith({
      groups,
      settings: { ...OFF, 'balance.size': 'on' },
      nodeBytes: { 1: 10 * GIB, 2: 10 * GIB, 3: 10 * GIB, 4: 0 },
    });
    stage.groups = groups.map(([id, ...voters]) => placement(id!, voters, { bytes: 3 * GIB }));
    await stage.scheduler.advanceSettling(302_000);
    assert.equal(stage.begun.length, 1);
    stage.finish();
    await stage.scheduler.advanceSettling(295_000);
    assert.equal(stage.begun.length, 1);
    await stage.scheduler.advanceSettling(70_000);
    assert.equal(stage.begun.length, 2);
  });

  test('asks less and less often when actions fail', async () => {
    const stage = Stage.crowded(LEADERS);
    const failedAt: number[] = [];
    for (let turn = 0; turn < 1_500; turn++) {
      await stage.scheduler.advanceSettling(1_000);
      if (failedAt.length < stage.begun.length) {
        failedAt.push(stage.clock.nowMs());
        stage.finish(new Error('target lags'));
      }
    }
    const gaps = failedAt.slice(1).map((at, index) => at - failedAt[index]!);
    assert.ok(gaps.length >= 4 && gaps.length <= 8, gaps.join());
    assert.ok(gaps.at(-1)! >= 400_000);
    assert.match(stage.reports.find((report) => report.event === 'failed')!.text, /target lags$/);
  });

  test('stops waiting for an action without an outcome, and ignores the outcome that comes too late', async () => {
    const stage = Stage.crowded(LEADERS);
    await stage.scheduler.advanceSettling(60_000);
    await stage.scheduler.advanceSettling(DEFAULT_BALANCE_TIMES.actionLimitMs + 40_000);
    assert.deepEqual(stage.said('balance.leaders'), ['begun', 'overdue', 'begun']);
    stage.finish(new Error('late'));
    await stage.scheduler.advanceSettling(1_000);
    assert.deepEqual(stage.said('balance.leaders'), ['begun', 'overdue', 'begun']);
  });

  test('forgets an action of an earlier leadership', async () => {
    const stage = Stage.crowded(LEADERS);
    await stage.scheduler.advanceSettling(40_000);
    stage.isLeading = false;
    await stage.scheduler.advanceSettling(1_000);
    stage.finish();
    await stage.scheduler.advanceSettling(1_000);
    assert.deepEqual(stage.said('balance.leaders'), ['begun']);
    stage.isLeading = true;
    await stage.scheduler.advanceSettling(35_000);
    assert.equal(stage.begun.length, 2);
  });

  test('survives a rule that fails, and tells it', async () => {
    const stage = Stage.crowded(LEADERS);
    // What cannot be: a group without an entry for its voters.
    stage.groups = [{ ...placement(1, [1, 2, 3]), voters: undefined as unknown as [] }, ...stage.groups.slice(1)];
    await stage.scheduler.advanceSettling(120_000);
    assert.deepEqual(stage.begun, []);
    assert.ok(stage.said('balance.leaders').includes('failed'));
  });

  test('keeps a bounded number of reports, and ends with its node', async () => {
    const stage = Stage.crowded(LEADERS);
    for (let turn = 0; turn < 400; turn++) {
      await stage.scheduler.advanceSettling(20_000);
      if (stage.begun.length > stage.reports.filter((report) => report.event === 'done').length) stage.finish();
    }
    assert.equal(stage.balancer.reports().length, KEPT_REPORTS);
    stage.balancer.stop();
    assert.equal(stage.scheduler.pendingTimers, 0);
  });
});
