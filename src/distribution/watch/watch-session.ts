/**
 * The server's side of one watch stream: which message comes next. Does no I/O and keeps no clock; whoever owns the stream
 * asks `next` whenever the catalog changed, an acknowledgement came in, or a beat is due, until it answers undefined.
 *
 * A watcher that is too far behind for the change log gets all routes of one version in pages. The pages are read from
 * that version's immutable table, so they fit together however the catalog goes on meanwhile.
 */
import type { CatalogState } from '../catalog/index.ts';
import { CatalogCorruptError, type CatalogVersion, InvalidCursorError, type Route } from '../contract/index.ts';
import type { RouteTable } from '../routes/index.ts';
import type { WatchMessage, WatchRequest } from './watch-messages.ts';

/** Limits of a watch stream, each with its reason. */
export const WATCH_LIMITS = {
  /** Most deltas in one batch, whatever the watcher asks for: a batch is applied in one event-loop turn. */
  maxBatch: 1_024,
  defaultBatch: 128,
  /** A batch ends when its deltas reach this size, so that a message fits into a frame. */
  maxBatchBytes: 1024 * 1024,
  minPageRoutes: 256,
  maxPageRoutes: 4_096,
  defaultPageRoutes: 1_024,
  /** Messages that may be unacknowledged: a slow watcher holds back itself, not the server's memory. */
  window: 4,
  /** A stream whose window has been full for this long is given up; the watcher resumes by its cursor. */
  stallMs: 10_000,
  beatMs: 1_000,
} as const;

const clamp = (value: number, low: number, high: number): number => Math.min(high, Math.max(low, value));

/** See the top of the file. */
export class WatchSession {
  private readonly maxBatch: number;
  private readonly pageRoutes: number;
  private nextSeq = 1;
  /** Version that the watcher will have when it got everything that was sent. */
  private cursor: CatalogVersion;
  /** Incarnation of `cursor`; undefined makes the next message a reset. */
  private incarnation: number | undefined;
  /** A snapshot that is being sent. */
  private reset: { readonly table: RouteTable; readonly routes: Iterator<Route>; page: number } | undefined;
  /** Sent and not acknowledged, oldest first. */
  private readonly unacked: { readonly seq: number; readonly version: CatalogVersion; readonly sentMs: number }[] = [];
  private publishedVersion: CatalogVersion;
  private lastSentMs: number;

  /** @param nowMs monotonic clock, as everywhere here */
  constructor(request: WatchRequest, nowMs: number, pageRoutes: number = WATCH_LIMITS.defaultPageRoutes) {
    this.maxBatch = clamp(request.maxBatch, 1, WATCH_LIMITS.maxBatch);
    this.pageRoutes = clamp(pageRoutes, WATCH_LIMITS.minPageRoutes, WATCH_LIMITS.maxPageRoutes);
    this.cursor = request.cursor;
    this.publishedVersion = request.cursor;
    this.incarnation = request.incarnation === 0 ? undefined : request.incarnation;
    this.lastSentMs = nowMs;
  }

  /** Version that the watcher is known to have published; the change log is kept from there on within its limits. */
  get ackedVersion(): CatalogVersion {
    return this.publishedVersion;
  }

  /**
   * The next message, or undefined when there is nothing to say or the window is full.
   * @param leaderTerm of the catalog group, for beats
   * @throws InvalidCursorError when the watcher is ahead of this catalog
   * @throws CatalogCorruptError when the change log has a hole: never papered over by a snapshot
   */
  next(state: CatalogState, nowMs: number, leaderTerm: number): WatchMessage | undefined {
    const message = this.unacked.length < WATCH_LIMITS.window ? this.news(state) : undefined;
    if (message !== undefined) {
      this.unacked.push({ seq: message.seq, version: this.cursor, sentMs: nowMs });
      this.lastSentMs = nowMs;
      return message;
    }
    if (state.meta === undefined || nowMs - this.lastSentMs < WATCH_LIMITS.beatMs) return undefined;
    this.lastSentMs = nowMs;
    return { kind: 'beat', incarnation: state.meta.incarnation, version: state.meta.version, leaderTerm };
  }

  private news(state: CatalogState): Exclude<WatchMessage, { kind: 'beat' }> | undefined {
    const { meta, log } = state;
    if (meta === undefined) return undefined;
    if (this.reset !== undefined) return this.page(this.reset);
    if (this.incarnation !== meta.incarnation) return this.startReset(state.routes);
    if (this.cursor > meta.version) throw new InvalidCursorError(this.cursor, meta.version);
    if (this.cursor === meta.version) return undefined;
    if (this.cursor + 1 < meta.deltaFloor) return this.startReset(state.routes);

    const deltas: Buffer[] = [];
    let bytes = 0;
    while (this.cursor < meta.version && deltas.length < this.maxBatch) {
      const delta = log.encoded(this.cursor + 1);
      if (delta === undefined) throw new CatalogCorruptError(`delta ${this.cursor + 1} is missing from the change log`);
      if (deltas.length > 0 && bytes + delta.length > WATCH_LIMITS.maxBatchBytes) break;
      deltas.push(delta);
      bytes += delta.length;
      this.cursor++;
    }
    return { kind: 'batch', seq: this.nextSeq++, incarnation: meta.incarnation, deltas };
  }

  private startReset(table: RouteTable): WatchMessage & { kind: 'reset' } {
    this.reset = { table, routes: table.all(), page: 0 };
    // Until the last page the watcher has what it had before.
    return this.page(this.reset);
  }

  private page(reset: { readonly table: RouteTable; readonly routes: Iterator<Route>; page: number }) {
    const routes: Route[] = [];
    const from = reset.page * this.pageRoutes;
    const count = Math.min(this.pageRoutes, reset.table.size - from);
    while (routes.length < count) routes.push(reset.routes.next().value);
    const isLast = from + count === reset.table.size;
    const { version, incarnation } = reset.table;
    const message = {
      kind: 'reset',
      seq: this.nextSeq++,
      incarnation,
      version,
      page: reset.page++,
      isLast,
      routes,
    } as const;
    if (isLast) {
      this.reset = undefined;
      this.cursor = version;
      this.incarnation = incarnation;
    }
    return message;
  }

  /** The watcher has taken all messages up to this one. */
  ack(seq: number): void {
    while (this.unacked.length > 0 && this.unacked[0]!.seq <= seq) {
      this.publishedVersion = this.unacked.shift()!.version;
    }
  }

  /** True when the watcher has not taken anything for so long that its stream should be ended. */
  isStalled(nowMs: number): boolean {
    const oldest = this.unacked[0];
    return (
      this.unacked.length >= WATCH_LIMITS.window && oldest !== undefined && nowMs - oldest.sentMs > WATCH_LIMITS.stallMs
    );
  }
}
