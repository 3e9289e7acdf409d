/**
 * Stores the copy of a group: what the place has already is named, the rest is written, several segments at a time and within a rate. Whoever
 * does it again after a failure writes only what is missing.
 */

import { createHash } from 'node:crypto';
import {
  type Backoff,
  type ByteRateLimit,
  backoffMs,
  dispositionOf,
  type GroupId,
  type Millis,
  type Random,
  type Scheduler,
  sleep,
} from '../../platform/index.ts';
import { type CopyManifest, encodeManifest, type SegmentEntry } from '../../store/index.ts';
import type { BackupGroup, BackupObject, BackupPlace } from '../format/index.ts';

/** Segments on their way at a time; each holds some pieces of itself in memory. */
const PARALLEL = 4;
/** Of one segment, beside those that the store makes by itself. */
const ATTEMPTS = 3;
const AGAIN: Backoff = { baseMs: 500, capMs: 5_000, factor: 3, jitter: 'equal' };

/** How far an upload has come. */
export interface UploadProgress {
  /** Bytes of the copy as they are stored. */
  readonly bytes: number;
  /** Of them those that are there, whoever brought them. */
  readonly doneBytes: number;
  /** Of them those that were written. */
  readonly newBytes: number;
}

export interface UploadOptions {
  readonly place: BackupPlace;
  readonly group: GroupId;
  readonly index: number;
  readonly manifest: CopyManifest;
  /** The bytes of a segment; may be asked again. */
  readonly frames: (segment: SegmentEntry) => AsyncIterable<Buffer>;
  readonly limit: ByteRateLimit;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: UploadProgress) => void;
}

/** What has to be stored, and from where. */
interface Content {
  readonly object: BackupObject;
  readonly frames: () => AsyncIterable<Buffer>;
}

/** See the top of the file. @throws errors of the store after some attempts; what the signal was aborted with */
export async function uploadCopy(options: UploadOptions): Promise<BackupGroup> {
  const { place, group, index, manifest, frames, limit, signal, onProgress } = options;
  const copyBytes = encodeManifest(manifest);
  const copySha256 = createHash('sha256').update(copyBytes).digest('hex');
  const copy = place.objectOf(copySha256, copyBytes.length);
  const segments = manifest.segments.map((segment) => place.objectOf(segment.sha256, segment.bytes));
  const whole = async function* (): AsyncGenerator<Buffer> {
    yield copyBytes;
  };
  const contents: Content[] = [
    ...manifest.segments.map((segment, at) => ({ object: segments[at]!, frames: () => frames(segment) })),
    { object: copy, frames: whole },
  ];
  const there = await place.objects();
  const bytes = contents.reduce((sum, { object }) => sum + object.bytes, 0);
  let [doneBytes, newBytes] = [0, 0];
  const tell = (): void => onProgress({ bytes, doneBytes, newBytes });
  // One that is there with another size was cut off by a store that said otherwise.
  const missing = contents.filter(({ object }) => there.get(object.name) !== object.bytes);
  doneBytes = bytes - missing.reduce((sum, { object }) => sum + object.bytes, 0);
  tell();
  const queue = missing.values();
  const failure = new AbortController();
  const stop = AbortSignal.any([signal, failure.signal]);
  const work = async (): Promise<void> => {
    for (const { object, frames: open } of queue) {
      await withAttempts(options, stop, () => place.putContent(object, limited(open(), limit, stop), stop));
      doneBytes += object.bytes;
      newBytes += object.bytes;
      tell();
    }
  };
  const outcomes = await Promise.allSettled(
    Array.from({ length: PARALLEL }, () =>
      work().catch((error: unknown) => {
        // The others are not waited for longer than what they have under way.
        failure.abort(error);
        throw error;
      }),
    ),
  );
  signal.throwIfAborted();
  if (failure.signal.aborted) throw failure.signal.reason;
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  return { group, index, rows: manifest.rows, bytes: manifest.bytes, newBytes, copy, copySha256, segments };
}

/** Pieces as fast as a rate allows. */
export async function* limited(
  frames: AsyncIterable<Buffer>,
  limit: ByteRateLimit,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  for await (const frame of frames) {
    await limit.take(frame.length);
    signal.throwIfAborted();
    yield frame;
  }
}

async function withAttempts(
  { scheduler, random }: Pick<UploadOptions, 'scheduler' | 'random'>,
  signal: AbortSignal,
  work: () => Promise<void>,
): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    signal.throwIfAborted();
    try {
      await work();
      return;
    } catch (error) {
      signal.throwIfAborted();
      if (attempt + 1 === ATTEMPTS || dispositionOf(error) !== 'wait') throw error;
      const waitMs: Millis = backoffMs(AGAIN, attempt, random);
      await sleep(scheduler, waitMs, signal);
    }
  }
}
