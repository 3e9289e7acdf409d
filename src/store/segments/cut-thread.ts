/**
 * Cuts copies in a thread of its own. Reading a store makes two buffers of every row; letting tens of thousands of them go at once
 * would hold the event loop of a node for longer than a heartbeat may be late. The thread opens the same database, takes a
 * snapshot of its own, and says which index it is of: batches are atomic, so any snapshot is of some applied index.
 */
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { assert, type Cancel, type Millis, type Scheduler } from '../../platform/index.ts';
import type { DataKeys } from '../../security/index.ts';
import type { LevelLoan } from '../level/index.ts';
import { StoreClosedError } from '../rows/index.ts';
import type { CutState, CutWork, SegmentCutter } from './cut.ts';
import { type CutOrder, type CutReport, unpackFailure } from './cut-messages.ts';
import type { SegmentEntry } from './manifest.ts';

/** A thread without a cut ends after this: the next one would take about 0.1 s to start another. */
const IDLE_MS: Millis = 10_000;
/** A cut needs less than a tenth of it, whatever the size of the store. */
const HEAP_MIB = 256;

const PROGRAM = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? './cut-worker.ts' : './cut-worker.js', import.meta.url),
);

interface Task {
  readonly loan: LevelLoan;
  readonly onState: (state: CutState) => void;
  readonly resolve: (segments: SegmentEntry[]) => void;
  readonly reject: (error: Error) => void;
  /** Why it is given up. */
  over: Error | undefined;
}

/** A thread that runs, and what it has to do. */
class RunningThread {
  readonly tasks = new Map<number, Task>();
  private readonly worker: Worker;
  private readonly onIdle: () => void;
  private readonly onGone: () => void;

  /** @param onIdle told when the last task is over @param onGone told once, when there is no thread any more */
  constructor(program: string, onIdle: () => void, onGone: () => void) {
    this.onIdle = onIdle;
    this.onGone = onGone;
    this.worker = new Worker(program, { name: 'kvorum-cuts', resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB } });
    this.worker.on('message', (report: CutReport) => this.hear(report));
    let cause: Error | undefined;
    this.worker.on('error', (error: Error) => {
      cause = error;
    });
    // Not before: until then the thread may have databases open.
    this.worker.on('exit', (code) => {
      this.fail(new Error(`the thread that cuts copies ended: ${cause?.message ?? `code ${code}`}`, { cause }));
    });
  }

  order(order: CutOrder): void {
    this.worker.postMessage(order);
  }

  begin(id: number, task: Task, order: CutOrder): void {
    this.tasks.set(id, task);
    this.worker.ref();
    this.order(order);
  }

  private hear(report: CutReport): void {
    const task = this.tasks.get(report.id);
    assert(task !== undefined, 'a cut is reported on until it is over');
    switch (report.kind) {
      case 'state':
        this.tell(report.id, task, report);
        break;
      case 'done':
        this.end(report.id, task, () =>
          task.over === undefined ? task.resolve(report.segments) : task.reject(task.over),
        );
        break;
      case 'failed':
        this.end(report.id, task, () => task.reject(task.over ?? unpackFailure(report.failure)));
        break;
    }
  }

  private tell(id: number, task: Task, { appliedIndex, meta }: CutReport & { readonly kind: 'state' }): void {
    const values = meta.map(([name, value]): [string, Buffer] => [
      name,
      Buffer.from(value.buffer, value.byteOffset, value.byteLength),
    ]);
    try {
      task.onState({ appliedIndex, meta: new Map(values) });
    } catch (error) {
      this.giveUp(id, error as Error);
    }
  }

  /** The cut fails with `reason`, when the thread has closed the database. */
  giveUp(id: number, reason: Error): void {
    const task = this.tasks.get(id);
    if (task === undefined) return;
    task.over ??= reason;
    this.order({ kind: 'giveUp', id });
  }

  private end(id: number, task: Task, settle: () => void): void {
    this.tasks.delete(id);
    task.loan.end();
    settle();
    if (this.tasks.size > 0) return;
    this.worker.unref();
    this.onIdle();
  }

  /** The thread is gone, and with it every database that it had open. */
  private fail(error: Error): void {
    this.onGone();
    for (const [id, task] of this.tasks) this.end(id, task, () => task.reject(task.over ?? error));
  }
}

/** See the top of the file. A thread runs while there is something to cut, and a little longer. One for all stores of a node. */
export class CutThread implements SegmentCutter {
  private readonly scheduler: Scheduler;
  private readonly program: string;
  private readonly keys: DataKeys | undefined;
  private thread: RunningThread | undefined;
  private nextId = 1;
  private cancelEnd: Cancel | undefined;

  /** @param keys of the stores, when they are encrypted @param program the file that the thread runs */
  constructor(scheduler: Scheduler, keys: DataKeys | undefined = undefined, program: string = PROGRAM) {
    this.scheduler = scheduler;
    this.keys = keys;
    this.program = program;
  }

  /** @throws StoreClosedError when the store is closed or replaced meanwhile */
  cut({ level, location, folder, limits }: CutWork, onState: (state: CutState) => void): Promise<SegmentEntry[]> {
    assert(level.lend !== undefined, `the database in ${location} can be lent to another thread`);
    this.cancelEnd?.();
    this.thread ??= this.start();
    const { thread } = this;
    const id = this.nextId++;
    const loan = level.lend(() => thread.giveUp(id, new StoreClosedError(location)));
    return new Promise((resolve, reject) => {
      const task: Task = { loan, onState, resolve, reject, over: undefined };
      thread.begin(id, task, { kind: 'cut', id, location, folder, limits, keys: this.keys?.list() });
    });
  }

  private start(): RunningThread {
    const thread: RunningThread = new RunningThread(
      this.program,
      () => {
        if (this.thread === thread) this.cancelEnd = this.scheduler.after(IDLE_MS, () => this.end());
      },
      () => {
        if (this.thread === thread) this.thread = undefined;
      },
    );
    return thread;
  }

  /** Ends the thread, which must have nothing to cut: stores wait for their cuts when they close. */
  end(): void {
    this.cancelEnd?.();
    this.thread?.order({ kind: 'end' });
    this.thread = undefined;
  }
}
