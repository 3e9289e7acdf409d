/**
 * The catalog where its group is led. All rows are in memory as a `CatalogState`; operations are decided from it strictly one
 * after another, written as one operation on the group each, and only then is the state taken forward.
 *
 * One row guards all of it: every commit writes the meta row, whether it changes it or not, on condition that the row
 * still has the commit timestamp that this leader knows. So whoever decided from a state that is no longer the newest
 * writes nothing, whatever the decision was made from. Refusals and reads are confirmed by the same question before they
 * leave, because a leader that was replaced does not know it.
 */
import {
  advanceCatalog,
  alignedCuts,
  type BootstrapOp,
  CATALOG_END,
  CATALOG_START,
  CatalogCorruptError,
  CatalogError,
  type CatalogMutation,
  type CatalogOp,
  type CatalogState,
  type CatalogVersion,
  DEFAULT_RETENTION,
  encodeMeta,
  type KeyRules,
  loadCatalogSteps,
  META_KEY,
  PLAIN_KEYS,
  type PlanContext,
  planCatalog,
  type RetentionPolicy,
  type RoutesResult,
} from '../../distribution/index.ts';
import { type KeyView, NotOwnerError, type ScanRow } from '../../kv/index.ts';
import {
  type Clock,
  dispositionOf,
  type HlcTimestamp,
  hlcTimestamp,
  KvorumError,
  type Millis,
  NEVER,
  physicalMs,
  type Scheduler,
  sleep,
  type Term,
} from '../../platform/index.ts';
import { BusyError, NotLeaderError } from '../../raftengine/index.ts';
import type { CatalogReply, CatalogRequest } from '../contract/index.ts';
import { earlierResult } from './earlier-result.ts';
import { CatalogMessageError, LostResultError } from './errors.ts';
import type { CatalogGroup } from './group.ts';
import type { CatalogSource } from './source.ts';

/** Requests that wait for their turn; more are refused with `BusyError`. A thousand commits take seconds. */
const MAX_WAITING = 1_024;
/** Rows of one page while loading. */
const PAGE_ROWS = 1_000;
/** Between attempts to load. */
const LOAD_RETRY_MS: Millis = 50;
/** Damaged rows do not get better by looking often. */
const CORRUPT_RETRY_MS: Millis = 5_000;
/** Times that one request is decided again because the rows were not those of the state. */
const MAX_TRIES = 5;
/** Refusals and reads may be answered in one turn of the event loop, and rows decoded; after this long it is given up. */
const SLICE_MS: Millis = 5;

const ABSENT: HlcTimestamp = hlcTimestamp(0n);

/** What a request comes to: rows to write, none for what only reads, and the answer. */
interface Decision {
  readonly mutations: readonly CatalogMutation[];
  readonly reply: unknown;
  readonly refusal: Error | undefined;
}

interface Task {
  readonly decide: (state: CatalogState) => Decision;
  readonly resolve: (reply: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** One uninterrupted leadership. Whoever awaited something asks whether it is still the present one. */
interface Session {
  readonly term: Term;
  /** Undefined while the rows are being loaded. */
  state: CatalogState | undefined;
  /** Commit timestamp of the meta row that `state` was made from; ABSENT without one. */
  metaTs: HlcTimestamp;
  /** Set when the rows are damaged: everything is refused with it. */
  failure: Error | undefined;
  readonly waiting: Task[];
  isWorking: boolean;
}

/** What became of a write. */
type Committed =
  | { readonly kind: 'done'; readonly commitTs: HlcTimestamp }
  /** The meta row is another one. Nothing was written. */
  | { readonly kind: 'stale' }
  | { readonly kind: 'failed'; readonly error: Error };

/** What `CatalogLeader` is made of. */
export interface CatalogLeaderOptions {
  readonly group: CatalogGroup;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly retention?: RetentionPolicy;
  /** Where ranges may be cut; between any two keys by default. */
  readonly keyRules?: Pick<KeyRules, 'align'>;
  /** Hears of failed attempts to load the rows; they are repeated. */
  readonly onError?: (error: unknown) => void;
}

/** See the top of the file. */
export class CatalogLeader implements CatalogSource {
  private readonly group: CatalogGroup;
  private readonly clock: Clock;
  private readonly scheduler: Scheduler;
  private readonly retention: RetentionPolicy;
  private readonly keyRules: Pick<KeyRules, 'align'>;
  private readonly onError: (error: unknown) => void;
  private readonly listeners = new Set<() => void>();
  private session: Session | undefined;
  private lastTerm: Term = 0;
  private sliceStartMs: Millis = 0;
  private slowestCursor: () => CatalogVersion | undefined = () => undefined;

  constructor(options: CatalogLeaderOptions) {
    this.group = options.group;
    this.clock = options.clock;
    this.scheduler = options.scheduler;
    this.retention = options.retention ?? DEFAULT_RETENTION;
    this.keyRules = options.keyRules ?? PLAIN_KEYS;
    this.onError = options.onError ?? (() => undefined);
    this.group.onLeadership(() => this.followLeadership());
    this.followLeadership();
  }

  get state(): CatalogState | undefined {
    return this.session?.state;
  }

  get leaderTerm(): Term {
    return this.lastTerm;
  }

  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  trackSlowestCursor(slowest: () => CatalogVersion | undefined): void {
    this.slowestCursor = slowest;
  }

  /**
   * Runs an operation after all that were asked for before it.
   * @param isRepeat an earlier request for the same operation had an unknown outcome: if it took place, its answer is given
   * @throws CatalogError: refused, nothing was written; NotLeaderError, BusyError: nothing happened; OutcomeUnknownError
   */
  run<Request extends CatalogRequest>(asked: Request, isRepeat = false): Promise<CatalogReply<Request>> {
    return this.enqueue<CatalogReply<Request>>((state) => {
      const request = alignedCuts(asked, this.keyRules);
      const earlier = isRepeat ? earlierResult(state, request) : undefined;
      switch (earlier?.kind) {
        case 'done':
          return { mutations: [], reply: earlier.reply, refusal: undefined };
        case 'unknown':
          return { mutations: [], reply: undefined, refusal: new LostResultError(request.kind) };
        default:
          return this.plan(state, request);
      }
    });
  }

  /** Writes the first rows. @throws as `run` */
  bootstrap(op: BootstrapOp): Promise<RoutesResult> {
    return this.enqueue<RoutesResult>((state) => this.plan(state, op));
  }

  /**
   * Begins a new life of the catalog, whose group may have lost what nodes know already; they start over.
   * @throws as `run`
   */
  restore(): Promise<RoutesResult> {
    return this.enqueue<RoutesResult>((state) => {
      const incarnation = Math.max(physicalMs(this.group.nowTs()), (state.meta?.incarnation ?? 0) + 1);
      return this.plan(state, { kind: 'restore', incarnation });
    });
  }

  /**
   * Reads the catalog as it is at a moment after the call.
   * @param look must not keep the state for decisions later
   * @throws NotLeaderError, BusyError
   */
  read<Reply>(look: (state: CatalogState) => Reply): Promise<Reply> {
    return this.enqueue<Reply>((state) => ({ mutations: [], reply: look(state), refusal: undefined }));
  }

  private plan(state: CatalogState, op: CatalogOp): Decision {
    const context: PlanContext = {
      nowMs: physicalMs(this.group.nowTs()),
      slowestCursor: this.slowestCursor(),
      retention: this.retention,
    };
    const plan = planCatalog(state, op, context);
    if (plan instanceof CatalogError) return { mutations: [], reply: undefined, refusal: plan };
    return { mutations: plan.mutations, reply: plan.result, refusal: undefined };
  }

  private enqueue<Reply>(decide: (state: CatalogState) => Decision): Promise<Reply> {
    return new Promise<Reply>((resolve, reject) => {
      this.followLeadership();
      const session = this.session;
      if (session === undefined) reject(new NotLeaderError(undefined));
      else if (session.failure !== undefined) reject(session.failure);
      else if (session.waiting.length >= MAX_WAITING) {
        reject(new BusyError('too many operations wait for the catalog; try again later'));
      } else {
        session.waiting.push({ decide, resolve: (reply) => resolve(reply as Reply), reject });
        this.startWork(session);
      }
    });
  }

  // ---- Leadership ----

  /** Makes the session that of the present leadership, if there is one. */
  private followLeadership(): void {
    const term = this.group.isServing ? this.group.term : undefined;
    if (this.session !== undefined && this.session.term !== term) this.forget(this.session);
    if (this.session !== undefined || term === undefined) return;
    this.lastTerm = term;
    this.session = { term, state: undefined, metaTs: ABSENT, failure: undefined, waiting: [], isWorking: false };
    this.startWork(this.session);
  }

  /** Leadership is over: nothing that is known here is known to be true any more. */
  private forget(session: Session): void {
    this.session = undefined;
    session.state = undefined;
    for (const task of session.waiting.splice(0)) task.reject(new NotLeaderError(undefined));
    this.notify();
  }

  private isPresent(session: Session): boolean {
    return this.session === session;
  }

  private notify(): void {
    for (const listener of this.listeners) {
      try {
        listener();
      } catch (error) {
        // Requests go on whatever those who listen make of it.
        this.onError(error);
      }
    }
  }

  // ---- One after another ----

  private startWork(session: Session): void {
    if (session.isWorking) return;
    session.isWorking = true;
    this.work(session).catch((error: unknown) => this.onError(error));
  }

  /** Loads the rows if need be and runs what waits, as long as the session lasts. */
  private async work(session: Session): Promise<void> {
    this.sliceStartMs = this.clock.monotonicMs();
    try {
      while (this.isPresent(session)) {
        if (session.state === undefined) await this.load(session);
        const task = session.waiting.shift();
        if (task === undefined) break;
        await this.execute(session, task);
        if (this.clock.monotonicMs() - this.sliceStartMs < SLICE_MS) continue;
        await sleep(this.scheduler, 0);
        this.sliceStartMs = this.clock.monotonicMs();
      }
    } finally {
      session.isWorking = false;
    }
  }

  private async execute(session: Session, task: Task): Promise<void> {
    for (let tries = 1; tries <= MAX_TRIES; tries++) {
      if (session.state === undefined) await this.load(session);
      this.followLeadership();
      const state = session.state;
      if (!this.isPresent(session) || state === undefined) {
        task.reject(new NotLeaderError(undefined));
        return;
      }
      let decision: Decision;
      try {
        decision = task.decide(state);
      } catch (error) {
        // Deciding writes nothing, so whatever is wrong with the request, nothing happened.
        const isKnown = error instanceof KvorumError;
        task.reject(isKnown ? error : new CatalogMessageError('the request makes no sense', { cause: error }));
        return;
      }
      const committed = await this.commit(session.metaTs, state, decision.mutations);
      if (committed.kind === 'stale') {
        this.distrust(session);
        continue;
      }
      if (committed.kind === 'failed') this.fail(session, task, committed.error);
      else this.succeed(session, task, decision, committed.commitTs);
      return;
    }
    task.reject(new BusyError('the catalog changed whenever it was about to be written; try again later'));
  }

  private succeed(session: Session, task: Task, decision: Decision, commitTs: HlcTimestamp): void {
    // Leadership may have ended since: the rows are written all the same, but the state is nobody's any more.
    if (decision.mutations.length > 0 && this.isPresent(session)) {
      try {
        session.state = advanceCatalog(session.state!, decision.mutations);
        session.metaTs = commitTs;
      } catch (error) {
        this.onError(error);
        session.state = undefined;
      }
      this.notify();
    }
    if (decision.refusal !== undefined) task.reject(decision.refusal);
    else task.resolve(decision.reply);
  }

  private fail(session: Session, task: Task, error: Error): void {
    // What is known to have had no effect leaves the state true; all else means looking at the rows again.
    const hadNoEffect =
      error instanceof KvorumError && error.disposition !== 'unknown' && !(error instanceof NotLeaderError);
    if (!hadNoEffect) this.distrust(session);
    task.reject(error);
    this.followLeadership();
  }

  /** The rows are read again before anything else is decided. */
  private distrust(session: Session): void {
    session.state = undefined;
    if (this.isPresent(session)) this.notify();
  }

  /**
   * One operation on the group: nothing happens unless the meta row is the one that `state` was made from. Without
   * mutations it is the confirmation that the state is the newest.
   */
  private commit(metaTs: HlcTimestamp, state: CatalogState, mutations: readonly CatalogMutation[]): Promise<Committed> {
    const meta = mutations.length > 0 && !mutations.some(({ key }) => key.equals(META_KEY)) ? state.meta : undefined;
    return new Promise((resolve) => {
      this.group.submit<Committed>({
        evaluate: (view) => {
          if (metaTsAt(view) !== metaTs) return { kind: 'stale' };
          for (const { key, value } of mutations) {
            if (value === undefined) view.delete(key);
            else view.put(key, value, NEVER);
          }
          if (meta !== undefined) view.put(META_KEY, encodeMeta(meta), NEVER);
          return { kind: 'done', commitTs: view.ts };
        },
        complete: (error, reply) => {
          if (error === undefined) resolve(reply!);
          // The group owns no keys before its first `assign`, so it has no rows either.
          else if (error instanceof NotOwnerError && metaTs === ABSENT && mutations.length === 0) {
            resolve({ kind: 'done', commitTs: ABSENT });
          } else if (dispositionOf(error) === 'restart') resolve({ kind: 'stale' });
          else resolve({ kind: 'failed', error });
        },
      });
    });
  }

  // ---- Loading ----

  /** Settles when the state is there, when the session is over or when the rows are damaged. */
  private async load(session: Session): Promise<void> {
    while (this.isPresent(session)) {
      let retryMs = LOAD_RETRY_MS;
      try {
        const before = await this.readMetaTs();
        const rows = await this.scanRows(session);
        const after = await this.readMetaTs();
        if (!this.isPresent(session)) return;
        // Pages are of different moments: only if nobody wrote in between do they belong together.
        if (before === after) {
          const state = await this.build(session, rows);
          if (state === undefined) return;
          // Founding a cluster over rows that merely were not seen would lose it.
          if ((state.meta === undefined) !== (after === ABSENT)) {
            throw new CatalogCorruptError('the meta row is there and the rows beside it cannot be read');
          }
          session.state = state;
          session.metaTs = after;
          session.failure = undefined;
          this.notify();
          return;
        }
      } catch (error) {
        if (error instanceof CatalogCorruptError) {
          session.failure = error;
          for (const task of session.waiting.splice(0)) task.reject(error);
          retryMs = CORRUPT_RETRY_MS;
        }
        if (!(error instanceof NotLeaderError)) this.onError(error);
      }
      await sleep(this.scheduler, retryMs);
      this.followLeadership();
    }
  }

  /** The state of all rows, without keeping others from the event loop; undefined when the session ended meanwhile. */
  private async build(session: Session, rows: readonly ScanRow[]): Promise<CatalogState | undefined> {
    const steps = loadCatalogSteps(rows);
    while (this.isPresent(session)) {
      const untilMs = this.clock.monotonicMs() + SLICE_MS;
      do {
        const step = steps.next();
        if (step.done === true) return step.value;
      } while (this.clock.monotonicMs() < untilMs);
      await sleep(this.scheduler, 0);
    }
    return undefined;
  }

  private readMetaTs(): Promise<HlcTimestamp> {
    return new Promise((resolve, reject) => {
      this.group.submit<HlcTimestamp>({
        evaluate: metaTsAt,
        complete: (error, reply) => {
          if (error === undefined) resolve(reply!);
          else if (error instanceof NotOwnerError) resolve(ABSENT);
          else reject(error);
        },
      });
    });
  }

  private async scanRows(session: Session): Promise<ScanRow[]> {
    const rows: ScanRow[] = [];
    let start: Buffer | undefined = CATALOG_START;
    while (start !== undefined && Buffer.compare(start, CATALOG_END) < 0 && this.isPresent(session)) {
      try {
        const page = await this.group.scan({ start, end: CATALOG_END, limit: PAGE_ROWS });
        for (const row of page.rows) rows.push(row);
        start = page.next;
      } catch (error) {
        if (error instanceof NotOwnerError) return [];
        throw error;
      }
    }
    return rows;
  }
}

/** Commit timestamp of the meta row, ABSENT without one. */
const metaTsAt = (view: KeyView): HlcTimestamp => view.get(META_KEY)?.commitTs ?? ABSENT;
