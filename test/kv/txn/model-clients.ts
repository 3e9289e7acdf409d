/** Clients that run transactions on a model cluster, and what they saw, as a history for the judge. */
import type { Op, OpType } from '../../../jepsen/history.ts';
import { TransactionRunner } from '../../../src/kv/txn/transaction-runner.ts';
import { KvorumError } from '../../../src/platform/errors.ts';
import { type ModelCluster, type Process, startProcess } from './model-cluster.ts';

/** One operation: what it is, and how it is done. */
export interface Task {
  readonly f: string;
  readonly value: unknown;
  run(runner: TransactionRunner, deadlineMs: number): Promise<unknown>;
}

const TIMEOUT_MS = 5_000;

/** Runs `clients` clients for `durationMs` of virtual time, then heals everything and waits until no lock is left. */
export async function runClients(
  cluster: ModelCluster,
  clients: number,
  durationMs: number,
  next: () => Task,
): Promise<Op[]> {
  const { simulation } = cluster;
  const history: Op[] = [];
  let processes = 0;
  let open = 0;
  const record = (process: number, type: OpType, { f }: Task, value: unknown): void => {
    history.push({ index: history.length, time: Math.floor(simulation.nowMs() * 1e6), process, type, f, value });
  };

  const start = (): void => {
    const number = processes++;
    const process = startProcess(`coordinator ${number}`);
    const runner = new TransactionRunner(cluster.partsOf(process));
    runNext(number, process, runner);
  };

  const runNext = (number: number, process: Process, runner: TransactionRunner): void => {
    if (simulation.nowMs() >= durationMs) return;
    const task = next();
    record(number, 'invoke', task, task.value);
    open++;
    let isOver = false;
    const over = (type: OpType | undefined, value: unknown): void => {
      if (isOver) return;
      isOver = true;
      open--;
      if (type !== undefined) record(number, type, task, value);
      if (type === 'ok' || type === 'fail') {
        simulation.schedule(cluster.random.int(10), 'think', () => runNext(number, process, runner));
      } else start();
    };
    task.run(runner, simulation.nowMs() + TIMEOUT_MS).then(
      (value) => over('ok', value),
      (error: unknown) => {
        if (!(error instanceof KvorumError)) {
          cluster.problems.push(String(error instanceof Error ? error.stack : error));
        }
        over(error instanceof KvorumError && error.disposition !== 'unknown' ? 'fail' : 'info', task.value);
      },
    );
    const watch = (): void => {
      if (isOver) return;
      // Nobody hears of the outcome when the coordinator has stopped.
      if (process.life > 0) over(undefined, undefined);
      else simulation.schedule(50, 'watch', watch);
    };
    watch();
  };

  for (let client = 0; client < clients; client++) start();
  await simulation.runUntil(() => simulation.nowMs() >= durationMs && open === 0, durationMs + 600_000);
  await cluster.settle();
  return history;
}
