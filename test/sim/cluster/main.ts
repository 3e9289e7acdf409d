/**
 * `npm run sim:cluster -- --seeds 500 [--from 1]` runs many seeds and stops at the first that breaks an invariant;
 * `npm run sim:cluster -- --seed 17 --trace` replays one, `--events` adds every event to the trace;
 * `--routes` and `--no-routes` run only seeds in which ranges are on the move, or rest; `--crossing` only such with
 * transactions over several groups;
 * `npm run sim:cluster -- --minutes 30` goes on for so long; `--data-groups 3` fixes how many groups share the keys;
 * `--jobs 1` runs one seed at a time; without it there are as many as the machine has cores;
 * `npm run sim:cluster -- --mutants` breaks kvorum on purpose, again and again, and shows after how many seeds it is noticed.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import type { LongEvent } from '../../../src/platform/index.ts';
import type { RunReport } from './cluster-simulation.ts';
import { runMutants } from './mutants.ts';
import {
  COLLECTION_WORKLOADS,
  CROSSING_WORKLOADS,
  drawPlan,
  FAULTS,
  LISTENING_WORKLOADS,
  type Plan,
  type PlanOptions,
  REPLICA_WORKLOADS,
  ROUTE_WORKLOADS,
} from './plan.ts';
import { runSeeds, type SeedResult } from './seed-pool.ts';

/** Lines of a failing run that are printed: its end. */
const TRACE_LINES = 120;
/** Events that took the processor for long and are printed, of all seeds. */
const LONG_EVENTS = 10;

const { values } = parseArgs({
  allowNegative: true,
  options: {
    seeds: { type: 'string', default: '500' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    minutes: { type: 'string' },
    jobs: { type: 'string' },
    nodes: { type: 'string' },
    'data-groups': { type: 'string' },
    routes: { type: 'boolean' },
    crossing: { type: 'boolean' },
    'duration-ms': { type: 'string' },
    workload: { type: 'string', multiple: true },
    fault: { type: 'string', multiple: true },
    plan: { type: 'string' },
    trace: { type: 'boolean', default: false },
    events: { type: 'boolean', default: false },
    'keep-going': { type: 'boolean', default: false },
    shrink: { type: 'boolean', default: true },
    json: { type: 'boolean', default: false },
    mutants: { type: 'boolean', default: false },
    mutant: { type: 'string', multiple: true },
  },
});

function oneOfMany<T extends string>(
  what: string,
  known: readonly T[],
  named: readonly string[] | undefined,
): T[] | undefined {
  return named?.map((name) => {
    const found = known.find((each) => each === name);
    if (found === undefined) throw new Error(`unknown ${what} ${name}; known are ${known.join(', ')}`);
    return found;
  });
}

const planOptions: PlanOptions = {
  nodes: values.nodes === undefined ? undefined : Number(values.nodes),
  dataGroups: values['data-groups'] === undefined ? undefined : Number(values['data-groups']),
  durationMs: values['duration-ms'] === undefined ? undefined : Number(values['duration-ms']),
  workloads: oneOfMany(
    'workload',
    [...ROUTE_WORKLOADS, ...REPLICA_WORKLOADS, ...CROSSING_WORKLOADS, ...COLLECTION_WORKLOADS, ...LISTENING_WORKLOADS],
    values.workload,
  ),
  crossing: values.crossing,
  routes: values.routes,
  faults: oneOfMany('fault', FAULTS, values.fault),
};

/** Sums over all runs, for the line at the end. */
class Totals {
  runs = 0;
  failures = 0;
  private simulatedMs = 0;
  private events = 0;
  private committed = 0;
  private operations = 0;
  private succeeded = 0;
  private terms = 0;
  private handovers = 0;
  private undecided = 0;
  private cpuMs = 0;
  private readonly long: (LongEvent & { readonly seed: number })[] = [];
  private readonly startedMs = performance.now();

  addLong(seed: number, events: readonly LongEvent[]): void {
    for (const event of events) this.long.push({ seed, ...event });
    this.long.sort((left, right) => right.processorMs - left.processorMs).splice(LONG_EVENTS);
  }

  /** The events that would hold an event loop longest. */
  get longLines(): string[] {
    return this.long.map(
      ({ seed, owner, label, atMs, processorMs }) =>
        `seed ${seed}: ${owner} took ${processorMs.toFixed(0)} ms of processor time for '${label}' at ${atMs.toFixed(1)} ms`,
    );
  }

  add(report: RunReport, cpuMs: number): void {
    this.cpuMs += cpuMs;
    this.simulatedMs += report.simulatedMs;
    this.events += report.events;
    this.committed += report.committed;
    this.operations += report.operations;
    this.succeeded += report.succeeded;
    this.terms += report.terms;
    this.handovers += report.handovers;
    if (report.verdict === 'unknown') this.undecided += 1;
  }

  get wallSeconds(): number {
    return (performance.now() - this.startedMs) / 1000;
  }

  toString(): string {
    const seconds = this.wallSeconds;
    return (
      `${this.runs} seeds in ${seconds.toFixed(1)} s (${(this.runs / seconds).toFixed(1)} seeds/s, ` +
      `${(this.simulatedMs / 1000 / seconds).toFixed(0)} simulated seconds per second, ` +
      `${(this.simulatedMs / this.cpuMs).toFixed(0)} per second of CPU): ` +
      `${this.events} events, ${this.committed} entries committed, ${this.terms} terms, ${this.handovers} handovers, ` +
      `${this.succeeded} of ${this.operations} operations succeeded, ${this.undecided} undecided, ${this.failures} failures`
    );
  }
}

async function explain(plan: Plan, told: Error): Promise<void> {
  console.log(`seed ${plan.seed} FAILED  ${told.message}`);
  const routes = values.routes === undefined ? '' : values.routes ? '--routes ' : '--no-routes ';
  console.log(`  replay: npm run sim:cluster -- ${routes}--seed ${plan.seed} --trace`);
  if (!values.shrink) return;
  const { failureOf, shrink } = await import('./shrink.ts');
  const error = await failureOf(plan);
  if (error === undefined) throw new Error(`seed ${plan.seed} does not fail here: not the seed alone decides`);
  const smallest = await shrink({ plan, error });
  const lines: string[] = [];
  await failureOf(smallest.plan, (line) => lines.push(line));
  console.log(`smallest failing plan: ${JSON.stringify(smallest.plan)}`);
  console.log(
    `  ${smallest.plan.faults.length} faults, ${smallest.plan.workloads.join('+')}: ${smallest.error.message}`,
  );
  console.log(`the end of its trace (of ${lines.length} lines):`);
  for (const line of lines.slice(-TRACE_LINES)) console.log(line);
}

/** Runs many seeds, and says which of those that failed comes first. */
async function runMany(totals: Totals): Promise<void> {
  const failed: SeedResult[] = [];
  await runSeeds({
    jobs: values.jobs === undefined ? availableParallelism() : Number(values.jobs),
    plan: planOptions,
    seeds: seeds(totals),
    onResult: (result) => {
      totals.runs += 1;
      totals.addLong(result.seed, result.long);
      if (result.report !== undefined) totals.add(result.report, result.cpuMs);
      else failed.push(result);
      return failed.length === 0 || values['keep-going'];
    },
  });
  totals.failures = failed.length;
  failed.sort((left, right) => left.seed - right.seed);
  for (const { seed, failure } of values['keep-going'] ? failed : failed.slice(0, 1)) {
    const runs = seed - Number(values.from) + 1;
    if (values.json) console.log(JSON.stringify({ seed, runs, message: failure }));
    else await explain(drawPlan(seed, planOptions), new Error(failure));
  }
}

/** Runs one plan here, where it can be watched. */
async function runOne(plan: Plan, totals: Totals): Promise<void> {
  totals.runs += 1;
  const trace = values.trace ? (line: string) => console.log(line) : undefined;
  // A whole cluster is loaded where it runs; with many seeds that is in the processes of the pool.
  const { ClusterSimulation } = await import('./cluster-simulation.ts');
  const simulation = new ClusterSimulation(plan, trace, values.events);
  try {
    const before = process.cpuUsage();
    const report = await simulation.run();
    totals.addLong(plan.seed, simulation.longEvents.long);
    const { user, system } = process.cpuUsage(before);
    totals.add(report, (user + system) / 1000);
    console.log(JSON.stringify(report));
  } catch (thrown) {
    totals.failures += 1;
    const error = thrown instanceof Error ? thrown : new Error(String(thrown));
    if (values.trace) console.log(error.stack);
    else await explain(plan, error);
  }
}

function* seeds(totals: Totals): Generator<number, void> {
  const first = Number(values.from);
  const endSeconds = values.minutes === undefined ? Infinity : Number(values.minutes) * 60;
  const count = values.minutes === undefined ? Number(values.seeds) : Infinity;
  for (let seed = first; seed < first + count && totals.wallSeconds < endSeconds; seed++) yield seed;
}

async function main(): Promise<number> {
  if (values.mutants || values.mutant !== undefined) return await runMutants(Number(values.seeds), values.mutant);
  const totals = new Totals();
  if (values.plan !== undefined) {
    const text = values.plan.startsWith('{') ? values.plan : readFileSync(values.plan, 'utf8');
    await runOne(JSON.parse(text) as Plan, totals);
  } else if (values.seed !== undefined) await runOne(drawPlan(Number(values.seed), planOptions), totals);
  else await runMany(totals);
  if (!values.json) for (const line of [...totals.longLines, totals.toString()]) console.log(line);
  return totals.failures === 0 ? 0 : 1;
}

process.exitCode = await main();
