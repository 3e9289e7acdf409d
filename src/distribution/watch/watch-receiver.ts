/**
 * The watcher's side of one stream: takes messages and publishes whole versions to the node's route engine. Several
 * streams (an old leader's and a new one's, a poll beside a stream) may feed one engine: what is not newer is ignored.
 */
import { assertNever } from '../../platform/index.ts';
import { CatalogCorruptError, type CatalogVersion, decodeDelta, RouteTableError } from '../contract/index.ts';
import { type RouteEngine, RouteTableLoader } from '../routes/index.ts';
import type { WatchBatch, WatchMessage, WatchRequest, WatchReset } from './watch-messages.ts';
import { WATCH_LIMITS } from './watch-session.ts';

/**
 * Why a stream is of no more use:
 * - `GAP`: something before this message is missing; ask again from the cursor.
 * - `OLD_INCARNATION`: it comes from before a restore of the catalog; ask somebody else.
 * - `INVALID`: the message does not fit what was published; ask for a snapshot.
 */
export type WatchProblem = 'GAP' | 'OLD_INCARNATION' | 'INVALID';

/** What became of a message. */
export interface WatchStep {
  /** A newer version is current now. */
  readonly isPublished: boolean;
  /** Acknowledge this number; undefined for beats and on problems. */
  readonly ack: number | undefined;
  /** End the stream and watch again with `nextRequest`. */
  readonly problem: WatchProblem | undefined;
}

/** See the top of the file. */
export class WatchReceiver {
  private readonly engine: RouteEngine;
  /** Pages of a reset that has begun. */
  private reset:
    | { readonly version: CatalogVersion; readonly incarnation: number; pages: number; loader: RouteTableLoader }
    | undefined;

  constructor(engine: RouteEngine) {
    this.engine = engine;
  }

  /**
   * What to ask for, from what is published now.
   * @param afterProblem of the stream before, if there was one
   */
  static nextRequest(
    engine: RouteEngine,
    nodeId: WatchRequest['nodeId'],
    afterProblem?: WatchProblem,
    maxBatch: number = WATCH_LIMITS.defaultBatch,
  ): WatchRequest {
    const { version, incarnation } = engine.current;
    const needsSnapshot = version === 0 || afterProblem === 'INVALID';
    return { cursor: version, incarnation: needsSnapshot ? 0 : incarnation, maxBatch, nodeId };
  }

  /** Takes the next message of the stream. Readers see all of a batch or of a snapshot at once, or nothing of it. */
  receive(message: WatchMessage): WatchStep {
    if (message.incarnation < this.engine.current.incarnation) return refuse('OLD_INCARNATION');
    try {
      switch (message.kind) {
        case 'batch':
          return this.batch(message);
        case 'reset':
          return this.page(message);
        case 'beat':
          return { isPublished: false, ack: undefined, problem: undefined };
        default:
          return assertNever(message);
      }
    } catch (error) {
      if (error instanceof RouteTableError || error instanceof CatalogCorruptError) return refuse('INVALID');
      throw error;
    }
  }

  private batch(message: WatchBatch): WatchStep {
    let table = this.engine.current;
    if (message.incarnation !== table.incarnation || this.reset !== undefined) return refuse('GAP');
    for (const encoded of message.deltas) {
      const delta = decodeDelta(encoded);
      if (delta.version <= table.version) continue;
      if (delta.version > table.version + 1) return refuse('GAP');
      table = table.apply(delta);
    }
    return { isPublished: this.engine.publish(table), ack: message.seq, problem: undefined };
  }

  private page(message: WatchReset): WatchStep {
    const { version, incarnation, page, routes, isLast } = message;
    if (page === 0) this.reset = { version, incarnation, pages: 0, loader: new RouteTableLoader() };
    const { reset } = this;
    if (reset === undefined || reset.version !== version || reset.incarnation !== incarnation) return refuse('GAP');
    // A page again; the stream would not do that, but it does no harm.
    if (page < reset.pages) return { isPublished: false, ack: message.seq, problem: undefined };
    if (page > reset.pages) return refuse('GAP');
    reset.pages++;
    for (const route of routes) reset.loader.add(route);
    if (!isLast) return { isPublished: false, ack: message.seq, problem: undefined };
    this.reset = undefined;
    const table = reset.loader.finish(version, incarnation);
    return { isPublished: this.engine.publish(table), ack: message.seq, problem: undefined };
  }
}

const refuse = (problem: WatchProblem): WatchStep => ({ isPublished: false, ack: undefined, problem });
