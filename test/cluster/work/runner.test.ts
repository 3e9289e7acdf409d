import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { CatalogClient, CatalogReply, CatalogRequest } from '../../../src/cluster/contract/catalog.ts';
import {
  decodeForwardingPointerNotes,
  encodeForwardingPointerNotes,
  forwardingPointerWork,
} from '../../../src/cluster/work/forwarding-pointers.ts';
import { type WorkContext, WorkRunner, type WorkUnit } from '../../../src/cluster/work/runner.ts';
import { clusterStateOf } from '../../../src/distribution/catalog/catalog-state.ts';
import type { JobRow } from '../../../src/distribution/contract/catalog-rows.ts';
import { CatalogError } from '../../../src/distribution/contract/errors.ts';
import { LeaderUnavailableError } from '../../../src/kv/contract/errors.ts';
import { nodeId, SeededRandom } from '../../../src/platform/index.ts';
import { OutcomeUnknownError } from '../../../src/raftengine/errors.ts';
import { group, nodeReport } from '../../distribution/builders.ts';
import { CatalogModel } from '../../distribution/catalog-model.ts';
import { VirtualTime } from '../../support/virtual-time.ts';

const LEASE_MS = 4_000;
const LOOK_MS = 1_000;

/** A catalog that nodes reach or do not reach, and nodes that want to work. */
class WorkingNodes {
  readonly time = new VirtualTime();
  readonly model = CatalogModel.bootstrapped();
  readonly cutOff = new Set<number>();
  readonly loseAnswers = new Set<number>();
  readonly errors: unknown[] = [];
  /** Nodes inside of the unit's work now. */
  readonly working: number[] = [];
  readonly finished: number[] = [];
  mostAtOnce = 0;
  private readonly runners = new Map<number, WorkRunner>();

  /** @param areKnown the catalog has heard of them already */
  constructor(ids: readonly number[], unit: (id: number, cluster: WorkingNodes) => WorkUnit, areKnown = true) {
    for (const id of ids) {
      if (areKnown) this.hear(id);
      const runner = new WorkRunner({
        nodeId: nodeId(id),
        incarnation: Buffer.alloc(16, id),
        catalog: this.client(id),
        units: () => [unit(id, this)],
        clock: this.time,
        scheduler: this.time,
        random: new SeededRandom(id),
        times: { lookMs: LOOK_MS, leaseMs: LEASE_MS },
        onError: (_unit, error) => this.errors.push(error),
      });
      this.runners.set(id, runner);
      runner.start();
    }
  }

  /** The catalog takes a node's first heartbeat. */
  hear(id: number): void {
    this.model.run({ kind: 'putNode', node: nodeReport(id), expectedRevision: undefined });
  }

  runner(id: number): WorkRunner {
    return this.runners.get(id)!;
  }

  get row() {
    return this.model.state.work.get('job');
  }

  /** Work that goes on until it is stopped, and writes down who is at it. */
  async labour(id: number, { signal, save }: WorkContext, steps: number): Promise<Buffer> {
    this.working.push(id);
    this.mostAtOnce = Math.max(this.mostAtOnce, this.working.length);
    try {
      for (let step = 0; step < steps; step++) {
        await new Promise<void>((resolve) => this.time.after(200, resolve));
        signal.throwIfAborted();
        if (step % 5 === 4) await save(Buffer.from(`${id}:${step}`)).catch(() => undefined);
        signal.throwIfAborted();
      }
    } finally {
      this.working.splice(this.working.indexOf(id), 1);
    }
    this.finished.push(id);
    return Buffer.from('done');
  }

  async stop(): Promise<void> {
    await this.time.outcome(Promise.all([...this.runners.values()].map((runner) => runner.stop())));
  }

  private client(id: number): Pick<CatalogClient, 'run' | 'clusterState'> {
    const reach = async (): Promise<void> => {
      await new Promise<void>((resolve) => this.time.after(20, resolve));
      if (this.cutOff.has(id)) throw new LeaderUnavailableError('nobody leads');
      this.model.nowMs = this.time.nowMs();
    };
    return {
      run: async <Request extends CatalogRequest>(request: Request): Promise<CatalogReply<Request>> => {
        await reach();
        const reply = this.model.run(request) as unknown as CatalogReply<Request>;
        if (this.loseAnswers.has(id)) throw new OutcomeUnknownError('the answer was lost');
        return reply;
      },
      clusterState: async () => {
        await reach();
        return clusterStateOf(this.model.state);
      },
    };
  }
}

const endless = (id: number, cluster: WorkingNodes): WorkUnit => ({
  name: 'job',
  isDue: () => true,
  run: (context) => cluster.labour(id, context, 10_000),
});

const once = (id: number, cluster: WorkingNodes): WorkUnit => ({
  name: 'job',
  isDue: (notes) => notes?.toString() !== 'done',
  run: (context) => cluster.labour(id, context, 10),
});

describe('background work', () => {
  test('is done by one node, once, and its notes tell the others', async () => {
    const cluster = new WorkingNodes([1, 2, 3], once);
    await cluster.time.pass(20_000);
    assert.equal(cluster.finished.length, 1);
    assert.equal(cluster.mostAtOnce, 1);
    assert.deepEqual([cluster.row?.holder, cluster.row?.progress.toString()], [undefined, 'done']);
    await cluster.stop();
    assert.deepEqual(cluster.errors, []);
  });

  test('is not asked for, and not complained of, by a node that the catalog has not heard of yet', async () => {
    const cluster = new WorkingNodes([1], once, false);
    await cluster.time.pass(5 * LOOK_MS);
    assert.deepEqual([cluster.finished, cluster.errors], [[], []]);
    cluster.hear(1);
    await cluster.time.until('it is done', () => cluster.finished.length === 1);
    await cluster.stop();
    assert.deepEqual(cluster.errors, []);
  });

  test('is kept for as long as its holder renews', async () => {
    const cluster = new WorkingNodes([1, 2, 3], endless);
    await cluster.time.until('somebody works', () => cluster.working.length === 1);
    const [holder] = cluster.working;
    await cluster.time.pass(10 * LEASE_MS);
    assert.deepEqual(cluster.working, [holder]);
    assert.equal(cluster.runner(holder!).unitUnderWay, 'job');
    await cluster.stop();
    assert.equal(cluster.row?.holder, undefined, 'given back at the end');
  });

  test('goes to another node when its holder is cut off, which stops before that', async () => {
    const cluster = new WorkingNodes([1, 2, 3], endless);
    await cluster.time.until('somebody works', () => cluster.working.length === 1);
    const [holder] = cluster.working;
    cluster.cutOff.add(holder!);
    await cluster.time.until('nobody works', () => cluster.working.length === 0);
    await cluster.time.until('another works', () => cluster.working.length === 1);
    assert.notEqual(cluster.working[0], holder);
    assert.equal(cluster.mostAtOnce, 1);
    cluster.cutOff.clear();
    await cluster.stop();
  });

  test('goes on from the notes that were saved last', async () => {
    const found: string[] = [];
    const cluster = new WorkingNodes([1, 2], (id, self) => ({
      ...endless(id, self),
      run: (context) => {
        found.push(context.notes.toString());
        return self.labour(id, context, 10_000);
      },
    }));
    await cluster.time.until('notes are saved', () => (cluster.row?.progress.length ?? 0) > 0);
    cluster.cutOff.add(cluster.working[0]!);
    const saved = cluster.row!.progress.toString();
    await cluster.time.until('another works', () => found.length === 2);
    assert.deepEqual(found, ['', saved]);
    cluster.cutOff.clear();
    await cluster.stop();
  });

  test('that fails is given back and tried again', async () => {
    let tries = 0;
    const cluster = new WorkingNodes([1], () => ({
      name: 'job',
      isDue: () => tries < 3,
      run: async () => {
        tries++;
        throw new Error('no luck');
      },
    }));
    await cluster.time.until('three tries', () => tries === 3);
    await cluster.stop();
    assert.equal(cluster.row?.holder, undefined);
    assert.equal(cluster.errors.length, 3);
  });

  test('never has two nodes at it, whoever is cut off or hears no answers', async () => {
    const event = fc.record({
      node: fc.integer({ min: 1, max: 3 }),
      kind: fc.constantFrom('cut', 'heal', 'lose', 'hear'),
      afterMs: fc.integer({ min: 50, max: 6_000 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(event, { minLength: 4, maxLength: 14 }), async (events) => {
        const cluster = new WorkingNodes([1, 2, 3], endless);
        for (const { node, kind, afterMs } of events) {
          if (kind === 'cut') cluster.cutOff.add(node);
          else if (kind === 'heal') cluster.cutOff.delete(node);
          else if (kind === 'lose') cluster.loseAnswers.add(node);
          else cluster.loseAnswers.delete(node);
          await cluster.time.pass(afterMs);
          assert.ok(cluster.mostAtOnce <= 1, 'two nodes worked at once');
        }
        cluster.cutOff.clear();
        cluster.loseAnswers.clear();
        await cluster.time.until('somebody works', () => cluster.working.length === 1, 60_000);
        await cluster.stop();
      }),
      { numRuns: 12 },
    );
  });
});

describe('the work on forwarding pointers', () => {
  const job = (id: number, updatedMs: number, rest: Partial<JobRow> = {}): JobRow =>
    ({ id, src: group(1), dst: group(2), phase: 'DONE', updatedMs, ...rest }) as JobRow;
  const NOW_MS = 1_000_000_000;

  function stage(jobs: readonly JobRow[], fails: ReadonlySet<number> = new Set()) {
    const told: number[] = [];
    const problems: number[] = [];
    const unit = forwardingPointerWork({
      catalog: {
        jobs: async () => jobs,
        clusterState: async () => clusterStateOf(CatalogModel.bootstrapped().state),
      },
      spans: {
        command: async (_group, request) => {
          const { job: id } = request as { readonly job: number };
          told.push(id);
          if (fails.has(id)) throw new LeaderUnavailableError('nobody leads');
          return { outcome: { kind: 'done', isChanged: true, span: undefined }, gcThreshold: 0n as never };
        },
      },
      clock: { nowMs: () => NOW_MS, monotonicMs: () => NOW_MS },
      forwardingPointerMs: 1_000_000,
      sweepMs: 60_000,
      onError: ({ id }) => problems.push(id),
    });
    const run = async (notes: Buffer) =>
      decodeForwardingPointerNotes(
        await unit.run({ signal: new AbortController().signal, notes, save: () => Promise.resolve() }),
      );
    return { unit, run, told, problems };
  }

  test('takes down those of old moves alone, and notes how far it came', async () => {
    const old = NOW_MS - 2_000_000;
    const { run, told } = stage([
      job(1, old),
      job(2, old + 300_000),
      job(3, NOW_MS - 10),
      job(4, old, { phase: 'ABORTED' }),
      job(5, old, { src: group(99) }),
    ]);
    assert.deepEqual(await run(Buffer.alloc(0)), { atMs: NOW_MS, downToMs: old + 300_000 });
    assert.deepEqual(told, [1, 2]);
    assert.deepEqual(await run(encodeForwardingPointerNotes({ atMs: 0, downToMs: old + 300_000 })), {
      atMs: NOW_MS,
      downToMs: old + 300_000,
    });
    assert.deepEqual(told, [1, 2, 2], 'one that lies far behind is not told again');
  });

  test('comes back to one that failed', async () => {
    const old = NOW_MS - 2_000_000;
    const { run, told, problems } = stage([job(1, old), job(2, old + 100_000), job(3, old + 200_000)], new Set([2]));
    assert.deepEqual(await run(Buffer.alloc(0)), { atMs: NOW_MS, downToMs: old });
    assert.deepEqual([told, problems], [[1, 2, 3], [2]]);
  });

  test('is due once a period', () => {
    const { unit } = stage([]);
    assert.ok(unit.isDue(undefined));
    assert.ok(!unit.isDue(encodeForwardingPointerNotes({ atMs: NOW_MS - 59_000, downToMs: 0 })));
    assert.ok(unit.isDue(encodeForwardingPointerNotes({ atMs: NOW_MS - 60_000, downToMs: 0 })));
  });
});

describe('leases', () => {
  test('are refused while another node holds the unit', () => {
    const cluster = new WorkingNodes([1, 2], endless);
    const lease = (id: number) =>
      ({
        kind: 'leaseWork',
        name: 'job',
        node: nodeId(id),
        incarnation: Buffer.alloc(16, id),
        leaseMs: 1_000,
        progress: undefined,
      }) as const;
    cluster.model.run(lease(1));
    assert.throws(
      () => cluster.model.run(lease(2)),
      (error) => error instanceof CatalogError && error.code === 'WORK_HELD',
    );
  });
});
