/** Keys of the whole cluster from one node: steps go to the group that has their keys, batches to all that have some, scans through them in order. */

import { type GroupId, type HlcTimestamp, KvorumError, type Millis, NEVER } from '../../platform/index.ts';
import { TooLargeError } from '../../raftengine/index.ts';
import { isCrossGroup, type KvService, type ScanPage, type ScanRequest, type ScanRow } from '../contract/index.ts';
import { GroupRouter, type GroupRouterOptions } from '../forward/index.ts';
import { decodeAnswer, decodePage, encodeMessage, KV_SERVICE } from './codec.ts';
import { PartlyDoneError } from './errors.ts';
import {
  evaluateStep,
  isReadOnly,
  type KvAnswer,
  type KvOperation,
  type KvRange,
  type KvResult,
  type KvStep,
  keysOf,
} from './operations.ts';

/** Rows of a page at most; it also ends when its values are large. */
const PAGE_ROWS = 512;
/** How long one page may take, whatever the whole scan may. */
const PAGE_TIMEOUT_MS: Millis = 10_000;
/** Keys and roughly bytes of one step of a batch: large enough to share an entry, small enough to leave room for others. */
const MAX_STEP_KEYS = 512;
const MAX_STEP_BYTES = 1024 * 1024;
/** Steps of a batch that are under way at a time. */
const STEPS_AT_A_TIME = 16;

const NOTHING: readonly KvOperation[] = [];

/** What became of one operation of a batch. */
export type BatchOutcome =
  | { readonly error: KvorumError }
  | { readonly error: undefined; readonly result: KvResult; readonly ts: HlcTimestamp };

export interface ScanOptions {
  /** Undefined is no limit. */
  readonly limit: number | undefined;
  /** A page ends when its keys and values reach this; left out: when what a node holds of it does. */
  readonly maxBytes?: number;
  readonly reverse: boolean;
  readonly keysOnly: boolean;
}

/** A page, with the range that it is complete in. */
export interface ServedPage {
  readonly rows: readonly ScanRow[];
  /** Inclusive. */
  readonly start: Buffer;
  /** Exclusive. */
  readonly end: Buffer;
  readonly ts: HlcTimestamp;
  /** Everything that was acknowledged longer ago is in it; undefined: nobody knows. */
  readonly stalenessMs: Millis | undefined;
}

/** What a session that has seen a page must not fall behind: a value may have come from a clock that is ahead. */
export function newestIn({ rows, ts }: ServedPage): HlcTimestamp {
  let newest = ts;
  for (const { commitTs } of rows) if (commitTs > newest) newest = commitTs;
  return newest;
}

/** A page, and how old it is. */
export interface TimedPage {
  readonly page: ScanPage;
  readonly stalenessMs: Millis | undefined;
}

/** Who answers the pages of a scan: a group for what it has, or somebody who finds the groups himself. */
export type PageSource =
  | { ofGroup(group: GroupId, request: ScanRequest, deadlineMs: Millis): Promise<TimedPage> }
  | { ofRange(request: ScanRequest, deadlineMs: Millis, signal: AbortSignal): Promise<TimedPage> };

export class KvCluster {
  readonly router: GroupRouter;
  private readonly kv: KvService;

  constructor(options: GroupRouterOptions) {
    this.router = new GroupRouter(options);
    this.kv = options.kv;
  }

  /** A moment from now on the monotonic clock. */
  deadline(timeoutMs: Millis): Millis {
    return this.router.deadline(timeoutMs);
  }

  /** Does a step whose keys are all in one group. @throws CrossGroupError when they are not: nothing happened */
  async step(step: KvStep, deadlineMs: Millis): Promise<KvAnswer> {
    return this.router.at(keysOf(step), { deadlineMs, isRead: isReadOnly(step) }, (group) =>
      this.stepOf(group, step, deadlineMs),
    );
  }

  private stepOf(group: GroupId, step: KvStep, deadlineMs: Millis): Promise<KvAnswer> {
    const remote = {
      service: KV_SERVICE,
      encode: (asked: GroupId) => encodeMessage({ kind: 'step', group: asked, step }),
      decode: decodeAnswer,
    };
    return this.router.run(group, (view) => evaluateStep(view, step), remote, deadlineMs);
  }

  /** One operation on one key. */
  async one(
    operation: KvOperation,
    deadlineMs: Millis,
  ): Promise<{ readonly result: KvResult; readonly ts: HlcTimestamp }> {
    const { results, ts } = await this.step(stepOf([operation]), deadlineMs);
    return { result: results[0]!, ts };
  }

  /** Each operation by itself, those of one group together where that is possible; a key that is written is named once. */
  async batch(operations: readonly PointOperation[], deadlineMs: Millis): Promise<BatchOutcome[]> {
    const outcomes = new Array<BatchOutcome>(operations.length);
    const steps = this.cut(operations);
    const runNext = async (): Promise<void> => {
      for (let places = steps.shift(); places !== undefined; places = steps.shift()) {
        const step = stepOf(places.map((at) => operations[at]!));
        try {
          const { results, ts } = await this.step(step, deadlineMs);
          places.forEach((place, at) => {
            outcomes[place] = { error: undefined, result: results[at]!, ts };
          });
        } catch (error) {
          if (!(error instanceof KvorumError)) throw error;
          const isCut = isCrossGroup(error);
          const isDivisible = places.length > 1 && (isCut || error instanceof TooLargeError);
          // A range was moved or split meanwhile, or what fits one by one does not fit together.
          if (isDivisible) steps.push(...(isCut ? this.cutAgain(operations, places) : halves(places)));
          else for (const place of places) outcomes[place] = { error };
        }
      }
    };
    await Promise.all(Array.from({ length: STEPS_AT_A_TIME }, runNext));
    return outcomes;
  }

  /** Places of operations that may go in one step. */
  private cut(operations: readonly PointOperation[]): number[][] {
    const groups = this.router.byGroup(operations.map(({ key }) => key));
    const steps: number[][] = [];
    for (const places of groups.values()) {
      let step: number[] = [];
      let bytes = 0;
      for (const at of places) {
        const operation = operations[at]!;
        const size = operation.key.length + (operation.kind === 'put' ? operation.value.length : 0);
        if (step.length >= MAX_STEP_KEYS || (step.length > 0 && bytes + size > MAX_STEP_BYTES)) {
          steps.push(step);
          step = [];
          bytes = 0;
        }
        step.push(at);
        bytes += size;
      }
      steps.push(step);
    }
    return steps;
  }

  private cutAgain(operations: readonly PointOperation[], places: readonly number[]): number[][] {
    const groups = this.router.byGroup(places.map((at) => operations[at]!.key));
    return [...groups.values()].map((inner) => inner.map((at) => places[at]!));
  }

  /** Deletes a range group by group. @returns how many parts there were, and when the last was @throws PartlyDoneError */
  async deleteRange(
    { start, end }: KvRange,
    deadlineMs: Millis,
  ): Promise<{ readonly parts: number; readonly ts: HlcTimestamp | undefined }> {
    let parts = 0;
    let newest: HlcTimestamp | undefined;
    for (let from = start; Buffer.compare(from, end) < 0; parts++) {
      try {
        from = await this.router.at([from], { deadlineMs, isRead: false }, async (group, stretch) => {
          const to = boundOf(stretch?.end ?? this.kv.stretchAt(from).end, end);
          const { ts } = await this.stepOf(group, stepOf([{ kind: 'deleteRange', start: from, end: to }]), deadlineMs);
          if (newest === undefined || ts > newest) newest = ts;
          return to;
        });
      } catch (error) {
        if (parts === 0 || !(error instanceof KvorumError)) throw error;
        throw new PartlyDoneError(`only a part of the range is deleted: ${error.message}`);
      }
    }
    return { parts, ts: newest };
  }

  /** Until when one page of a scan is waited for that may take until `deadlineMs`, monotonic both. */
  pageDeadline(deadlineMs: Millis): Millis {
    return Math.min(deadlineMs, this.deadline(PAGE_TIMEOUT_MS));
  }

  /**
   * Pages in scan order, each where the one before ended. From leaders each is of one moment and linearizable.
   * @param deadlineMs of the whole scan, on the monotonic clock
   */
  async *scan(
    range: KvRange,
    options: ScanOptions,
    deadlineMs: Millis,
    signal: AbortSignal,
    source: PageSource = this.leaders,
  ): AsyncGenerator<ServedPage> {
    const { keysOnly, reverse, maxBytes } = options;
    let { start, end } = range;
    let left = options.limit ?? Number.POSITIVE_INFINITY;
    while (left > 0 && Buffer.compare(start, end) < 0) {
      const bounds = { limit: Math.min(PAGE_ROWS, left), ...(maxBytes === undefined ? {} : { maxBytes }) };
      const request = { start, end, ...bounds, keysOnly, reverse };
      const untilMs = this.pageDeadline(deadlineMs);
      const page =
        'ofRange' in source
          ? servedPage(request, await source.ofRange(request, untilMs, signal))
          : await (reverse
              ? this.pageBefore(request, source.ofGroup, untilMs, signal)
              : this.pageFrom(request, source.ofGroup, untilMs, signal));
      left -= page.rows.length;
      yield page;
      if (reverse) end = page.start;
      else start = page.end;
    }
  }

  private pageFrom(
    request: ScanRequest,
    ofGroup: GroupPages,
    deadlineMs: Millis,
    signal: AbortSignal,
  ): Promise<ServedPage> {
    return this.router.at([request.start], { deadlineMs, isRead: true, signal }, async (group, stretch) => {
      // A group that was named in a refusal knows its own end; the directory's may be that of another range.
      const part = { ...request, end: boundOf(stretch?.end, request.end) };
      return servedPage(part, await ofGroup(group, part, deadlineMs));
    });
  }

  private pageBefore(
    request: ScanRequest,
    ofGroup: GroupPages,
    deadlineMs: Millis,
    signal: AbortSignal,
  ): Promise<ServedPage> {
    return this.router.at([request.start], { deadlineMs, isRead: true, signal }, async () => {
      // Hints are about the start of the range; here its end is asked for, so the directory alone decides.
      const last = this.router.lastStretch(request.start, request.end);
      const part = { ...request, start: last.start };
      return servedPage(part, await ofGroup(last.group, part, deadlineMs));
    });
  }

  private readonly leaders: PageSource = {
    ofGroup: async (group, request, deadlineMs) => {
      const beganMs = this.deadline(0);
      const remote = {
        service: KV_SERVICE,
        encode: (asked: GroupId) => encodeMessage({ kind: 'page', group: asked, page: request }),
        decode: decodePage,
      };
      const page = await this.router.page(group, request, remote, deadlineMs);
      return { page, stalenessMs: this.deadline(0) - beganMs };
    },
  };
}

type GroupPages = (group: GroupId, request: ScanRequest, deadlineMs: Millis) => Promise<TimedPage>;

/** A page with its bounds: it ends where the question did, unless it says where to go on. */
function servedPage({ start, end, reverse }: ScanRequest, { page, stalenessMs }: TimedPage): ServedPage {
  const { rows, next, readTs: ts = NEVER } = page;
  return reverse === true
    ? { rows, start: next ?? start, end, ts, stalenessMs }
    : { rows, start, end: next ?? end, ts, stalenessMs };
}

/** An operation on one key. */
export type PointOperation = Exclude<KvOperation, { readonly kind: 'deleteRange' }>;

const stepOf = (success: readonly KvOperation[]): KvStep => ({ conditions: [], success, failure: NOTHING });

/** The nearer of two ends; undefined is the end of the key space. */
const boundOf = (one: Buffer | undefined, other: Buffer): Buffer =>
  one !== undefined && Buffer.compare(one, other) < 0 ? one : other;

const halves = (places: number[]): number[][] => {
  const middle = places.length >> 1;
  return [places.slice(0, middle), places.slice(middle)];
};
