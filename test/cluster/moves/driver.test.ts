import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import type { CatalogSource } from '../../../src/cluster/catalog/source.ts';
import type { CatalogClient, CatalogReply, CatalogRequest } from '../../../src/cluster/contract/catalog.ts';
import { MoveDriver } from '../../../src/cluster/moves/driver.ts';
import { isAbortable } from '../../../src/distribution/catalog/catalog-jobs.ts';
import type { JobRow } from '../../../src/distribution/contract/catalog-rows.ts';
import { CatalogError } from '../../../src/distribution/contract/errors.ts';
import { LeaderUnavailableError } from '../../../src/kv/contract/errors.ts';
import type { SpanClient } from '../../../src/kv/contract/range-transfer.ts';
import { decodeSpanMessage, encodeSpanMessage } from '../../../src/kv/ranges/codec.ts';
import { type GroupId, hlcTimestamp, SeededRandom } from '../../../src/platform/index.ts';
import { OutcomeUnknownError } from '../../../src/raftengine/errors.ts';
import { bytes, group } from '../../distribution/builders.ts';
import { CatalogModel } from '../../distribution/catalog-model.ts';
import { VirtualTime } from '../../support/virtual-time.ts';
import { ModelClock, ModelGroup } from './model-group.ts';

const GROUPS = [1, 2, 3, 4];

/** A catalog, four groups, clients that write, and as many drivers as believe that they lead. */
class DrivenMoves {
  readonly time = new VirtualTime();
  readonly clock = new ModelClock();
  readonly catalog = CatalogModel.bootstrapped();
  readonly groups = new Map<GroupId, ModelGroup>();
  readonly random: SeededRandom;
  /** Histories that clients were told are written. */
  readonly acknowledged = new Map<string, (string | undefined)[]>();
  readonly errors: unknown[] = [];
  private readonly listeners = new Set<() => void>();
  /** Share of questions that go wrong, of ten. */
  trouble = 0;
  /** A group that nobody reaches. */
  silent: GroupId | undefined;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    for (const id of GROUPS) this.groups.set(group(id), new ModelGroup(this.clock));
    for (const { groupId, start, end } of this.catalog.state.routes.all()) {
      this.groups.get(groupId)!.apply({ kind: 'assign', start, end, epoch: 1 });
    }
  }

  /** The catalog as a leader has it; one that is deposed keeps what it saw last for a while. */
  source(isDeposed: () => boolean): CatalogSource {
    const world = this;
    let last = this.catalog.state;
    return {
      get state() {
        if (!isDeposed()) last = world.catalog.state;
        return last;
      },
      leaderTerm: 1,
      onChange: (listener) => {
        this.listeners.add(listener);
        return () => this.listeners.delete(listener);
      },
      trackSlowestCursor: () => undefined,
    };
  }

  private async goesWrong<T>(what: () => T | Promise<T>): Promise<T> {
    for (let turns = this.random.int(3); turns >= 0; turns--) await turn();
    if (this.random.int(20) < this.trouble) throw new LeaderUnavailableError('lost on the way there');
    const result = await what();
    if (this.random.int(20) < this.trouble) throw new OutcomeUnknownError('lost on the way back');
    return result;
  }

  readonly client: CatalogClient = {
    run: <Request extends CatalogRequest>(request: Request) =>
      this.goesWrong(() => {
        this.catalog.nowMs = this.time.nowMs();
        const plan = this.catalog.plan(request);
        if (plan instanceof CatalogError) throw plan;
        this.catalog.commit(plan);
        for (const listener of [...this.listeners]) listener();
        return plan.result as unknown as CatalogReply<Request>;
      }),
    jobs: async () => [],
    clusterState: async () => {
      throw new LeaderUnavailableError('a driver does not ask for it');
    },
  };

  readonly spans: SpanClient = {
    command: (to, request) =>
      this.goesWrong(() => this.at(to, { kind: 'command', group: to, request }).command(request)),
    job: (to, job) => this.goesWrong(() => this.at(to, { kind: 'job', group: to, job }).job(job)),
    backfill: (to, request) =>
      this.goesWrong(() => this.at(to, { kind: 'backfill', group: to, request }).backfill(request)),
    captured: (to, job, from, maxBytes) =>
      this.goesWrong(() =>
        this.at(to, { kind: 'captured', group: to, job, from, maxBytes }).captured(job, from, maxBytes),
      ),
    import: (to, request) => this.goesWrong(() => this.at(to, { kind: 'import', group: to, request }).import(request)),
  };

  /** The group; whatever is asked must survive the wire. */
  private at(to: GroupId, message: Parameters<typeof encodeSpanMessage>[0]): ModelGroup {
    assert.deepEqual(decodeSpanMessage(encodeSpanMessage(message)), message);
    if (to === this.silent) throw new LeaderUnavailableError('nobody answers');
    return this.groups.get(to)!;
  }

  driver(
    isDeposed: () => boolean = () => false,
    mayBegin: () => boolean = () => true,
    isDead: () => boolean = () => false,
  ): MoveDriver {
    const { time, random } = this;
    /** Whoever is dead asks nothing more and hears of no answer. */
    const alive = <Client extends object>(client: Client): Client =>
      new Proxy(client, {
        get:
          (target, name) =>
          async (...question: unknown[]) => {
            const dead = (): void => {
              if (isDead()) throw new LeaderUnavailableError('this driver is dead');
            };
            dead();
            const answer: unknown = await (target[name as keyof Client] as (...all: unknown[]) => unknown)(...question);
            dead();
            return answer;
          },
      });
    const [client, spans] = [alive(this.client), alive(this.spans)];
    const driver = new MoveDriver({
      source: this.source(isDeposed),
      catalog: client,
      spans,
      clock: time,
      scheduler: time,
      random,
      limits: { pageBytes: 3, fenceBelowBytes: 12 },
      mayBegin,
      onError: (_job, error) => this.errors.push(error),
    });
    driver.start();
    return driver;
  }

  write(name = String.fromCharCode(0x62 + this.random.int(26)) + this.random.int(3)): void {
    const key = bytes(name);
    const value = this.random.int(5) === 0 ? undefined : bytes(`v${this.random.int(1000)}`);
    for (const owner of this.groups.values()) {
      if (owner.write(key, value) === undefined) continue;
      const history = this.acknowledged.get(key.toString()) ?? [];
      history.push(value?.toString());
      this.acknowledged.set(key.toString(), history);
    }
  }

  begin(key: string, to: number): JobRow | undefined {
    const route = this.catalog.route(key);
    const plan = this.catalog.plan({
      kind: 'createMove',
      expectedVersion: this.catalog.version,
      routeId: route.id,
      start: route.start,
      dst: group(to),
    });
    if (plan instanceof CatalogError) return undefined;
    this.catalog.commit(plan);
    for (const listener of [...this.listeners]) listener();
    return plan.result.job;
  }

  /** Begins the merge of the routes that meet somewhere, when they are in different groups. */
  beginMerge(): JobRow | undefined {
    const routes = [...this.catalog.state.routes.all()].slice(1);
    const at = 1 + this.random.int(Math.max(1, routes.length - 1));
    const [left, right] = [routes[at - 1], routes[at]];
    if (left === undefined || right === undefined) return undefined;
    const plan = this.catalog.plan({
      kind: 'createMerge',
      expectedVersion: this.catalog.version,
      leftId: left.id,
      rightId: right.id,
      boundary: right.start,
      moves: this.random.int(2) === 0 ? 'left' : 'right',
    });
    if (plan instanceof CatalogError) return undefined;
    this.catalog.commit(plan);
    for (const listener of [...this.listeners]) listener();
    return plan.result.job;
  }

  /** Cuts a route in two, so that there is something to merge again. */
  split(key: string): void {
    const plan = this.catalog.plan({
      kind: 'split',
      expectedVersion: this.catalog.version,
      routeId: this.catalog.route(key).id,
      splitKey: bytes(key),
      splitAtTs: hlcTimestamp(1n),
    });
    if (!(plan instanceof CatalogError)) this.catalog.commit(plan);
  }

  /** Lets things happen until `isOver`. */
  async runUntil(isOver: () => boolean, meanwhile: () => void = () => undefined): Promise<void> {
    for (let left = 20_000; !isOver(); left--) {
      assert.ok(
        left > 0,
        `stuck: ${[...this.catalog.state.jobs.values()].map((job) => `${job.phase} ${job.lastError}`)}`,
      );
      meanwhile();
      await turn();
      if (this.random.int(4) === 0) this.time.fireNext();
    }
  }

  /** Every key has one owner, the one that the directory names, and its whole history is there. */
  check(): void {
    for (const { table } of this.groups.values()) {
      for (const { state, job } of table.spans) assert.ok(state === 'MOVED_OUT' || (state === 'ACTIVE' && job === 0));
    }
    for (const [key, history] of this.acknowledged) {
      const owners = [...this.groups].filter(([, { table }]) => table.check(bytes(key), 'write').kind === 'owned');
      assert.deepEqual(
        owners.map(([id]) => id),
        [this.catalog.route(key).groupId],
        `owners of ${key}`,
      );
      const versions = owners[0]![1].histories.get(key) ?? [];
      assert.deepEqual(
        versions.map(({ value }) => value?.toString()),
        history,
        `history of ${key}`,
      );
    }
  }
}

describe('A driver of moves', () => {
  test('takes a range with all its history to another group while clients write, and cleans up behind it', async () => {
    const world = new DrivenMoves(1);
    for (let at = 0; at < 200; at++) world.write();
    const driver = world.driver();
    const job = world.begin('x', 3)!;
    await world.runUntil(
      () => !world.catalog.state.jobs.has(job.id),
      () => world.write(),
    );
    await driver.stop();
    world.check();
    assert.equal(world.catalog.route('x').groupId, group(3));
    assert.ok(![...world.groups.get(group(2))!.histories.keys()].some((key) => key >= 'm'), 'the source is purged');
    assert.deepEqual(world.errors, []);
  });

  test('begins nothing before every node understands what a move writes', async () => {
    const world = new DrivenMoves(3);
    let mayMove = false;
    const driver = world.driver(undefined, () => mayMove);
    const { id } = world.begin('x', 3)!;
    const phase = () => world.catalog.state.jobs.get(id)?.phase;
    await world.runUntil(() => world.errors.length >= 5);
    assert.equal(phase(), 'PLANNED');
    assert.match(String(world.errors[0]), /'ranges\.move' is active/);
    mayMove = true;
    await world.runUntil(() => !world.catalog.state.jobs.has(id));
    await driver.stop();
    assert.equal(world.catalog.route('x').groupId, group(3));
  });

  test('fences nothing as long as the destination would not go along with the time of the source', async () => {
    const world = new DrivenMoves(4);
    const [source, destination] = [world.groups.get(group(2))!, world.groups.get(group(3))!];
    source.nowTs = hlcTimestamp(20n);
    destination.reachTs = hlcTimestamp(19n);
    const driver = world.driver();
    const { id } = world.begin('x', 3)!;
    await world.runUntil(() => world.errors.length >= 5);
    assert.equal(world.catalog.state.jobs.get(id)?.phase, 'ARM_SOURCE');
    assert.match(String(world.errors[0]), /time of group 2 is \d+ ms further ahead than group 3 goes along with/);
    assert.ok(source.write(Buffer.from('x'), Buffer.from('still served')));
    destination.reachTs = hlcTimestamp(20n);
    await world.runUntil(() => !world.catalog.state.jobs.has(id));
    await driver.stop();
    assert.equal(world.catalog.route('x').groupId, group(3));
  });

  test('merges routes of different groups in one job, and a driver that dies anywhere is followed by another one', async () => {
    for (let stop = 0; stop < 40; stop++) {
      const world = new DrivenMoves(100 + stop);
      for (let at = 0; at < 40; at++) world.write();
      let isDeposed = false;
      const first = world.driver(
        () => isDeposed,
        undefined,
        () => isDeposed,
      );
      const count = world.catalog.state.routes.size;
      const job = world.beginMerge()!;
      let steps = 0;
      // The leader of the catalog dies after so many steps; what it sent still arrives.
      await world.runUntil(
        () => ++steps > stop * 4 || !world.catalog.state.jobs.has(job.id),
        () => world.write(),
      );
      isDeposed = true;
      const second = world.driver();
      await world.runUntil(
        () => !world.catalog.state.jobs.has(job.id),
        () => world.write(),
      );
      await Promise.all([first.stop(), second.stop()]);
      world.check();
      assert.equal(world.catalog.state.routes.size, count - 1);
      const joined = world.catalog.route(job.start.length === 0 ? '\x01' : job.start.toString('latin1'));
      assert.equal(joined.groupId, job.dst);
    }
  });

  test('lifts a fence after which the destination is silent, and moves when it is back', async () => {
    const phases = new Set<string>();
    for (let seed = 1; seed <= 12; seed++) {
      const world = new DrivenMoves(seed);
      for (let at = 0; at < 30; at++) world.write();
      const driver = world.driver();
      const { id } = world.begin('x', 3)!;
      const phase = () => world.catalog.state.jobs.get(id)?.phase;
      const fenced = (): boolean => world.groups.get(group(2))!.table.spanOf(id)?.state === 'FENCED';
      // Something is captured between the last round and the fence.
      await world.runUntil(fenced, () => {
        if (phase() === 'FENCE') world.write('x');
      });
      world.silent = group(3);
      await world.runUntil(
        () => !fenced(),
        () => phases.add(phase()!),
      );
      if (world.groups.get(group(2))!.table.check(bytes('x'), 'write').kind === 'owned') world.write('x');
      world.silent = undefined;
      await world.runUntil(() => !world.catalog.state.jobs.has(id));
      await driver.stop();
      world.check();
      assert.equal(world.catalog.route('x').groupId, group(3));
    }
    assert.ok(phases.has('FENCE') && phases.has('RELEASE'), [...phases].join());
  });

  test('keeps what was moved away no longer when the time of day is put back by an hour', async () => {
    const world = new DrivenMoves(4);
    const first = world.driver();
    const { id } = world.begin('x', 3)!;
    const phase = () => world.catalog.state.jobs.get(id)?.phase;
    await world.runUntil(() => phase() === 'CLEANUP');
    await first.stop();
    // Another one leads, whose clock is slow, and the source does not answer at once.
    world.time.backMs = 3_600_000;
    world.silent = group(2);
    const second = world.driver();
    const sinceMs = world.time.monotonicMs();
    await world.runUntil(() => world.errors.length > 0);
    world.silent = undefined;
    await world.runUntil(() => phase() === undefined);
    const keptMs = world.time.monotonicMs() - sinceMs;
    assert.ok(keptMs >= 30_000 && keptMs < 40_000, `${keptMs} ms`);
    await second.stop();
    world.check();
  });

  test('opens a released range when the driver that had it released died before it could write that down', async () => {
    for (let seed = 1; seed <= 8; seed++) {
      const world = new DrivenMoves(seed);
      for (let at = 0; at < 30; at++) world.write();
      const released = (): boolean => world.groups.get(group(2))!.table.spanOf(1)?.state === 'MOVED_OUT';
      const first = world.driver(released, undefined, released);
      const { id } = world.begin('x', 3)!;
      await world.runUntil(released, () => world.write());
      assert.equal(world.catalog.state.jobs.get(id)?.phase, 'RELEASE');
      const second = world.driver();
      await world.runUntil(() => !world.catalog.state.jobs.has(id));
      await Promise.all([first.stop(), second.stop()]);
      world.check();
      assert.equal(world.catalog.route('x').groupId, group(3));
    }
  });

  test('undoes a move that is given up before the release', async () => {
    const world = new DrivenMoves(2);
    for (let at = 0; at < 100; at++) world.write();
    const driver = world.driver();
    const { id } = world.begin('x', 3)!;
    let isAborted = false;
    await world.runUntil(
      () => !world.catalog.state.jobs.has(id),
      () => {
        world.write();
        const job = world.catalog.state.jobs.get(id);
        if (isAborted || job?.phase !== 'CATCH_UP') return;
        isAborted = true;
        void world.client.run({ kind: 'transitionJob', jobId: id, expectedRevision: job.revision, phase: 'ABORTING' });
      },
    );
    await driver.stop();
    world.check();
    assert.equal(world.catalog.route('x').groupId, group(2));
    assert.equal(world.groups.get(group(3))!.histories.size, 0);
  });

  test('gives a move up that a group refuses for good, and says why', async () => {
    const world = new DrivenMoves(3);
    const driver = world.driver();
    // A job of the same number was over here once.
    world.groups.get(group(3))!.apply({ kind: 'drop', job: 1 });
    const { id } = world.begin('x', 3)!;
    await world.runUntil(() => !world.catalog.state.jobs.has(id));
    await driver.stop();
    const { job } = world.catalog.state.finished.at(-1)!;
    assert.equal(job.phase, 'ABORTED');
    assert.match(job.lastError, /JOB_CLOSED/);
    world.check();
  });

  test('loses nothing whatever is lost on the way, and whoever else drives with old knowledge', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 1_000_000 }), async (seed) => {
        const world = new DrivenMoves(seed);
        world.trouble = world.random.int(5);
        for (let at = 0; at < 60; at++) world.write();
        const drivers: { driver: MoveDriver; isDeposed: boolean }[] = [];
        const lead = (): void => {
          for (const other of drivers) other.isDeposed = true;
          const own: { driver: MoveDriver; isDeposed: boolean } = { driver: undefined as never, isDeposed: false };
          own.driver = world.driver(() => own.isDeposed);
          drivers.push(own);
        };
        lead();
        let steps = 0;
        await world.runUntil(
          () => ++steps > 400,
          () => {
            world.write();
            if (world.random.int(25) === 0)
              world.begin(String.fromCharCode(98 + world.random.int(24)), 1 + world.random.int(4));
            if (world.random.int(40) === 0) world.beginMerge();
            if (world.random.int(60) === 0) world.split(String.fromCharCode(98 + world.random.int(24)));
            if (world.random.int(120) === 0) lead();
            const job = [...world.catalog.state.jobs.values()][0];
            if (job !== undefined && isAbortable(job.phase) && world.random.int(60) === 0) {
              const { id: jobId, revision: expectedRevision } = job;
              world.client
                .run({ kind: 'transitionJob', jobId, expectedRevision, phase: 'ABORTING' })
                .catch(() => undefined);
            }
          },
        );
        world.trouble = 0;
        lead();
        await world.runUntil(() => world.catalog.state.jobs.size === 0);
        await Promise.all(drivers.map(({ driver }) => driver.stop()));
        world.check();
      }),
      { numRuns: 60 },
    );
  });
});
