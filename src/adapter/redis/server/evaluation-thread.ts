/**
 * Evaluates long reads, and values that are built aside, in a thread of its own. A command over a million elements takes a second, and its reply another
 * half; meanwhile the node must hear and be heard. The thread has the same commands. It gets the request as another node would, and the rows that were
 * read for it, and answers with the bytes of the reply, and of what is to be written.
 */
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import {
  EvaluationTooLongError,
  type LongEvaluation,
  type LongEvaluator,
  type LongOutcome,
  type Operation,
  type ReadRow,
} from '../../../kv/index.ts';
import {
  assert,
  type Cancel,
  groupId,
  type HlcTimestamp,
  type Millis,
  type Scheduler,
} from '../../../platform/index.ts';
import type { AsideEvaluation, AsideEvaluator } from '../aside/index.ts';
import { RunAloneError } from '../command/index.ts';
import { EncodedReply, type Reply } from '../protocol/index.ts';
import { CommandRequest, encodeBatch, GroupRequest } from '../request/index.ts';
import { AsideInThread } from './aside-in-thread.ts';
import { bufferOf, type EvaluationOrder, type EvaluationReport, packKeys, packRows } from './evaluation-messages.ts';

/** A thread without work ends after this, and gives its memory back, some 60 MiB. Another start costs 0.4 s of processor time. */
const IDLE_MS: Millis = 60_000;
const MIB = 1024 * 1024;
/** Heap of the thread: rows and replies of 2 million elements fit into the upper bound. Beyond it the command fails, and the node does not. */
const HEAP_MIB = { least: 256, most: 3_072 } as const;
/** The request says itself which keys it has; the group stands there because forwarded requests have one. */
const ANY_GROUP = groupId(1);

const PROGRAM = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? './evaluation-worker.ts' : './evaluation-worker.js', import.meta.url),
);

/** One evaluation that is under way. */
interface Waiting {
  readonly resolve: (report: EvaluationReport) => void;
  readonly reject: (error: Error) => void;
}

/** A thread that runs. */
class RunningThread {
  /** What it is asked by id; undefined while it only takes rows. */
  readonly tasks = new Map<number, Waiting | undefined>();
  private readonly worker: Worker;
  private failure: Error | undefined;

  /** @param onGone told once, when there is no thread any more */
  constructor(program: string, heapMib: number, onGone: () => void) {
    this.worker = new Worker(program, {
      name: 'kvorum-evaluations',
      resourceLimits: { maxOldGenerationSizeMb: heapMib },
    });
    this.worker.on('message', (report: EvaluationReport) => this.hear(report));
    this.worker.on('error', (cause: Error & { readonly code?: string }) => {
      this.failure =
        cause.code === 'ERR_WORKER_OUT_OF_MEMORY'
          ? new EvaluationTooLongError(`the command needs more memory than the ${heapMib} MiB for long reads`)
          : new Error(`the thread that evaluates long reads failed: ${cause.message}`, { cause });
    });
    this.worker.on('exit', () => {
      this.failure ??= new Error('the thread that evaluates long reads ended');
      onGone();
      for (const waiting of this.tasks.values()) waiting?.reject(this.failure);
    });
  }

  /** @throws Error when the thread is gone */
  order(order: EvaluationOrder, transfer: readonly ArrayBuffer[] = []): void {
    if (this.failure !== undefined) throw this.failure;
    this.worker.postMessage(order, transfer);
  }

  /** Has it evaluated. @throws Error when the thread is gone, or has failed with it */
  ask(id: number): Promise<EvaluationReport> {
    return new Promise((resolve, reject) => {
      this.order({ kind: 'evaluate', id });
      this.tasks.set(id, { resolve, reject });
    });
  }

  private hear(report: EvaluationReport): void {
    const waiting = this.tasks.get(report.id);
    // Whoever asked may have ended.
    if (waiting === undefined) return;
    this.tasks.set(report.id, undefined);
    if (report.kind === 'failed') waiting.reject(new Error(report.message));
    else waiting.resolve(report);
  }

  begin(id: number): void {
    this.tasks.set(id, undefined);
    this.worker.ref();
  }

  end(id: number): void {
    this.tasks.delete(id);
    if (this.failure === undefined) this.order({ kind: 'end', id });
    if (this.tasks.size === 0) this.worker.unref();
  }

  stop(): void {
    void this.worker.terminate();
  }
}

/** A command that took long in the thread, which has held up nobody. Of a transaction nobody knows which of its commands it was. */
function noteThread(request: GroupRequest, tookMs: Millis, leastMs: Millis): void {
  const isLong = request.commands.length === 1 && tookMs >= (request.tellFromMs ?? leastMs);
  request.tookLong(isLong ? [{ at: 0, tookMs }] : undefined);
}

/** See the top of the file. A thread runs while there is something to evaluate, and a little longer. One for a node. */
export class EvaluationThread implements LongEvaluator, AsideEvaluator {
  private readonly scheduler: Scheduler;
  private readonly program: string;
  private readonly heapMib: number;
  private thread: RunningThread | undefined;
  private lastId = 0;
  private cancelEnd: Cancel | undefined;

  /**
   * @param memoryBytes that the process is to stay within
   * @param program the file that the thread runs
   */
  constructor(scheduler: Scheduler, memoryBytes: number, program: string = PROGRAM) {
    this.scheduler = scheduler;
    this.program = program;
    const halfMib = Math.floor(memoryBytes / 2 / MIB);
    this.heapMib = Math.min(HEAP_MIB.most, Math.max(HEAP_MIB.least, halfMib));
  }

  begin(operation: Operation<unknown>, ts: HlcTimestamp): LongEvaluation | undefined {
    if (!(operation instanceof GroupRequest)) return undefined;
    const { thread, id } = this.beginTask(operation, ts, undefined);
    return {
      addRows: (rows: readonly ReadRow[]) => {
        if (rows.length === 0) return;
        const page = packRows(rows);
        thread.order({ kind: 'rows', id, page }, [page.buffer]);
      },
      addKeys: (keys: readonly Buffer[]) => {
        const packed = packKeys(keys);
        thread.order({ kind: 'keys', id, keys: packed }, [packed.buffer]);
      },
      addObjects: (heads: readonly Buffer[]) => {
        const packed = packKeys(heads);
        thread.order({ kind: 'objects', id, heads: packed }, [packed.buffer]);
      },
      evaluate: async () => {
        try {
          operation.takeTurn();
        } catch (error) {
          return { kind: 'error', error: error as Error };
        }
        const { meter } = operation.settings;
        const beganMs = meter?.nowMs() ?? 0;
        const outcome = outcomeIn(await thread.ask(id), operation);
        if (meter !== undefined) noteThread(operation, meter.nowMs() - beganMs, meter.leastMs);
        return outcome;
      },
      end: () => this.endTask(thread, id),
    };
  }

  /** Evaluates a command that writes a whole value. */
  beginAside(request: Operation<Reply>, ts: HlcTimestamp): AsideEvaluation | undefined {
    if (!(request instanceof CommandRequest)) return undefined;
    const mayCreateBodies = request.settings.mayCreateBodies?.() ?? true;
    const { thread, id } = this.beginTask(request, ts, { mayCreateBodies });
    return new AsideInThread(
      {
        order: (order, transfer) => thread.order(order, transfer),
        ask: (asked) => thread.ask(asked),
        end: (ended) => this.endTask(thread, ended),
        emits: (effects) => request.evaluatedElsewhere(effects),
      },
      id,
    );
  }

  private beginTask(
    request: GroupRequest,
    ts: HlcTimestamp,
    aside: (EvaluationOrder & { readonly kind: 'begin' })['aside'],
  ): { readonly thread: RunningThread; readonly id: number } {
    this.cancelEnd?.();
    this.thread ??= this.start();
    const { thread } = this;
    const id = ++this.lastId;
    thread.begin(id);
    const { maxStringBytes } = request.settings;
    const encoded = encodeBatch(ANY_GROUP, [request]);
    const order = { kind: 'begin', id, ts, request: encoded, maxStringBytes, aside } as const;
    thread.order(order, ownMemory(encoded));
    return { thread, id };
  }

  private endTask(thread: RunningThread, id: number): void {
    thread.end(id);
    if (thread.tasks.size === 0 && this.thread === thread) this.endLater();
  }

  private start(): RunningThread {
    const thread: RunningThread = new RunningThread(this.program, this.heapMib, () => {
      if (this.thread === thread) this.thread = undefined;
    });
    return thread;
  }

  private endLater(): void {
    this.cancelEnd = this.scheduler.after(IDLE_MS, () => this.end());
  }

  /** Ends the thread; what it has not answered fails. */
  end(): void {
    this.cancelEnd?.();
    this.thread?.stop();
    this.thread = undefined;
  }
}

/** The memory of a buffer that nobody else has a part of: it changes hands, where it would be copied with all that lies behind the bytes. */
const ownMemory = ({ buffer }: Buffer): ArrayBuffer[] =>
  buffer instanceof ArrayBuffer && buffer.byteLength > Buffer.poolSize ? [buffer] : [];

function outcomeIn(report: EvaluationReport, request: GroupRequest): LongOutcome {
  if (report.kind === 'missing') return { kind: 'missing', keys: report.keys.map(bufferOf) };
  if (report.kind === 'alone') return { kind: 'error', error: new RunAloneError() };
  assert(report.kind === 'reply', 'what only reads writes nothing');
  request.evaluatedElsewhere(report.effects);
  return { kind: 'reply', reply: new EncodedReply(bufferOf(report.reply)) };
}
