/** Runs seeds in processes of their own, several at a time. A run is what its seed says, wherever it happens. */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { LongEvent } from '../../../src/platform/index.ts';
import type { RunReport } from './cluster-simulation.ts';
import type { PlanOptions } from './plan.ts';

/**
 * For many short runs that make much garbage and run much code a few times: a young generation that outlasts an event,
 * and code that is compiled at once.
 */
const V8_FLAGS = ['--max-semi-space-size=64', '--always-sparkplug'];

/** What a process of the pool is asked for. */
export interface SeedOrder {
  readonly seed: number;
  readonly plan: PlanOptions;
}

/** What became of a seed: a report or a failure. */
export interface SeedResult {
  readonly seed: number;
  readonly cpuMs: number;
  readonly report: RunReport | undefined;
  /** What the violation says. */
  readonly failure: string | undefined;
  /** Events that took the processor for long, the longest first. */
  readonly long: readonly LongEvent[];
}

export interface SeedPoolOptions {
  readonly jobs: number;
  readonly plan: PlanOptions;
  readonly seeds: Iterator<number, void>;
  /** Hears of each in the order in which they end. @returns false when no further seed is to begin */
  readonly onResult: (result: SeedResult) => boolean;
}

/** Settles when all seeds that were begun have ended. @throws Error when a process ends by itself */
export async function runSeeds(options: SeedPoolOptions): Promise<void> {
  let isOver = false;
  const next = (): number | undefined => {
    const step = isOver ? undefined : options.seeds.next();
    return step === undefined || step.done === true ? undefined : step.value;
  };
  const work = (child: ChildProcess): Promise<void> =>
    new Promise((resolve, reject) => {
      let seed: number | undefined;
      const order = (): void => {
        seed = next();
        if (seed === undefined) child.disconnect();
        else child.send({ seed, plan: options.plan } satisfies SeedOrder);
      };
      child.on('message', (result: SeedResult) => {
        if (!options.onResult(result)) isOver = true;
        order();
      });
      child.on('error', reject);
      child.on('exit', (code) =>
        code === 0 ? resolve() : reject(new Error(`seed ${seed} ended its process with ${code}`)),
      );
      order();
    });
  const children = Array.from({ length: options.jobs }, () =>
    fork(fileURLToPath(new URL('./seed-worker.ts', import.meta.url)), {
      execArgv: [...process.execArgv.filter((flag) => !flag.startsWith('--test')), ...V8_FLAGS],
    }),
  );
  try {
    await Promise.all(children.map(work));
  } finally {
    for (const child of children) child.kill();
  }
}
