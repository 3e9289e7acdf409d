/**
 * Runs one fault test: a cluster, clients, a nemesis, then a calm end in which everything is healed and read once more,
 * and the verdict.
 */
import { join } from 'node:path';
import { type Random, SeededRandom } from '../src/platform/index.ts';
import { RunArchive } from './archive.ts';
import { ProcessCluster } from './cluster/process-cluster.ts';
import { ReleasedProgram } from './cluster/releases.ts';
import { heldTurns } from './held-turns.ts';
import type { CheckResult, Op, OpType } from './history.ts';
import type { Mutation } from './mutants/types.ts';
import type { SpokenWorkload, WorkloadClient } from './protocol.ts';
import { writeReport } from './report.ts';
import { ShuffleBag } from './shuffle-bag.ts';
import type { Invocation, Nemesis, RunOptions, TestCluster, WorkloadContext } from './types.ts';

/** Quiet before the first fault, between faults and during one, drawn uniformly. */
const CALM_MS = { least: 1000, most: 3000 };
const FAULT_MS = { least: 1500, most: 5000 };
/** Between the beginnings of faults that are in force at once. */
const OVERLAP_GAP_MS = 700;
/** After the last fault is healed the cluster must be whole again within this. */
const RECOVERY_TIMEOUT_MS = 30_000;
/** Final operations are tried again and again: the calm end must not fail for want of patience. */
const FINAL_TIMEOUT_MS = 60_000;
const FINAL_RETRY_MS = 500;

export interface FinishedRun {
  readonly archive: RunArchive;
  readonly result: CheckResult;
  /** Turns of nodes' event loops that took long. */
  readonly held: readonly string[];
}

/** Everything that happens, in the order in which it is seen. */
class Recorder {
  readonly history: Op[] = [];
  private readonly archive: RunArchive;
  private readonly startMs = performance.now();

  constructor(archive: RunArchive) {
    this.archive = archive;
  }

  add(process: number | 'nemesis', type: OpType, f: string, value: unknown, error?: string): void {
    const time = Math.round((performance.now() - this.startMs) * 1e6);
    const op: Op = {
      index: this.history.length,
      time,
      process,
      type,
      f,
      value,
      ...(error === undefined ? {} : { error }),
    };
    this.history.push(op);
    this.archive.record(op);
  }
}

/** Sleeps that end early when the run is cancelled. */
function sleep(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
}

const between = (random: Random, { least, most }: { least: number; most: number }): number =>
  least + random.next() * (most - least);

/** One logical client; it takes a new process number whenever an outcome stays unknown. */
class ClientLoop {
  private process: number;
  private client: WorkloadClient | undefined;
  private readonly cluster: TestCluster;
  private readonly workload: SpokenWorkload;
  private readonly recorder: Recorder;
  private readonly concurrency: number;

  constructor(cluster: TestCluster, workload: SpokenWorkload, recorder: Recorder, worker: number, concurrency: number) {
    this.cluster = cluster;
    this.workload = workload;
    this.recorder = recorder;
    this.process = worker;
    this.concurrency = concurrency;
  }

  /** Invokes one operation and records what became of it. @returns how it ended */
  async once(invocation: Invocation): Promise<OpType> {
    const { process, recorder } = this;
    const { f, value } = invocation;
    const isReadOnly = this.workload.isReadOnly(f);
    recorder.add(process, 'invoke', f, value);
    try {
      this.client ??= await this.workload.connect(this.cluster, this.nodeOf(process));
    } catch (error) {
      recorder.add(process, 'fail', f, value, `not connected: ${(error as Error).message}`);
      this.moveOn();
      return 'fail';
    }
    try {
      recorder.add(process, 'ok', f, await this.client.execute(invocation));
      return 'ok';
    } catch (error) {
      const outcome = this.client.outcomeOf(error, isReadOnly);
      recorder.add(process, outcome.type, f, value, outcome.error);
      if (outcome.connectionLost || outcome.type === 'info') this.moveOn();
      return outcome.type;
    }
  }

  /** A client whose last outcome is unknown never speaks again; its successor takes another node. */
  private moveOn(): void {
    this.client?.disconnect();
    this.client = undefined;
    this.process += this.concurrency;
  }

  private nodeOf(process: number): number {
    return this.cluster.nodes[(process + Math.floor(process / this.concurrency)) % this.cluster.nodes.length]!;
  }

  close(): void {
    this.client?.disconnect();
    this.client = undefined;
  }
}

async function drive(
  loop: ClientLoop,
  workload: SpokenWorkload,
  context: WorkloadContext,
  meanGapMs: number,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const outcome = await loop.once(workload.generate(context));
    // A node that is down answers at once; without a pause the client would only record refusals.
    const gapMs = outcome === 'ok' ? context.random.next() * 2 * meanGapMs : Math.max(meanGapMs, 50);
    await sleep(gapMs, signal);
  }
}

interface Torment {
  readonly cluster: TestCluster;
  readonly nemeses: readonly Nemesis[];
  readonly recorder: Recorder;
  readonly random: Random;
  readonly faultSeconds: number | undefined;
  readonly overlap: number;
}

/** Breaks and heals until the signal aborts; nothing is broken by this when it settles. */
async function torment(plan: Torment, signal: AbortSignal): Promise<void> {
  const { cluster, nemeses, recorder, random, faultSeconds } = plan;
  if (nemeses.length === 0) return;
  const bag = new ShuffleBag(nemeses, random);
  await sleep(between(random, CALM_MS), signal);
  while (!signal.aborted) {
    const chosen = bag.take(plan.overlap);
    const injected: Nemesis[] = [];
    for (const nemesis of chosen) {
      // A fault that is to meet another one finds it in force, not just begun.
      if (injected.length > 0) await sleep(OVERLAP_GAP_MS, signal);
      if (signal.aborted) break;
      recorder.add('nemesis', 'invoke', nemesis.name, null);
      injected.push(nemesis);
      recorder.add('nemesis', 'info', nemesis.name, await nemesis.inject(cluster, random));
    }
    await sleep(faultSeconds === undefined ? between(random, FAULT_MS) : faultSeconds * 1000, signal);
    for (const nemesis of injected) {
      recorder.add('nemesis', 'invoke', `heal-${nemesis.name}`, null);
      recorder.add('nemesis', 'info', `heal-${nemesis.name}`, (await nemesis.heal(cluster)) ?? null);
    }
    await sleep(between(random, CALM_MS), signal);
  }
}

async function finalPhase(loops: readonly ClientLoop[], workload: SpokenWorkload): Promise<void> {
  const giveUp = AbortSignal.timeout(FINAL_TIMEOUT_MS);
  for (const invocation of workload.finalOperations ?? []) {
    await Promise.all(
      loops.map(async (loop) => {
        while ((await loop.once(invocation)) !== 'ok' && !giveUp.aborted) await sleep(FINAL_RETRY_MS, giveUp);
      }),
    );
  }
}

/** Whatever clients saw, a node that gives up without a broken disk is wrong, and so is what a nemesis has found. */
function withFindings(result: CheckResult, findings: readonly string[]): CheckResult {
  if (findings.length === 0) return result;
  return { ...result, valid: false, problems: [...result.problems, ...findings] };
}

export interface TestPlan {
  readonly options: RunOptions;
  readonly workload: SpokenWorkload;
  readonly nemeses: readonly Nemesis[];
  readonly mutations: readonly Mutation[];
}

/**
 * Runs a test to its verdict and archives it.
 * @throws when the harness itself is in trouble: the cluster did not start, or did not recover in calm
 */
export async function runTest(plan: TestPlan, cancel?: AbortSignal): Promise<FinishedRun> {
  const { options, workload } = plan;
  const random = new SeededRandom(options.seed);
  const archive = new RunArchive(options, new Date());
  const version = plan.nemeses.find(({ beginsWithRelease }) => beginsWithRelease !== undefined)?.beginsWithRelease;
  const released = version === undefined ? undefined : new ReleasedProgram(version);
  const cluster = await ProcessCluster.launch({
    nodes: options.nodes,
    folder: join(archive.folder, 'nodes'),
    random: random.fork(1),
    mutations: plan.mutations,
    isolation: options.isolation,
    groups: options.groups,
    servesDynamodb: workload.speaks === 'dynamodb',
    releasedScript: released?.script,
  }).catch((error: unknown) => {
    released?.remove();
    throw error;
  });
  const recorder = new Recorder(archive);
  let lastId = 0;
  let trouble: unknown;
  const loops = Array.from(
    { length: options.concurrency },
    (_, worker) => new ClientLoop(cluster, workload, recorder, worker, options.concurrency),
  );
  try {
    const setupClient = await workload.connect(cluster, cluster.nodes[0]!);
    await setupClient.setup();
    setupClient.disconnect();
    const over = new AbortController();
    const timer = setTimeout(() => over.abort(), options.seconds * 1000);
    cancel?.addEventListener('abort', () => over.abort());
    const meanGapMs = (1000 * options.concurrency) / options.rate;
    await Promise.all([
      torment(
        {
          cluster,
          nemeses: plan.nemeses,
          recorder,
          random: random.fork(2),
          faultSeconds: options.faultSeconds,
          overlap: options.overlap,
        },
        over.signal,
      ).catch((error: unknown) => {
        trouble = error;
        over.abort();
      }),
      ...loops.map((loop, worker) => {
        const context: WorkloadContext = { worker, random: random.fork(10 + worker), nextId: () => ++lastId };
        return drive(loop, workload, context, meanGapMs, over.signal);
      }),
    ]);
    clearTimeout(timer);
    cluster.healLinks();
    for (const node of cluster.nodes) if (!cluster.isRunning(node)) await cluster.start(node);
    try {
      await cluster.ready(RECOVERY_TIMEOUT_MS);
      await finalPhase(loops, workload);
    } catch (error) {
      // A cluster that will not come back because its nodes give up is a verdict, not trouble of the harness.
      if (cluster.findings().length === 0) trouble ??= error;
    }
  } finally {
    for (const loop of loops) loop.close();
    await cluster.stop();
    released?.remove();
    await archive.closeHistory();
  }
  const result = withFindings(workload.checker.check(recorder.history), cluster.findings());
  // What clients saw is wrong or not, whether or not the cluster came back; only its silence would prove nothing.
  if (trouble !== undefined && result.valid !== false) throw trouble;
  writeReport(archive, options, recorder.history, result);
  archive.finish(result);
  return { archive, result, held: heldTurns(cluster.nodes, (node) => cluster.logPath(node)) };
}
