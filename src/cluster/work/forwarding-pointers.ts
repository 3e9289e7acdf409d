/**
 * Takes down what points at moves that are so old that everybody knows: a group that gave a range away keeps saying who has
 * it, for requests that come by an old directory. One node of the cluster does it, and notes how far it has come.
 */
import type { JobRow } from '../../distribution/index.ts';
import type { SpanClient } from '../../kv/index.ts';
import { type Clock, KvorumError, type Millis } from '../../platform/index.ts';
import type { CatalogClient } from '../contract/index.ts';
import type { WorkUnit } from './runner.ts';

export interface ForwardingPointersOptions {
  readonly catalog: Pick<CatalogClient, 'jobs' | 'clusterState'>;
  readonly spans: Pick<SpanClient, 'command'>;
  readonly clock: Clock;
  /** How long a forwarding pointer stays. */
  readonly forwardingPointerMs: Millis;
  /** How often it is looked whether there are old ones. */
  readonly sweepMs: Millis;
  /** A forwarding pointer could not be taken down; it is tried again the next time. */
  readonly onError: (job: JobRow, error: unknown) => void;
}

/** What the next one wants to know. */
export interface ForwardingPointerNotes {
  /** Unix milliseconds of the last time. */
  readonly atMs: Millis;
  /** Forwarding pointers of moves that ended up to this time are down. */
  readonly downToMs: Millis;
}

/** Moves whose end is noted at one time may be told again once: clocks of leaders differ, and to forget twice is harmless. */
const OVERLAP_MS: Millis = 60_000;
/** Moves ended within one commit of each other; more are taken in the next round. */
const MAX_PER_ROUND = 256;
const NOTES_BYTES = 16;

/** The notes as they are stored with the lease. */
export function encodeForwardingPointerNotes({ atMs, downToMs }: ForwardingPointerNotes): Buffer {
  const bytes = Buffer.alloc(NOTES_BYTES);
  bytes.writeBigUInt64BE(BigInt(Math.max(0, Math.floor(atMs))), 0);
  bytes.writeBigUInt64BE(BigInt(Math.max(0, Math.floor(downToMs))), 8);
  return bytes;
}

/** Notes of an unknown form, and none, mean that nothing is known. */
export function decodeForwardingPointerNotes(bytes: Buffer | undefined): ForwardingPointerNotes {
  if (bytes?.length !== NOTES_BYTES) return { atMs: 0, downToMs: 0 };
  return { atMs: Number(bytes.readBigUInt64BE(0)), downToMs: Number(bytes.readBigUInt64BE(8)) };
}

/** The unit of work. */
export function forwardingPointerWork(options: ForwardingPointersOptions): WorkUnit {
  const { catalog, spans, clock, forwardingPointerMs, sweepMs, onError } = options;
  return {
    name: 'signposts',
    // A wall clock that was set back must not stop it for long.
    isDue: (notes) => Math.abs(clock.nowMs() - decodeForwardingPointerNotes(notes).atMs) >= sweepMs,
    async run({ notes, signal }) {
      const before = decodeForwardingPointerNotes(notes);
      const oldestMs = clock.nowMs() - forwardingPointerMs;
      const jobs = await catalog.jobs();
      const { groups } = await catalog.clusterState();
      const isThere = new Set(groups.flatMap(({ id, state }) => (state === 'ACTIVE' ? [id] : [])));
      const due = jobs
        .filter(({ phase, updatedMs }) => phase === 'DONE' && updatedMs <= oldestMs)
        .filter(({ src, updatedMs }) => isThere.has(src) && updatedMs > before.downToMs - OVERLAP_MS)
        .sort((left, right) => left.updatedMs - right.updatedMs);
      let downToMs = before.downToMs;
      let hasFailed = false;
      for (const job of due.slice(0, MAX_PER_ROUND)) {
        signal.throwIfAborted();
        try {
          const { outcome } = await spans.command(job.src, { kind: 'forget', job: job.id });
          if (outcome.kind === 'refused') onError(job, new Error(`group ${job.src} keeps it: ${outcome.reason}`));
        } catch (error) {
          if (!(error instanceof KvorumError)) throw error;
          onError(job, error);
          hasFailed = true;
        }
        // What failed is come back to, so nothing behind it counts as done.
        if (!hasFailed) downToMs = Math.max(downToMs, job.updatedMs);
      }
      return encodeForwardingPointerNotes({ atMs: clock.nowMs(), downToMs });
    },
  };
}
