import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { LoadCollector } from '../../../src/cluster/balance/load-collector.ts';
import { LoadRecorder } from '../../../src/cluster/balance/load-recorder.ts';
import { boundWindow, type LoadedGroup, LoadReporter } from '../../../src/cluster/balance/load-reporter.ts';
import type { GroupReport, LoadReport } from '../../../src/cluster/contract/balance.ts';
import { decodeWindow, encodeWindow } from '../../../src/distribution/balance/load-codec.ts';
import { clusterWindow, type LoadWindow } from '../../../src/distribution/balance/load-window.ts';
import type { CatalogState } from '../../../src/distribution/catalog/catalog-state.ts';
import { PLAIN_KEYS } from '../../../src/distribution/keyspaces.ts';
import { RouteTable } from '../../../src/distribution/routes/route-table.ts';
import { nodeId } from '../../../src/platform/index.ts';
import type { GroupStatus } from '../../../src/raftengine/contract/types.ts';
import { bytes, delta, group, route, upsert } from '../../distribution/builders.ts';
import { CatalogModel } from '../../distribution/catalog-model.ts';
import { VirtualTime } from '../../support/virtual-time.ts';

const WINDOW_MS = 10_000;
const TIMES = { windowMs: WINDOW_MS, reportMs: 1_000 };

const TABLE = RouteTable.empty(1).apply(
  delta(1, [
    upsert(route(1, '', 'm', 1, { end: bytes('m') })),
    upsert(route(2, 'm', '', 2, { end: undefined as never })),
  ]),
);

const status = (term: number): GroupStatus =>
  ({
    term,
    appliedIndex: term,
    conf: { voters: [1, 2, 3].map(nodeId), votersOutgoing: [], learners: [], learnersNext: [] },
  }) as unknown as GroupStatus;

/** A node that leads group 2, as long as it is told so. */
class Node {
  readonly time = new VirtualTime();
  readonly reports: LoadReport[] = [];
  term = 5;
  isServing = true;
  isTaken = true;
  readonly recorder: LoadRecorder;
  readonly reporter: LoadReporter;

  constructor() {
    const routes = { current: TABLE };
    this.recorder = new LoadRecorder({ routes, clock: this.time, seed: 3 });
    const led = (): LoadedGroup => ({
      groupId: group(2),
      isServing: this.isServing,
      status: () => status(this.term),
      bytes: async (start) => (start.length === 0 ? 5_000 : 700),
    });
    this.reporter = new LoadReporter({
      nodeId: nodeId(1),
      recorder: this.recorder,
      routes,
      groups: () => [led()],
      clock: this.time,
      scheduler: this.time,
      times: TIMES,
      isTaken: () => this.isTaken,
      send: async (report) => {
        this.reports.push(report);
      },
    });
    this.reporter.start();
  }

  /** Reports of windows that were sent. */
  windows() {
    return this.reports.flatMap(({ window }) => (window === undefined ? [] : [decodeWindow(window)]));
  }

  async toNextWindow(): Promise<void> {
    await this.time.pass(WINDOW_MS - (this.time.nowMs() % WINDOW_MS) + 20);
  }
}

describe('what a node counts', () => {
  test('is every access while there are few, and stands for all of them when there are many', async () => {
    const time = new VirtualTime();
    const recorder = new LoadRecorder({ routes: { current: TABLE }, clock: time, seed: 1 });
    for (let at = 0; at < 1_000; at++) recorder.onAccess(bytes(`x${at}`), at % 4 === 0, 10);
    const few = recorder.closeWindow(time.nowMs()).routes[0]!;
    assert.deepEqual([few.reads, few.writes, few.readBytes], [750, 250, 7_500]);
    // A hundred thousand a second; every second access is a write, so gaps must not be periodic.
    for (let ms = 0; ms < 4_000; ms++) {
      for (let at = 0; at < 100; at++) recorder.onAccess(bytes(`x${at % 7}`), at % 2 === 0, 10);
      if (ms % 20 === 0) await time.pass(20);
    }
    const { reads, writes } = recorder.closeWindow(time.nowMs()).routes[0]!;
    assert.ok(Math.abs(reads / 200_000 - 1) < 0.05, `${reads} reads are about 200,000`);
    assert.ok(Math.abs(writes / 200_000 - 1) < 0.05, `${writes} writes are about 200,000`);
  });

  test('is the key of an object for each of its rows', () => {
    const time = new VirtualTime();
    const keys = { ...PLAIN_KEYS, align: (key: Buffer) => key.subarray(0, 2) };
    const recorder = new LoadRecorder({ routes: { current: TABLE }, clock: time, seed: 1, keys });
    for (let row = 0; row < 40_000; row++) recorder.onAccess(bytes(`xy${row}`), true, 10);
    const [top] = recorder.closeWindow(time.nowMs()).routes[0]!.detail!.topKeys;
    assert.deepEqual([top?.key, top?.share], [bytes('xy'), 1]);
  });

  test('is reported in windows that begin at multiples of their length, without the first part of one', async () => {
    const node = new Node();
    await node.time.pass(3_000);
    node.recorder.onAccess(bytes('z'), true, 1);
    await node.toNextWindow();
    assert.deepEqual(node.windows(), []);
    node.recorder.onAccess(bytes('z'), true, 1);
    await node.toNextWindow();
    await node.time.pass(1_500);
    const [window] = node.windows();
    assert.ok(Math.abs(window!.startMs % WINDOW_MS) < 100 && window!.endMs - window!.startMs < WINDOW_MS + 100);
    assert.deepEqual(window!.ledGroups, [2]);
    assert.equal(window!.routes[0]!.writes, 1);
    node.reporter.stop();
  });

  test('names only groups that were led from the start of the window to its end', async () => {
    const node = new Node();
    await node.toNextWindow();
    node.term = 6;
    await node.toNextWindow();
    await node.time.pass(1_500);
    assert.deepEqual(node.windows().at(-1)!.ledGroups, []);
    node.reporter.stop();
  });

  test('goes together with the groups it leads and their bytes, and stays here until all can read it', async () => {
    const node = new Node();
    node.isTaken = false;
    await node.time.pass(5_000);
    assert.deepEqual(node.reports, []);
    node.isTaken = true;
    await node.time.pass(2_500);
    const { led, ranges } = node.reports.at(-1)!;
    assert.deepEqual(led, [{ group: 2, term: 5, voters: [1, 2, 3], isBusy: false, bytes: 5_000 }]);
    assert.deepEqual(ranges, [{ id: 2, bytes: 700 }]);
    assert.equal(node.reporter.storedBytes(), 5_000);
    node.reporter.stop();
  });

  test('that is too large keeps the hottest ranges, and says that the group is not complete', () => {
    const row = (routeId: number, reads: number, groupId: number) => ({
      routeId,
      start: bytes(`k${routeId}`),
      groupId: group(groupId),
      routeVersion: 1,
      reads,
      writes: 0,
      readBytes: 0,
      writtenBytes: 0,
      detail: undefined,
    });
    const rows = Array.from({ length: 100 }, (_, at) => row(at + 1, at + 1, at < 50 ? 3 : 4));
    const window: LoadWindow = { startMs: 0, endMs: WINDOW_MS, routes: rows, coarse: [] };
    assert.equal(boundWindow(window), window);
    const bounded = boundWindow(window, 6_000);
    assert.equal(bounded.routes[0]!.reads, 100);
    assert.ok(bounded.routes.length >= 50 && bounded.routes.length < 70);
    const reported = { ...bounded, nodeId: nodeId(1), ledGroups: [group(3), group(4)] };
    assert.ok(encodeWindow(reported).length <= 6_000);
    assert.deepEqual([...clusterWindow([reported])!.completeGroups.keys()], [4]);
    assert.equal(bounded.coarse.length, 1);
  });
});

describe('what the catalog leader knows of load', () => {
  class Leader {
    readonly time = new VirtualTime();
    state: CatalogState = CatalogModel.bootstrapped().state;
    leaderTerm = 1;
    private listener: () => void = () => undefined;
    readonly collector: LoadCollector;

    constructor() {
      const { time } = this;
      const self = this;
      this.collector = new LoadCollector({
        source: {
          get state() {
            return self.state;
          },
          get leaderTerm() {
            return self.leaderTerm;
          },
          onChange: (listener) => {
            this.listener = listener;
            return () => undefined;
          },
          trackSlowestCursor: () => undefined,
        },
        clock: time,
        times: TIMES,
      });
    }

    changed(): void {
      this.listener();
    }

    window(node: number, number: number, ledGroups = [2]): LoadReport {
      const startMs = number * WINDOW_MS;
      const window = { startMs, endMs: startMs + WINDOW_MS, routes: [], coarse: [] };
      return this.report(node, {
        window: encodeWindow({ ...window, nodeId: nodeId(node), ledGroups: ledGroups.map(group) }),
      });
    }

    report(node: number, rest: Partial<LoadReport> = {}): LoadReport {
      return { nodeId: nodeId(node), led: [], ranges: [], window: undefined, ...rest };
    }

    get present(): number {
      return Math.floor(this.time.nowMs() / WINDOW_MS);
    }
  }

  const led = (groupId: number, term: number, rest: Partial<GroupReport> = {}): GroupReport => ({
    group: group(groupId),
    term,
    voters: [1, 2, 3].map(nodeId),
    isBusy: false,
    bytes: 1,
    ...rest,
  });

  test('is a window once every node had time to tell of it', async () => {
    const leader = new Leader();
    const number = leader.present;
    await leader.time.pass(WINDOW_MS);
    leader.collector.take(leader.window(1, number, [2]));
    leader.collector.take(leader.window(2, number, [3]));
    assert.deepEqual(leader.collector.windows(), []);
    await leader.time.pass(WINDOW_MS / 4);
    const [window] = leader.collector.windows();
    assert.deepEqual(
      [...window!.completeGroups],
      [
        [2, 1],
        [3, 2],
      ],
    );
    assert.equal(leader.collector.windows()[0], window, 'put together once');
  });

  test('are the last few windows', async () => {
    const leader = new Leader();
    for (let count = 0; count < 20; count++) {
      leader.collector.take(leader.window(1, leader.present - 1));
      await leader.time.pass(WINDOW_MS);
    }
    assert.ok(leader.collector.windows().length <= 8);
    leader.collector.take(leader.window(2, leader.present - 50));
    assert.ok(leader.collector.windows().length <= 8);
  });

  test('is whom the leader of the highest term says, for as long as it says so', async () => {
    const leader = new Leader();
    leader.collector.take(leader.report(1, { led: [led(2, 7)] }));
    leader.collector.take(leader.report(2, { led: [led(2, 6)] }));
    const leaders = () => leader.collector.placements(leader.state).map(({ id, leader: node }) => [id, node]);
    assert.deepEqual(leaders(), [[2, 1]]);
    await leader.time.pass(4_000);
    assert.deepEqual(leaders(), [[2, undefined]]);
  });

  test('is nothing of an earlier leadership', async () => {
    const leader = new Leader();
    leader.collector.take(leader.report(1, { led: [led(2, 7)], ranges: [{ id: 2, bytes: 9 }] }));
    leader.collector.take(leader.window(1, leader.present));
    await leader.time.pass(2 * WINDOW_MS);
    assert.equal(leader.collector.windows().length, 1);
    leader.leaderTerm = 2;
    leader.changed();
    assert.deepEqual(
      [leader.collector.windows(), leader.collector.placements(leader.state), leader.collector.rangeBytes().size],
      [[], [], 0],
    );
  });

  test('shows groups of a move as busy', () => {
    const model = CatalogModel.bootstrapped();
    const { id, start } = model.route('x');
    model.run({ kind: 'createMove', expectedVersion: model.version, routeId: id, start, dst: group(3) });
    const leader = new Leader();
    leader.collector.take(leader.report(1, { led: [led(1, 1), led(2, 1), led(3, 1), led(4, 1)] }));
    assert.deepEqual(
      leader.collector.placements(model.state).map(({ id: groupId, isBusy }) => [groupId, isBusy]),
      [
        [1, false],
        [2, true],
        [3, true],
        [4, false],
      ],
    );
  });
});
