/**
 * Places for whole objects under names, outside of the cluster, as a constructor argument: a folder, a bucket of S3, memory that fails on
 * request. An object is written whole or not at all, and is there for everybody as soon as the call that wrote it settles.
 */
import { type ErrorDisposition, KvorumError } from '../../platform/index.ts';

/** An object, as a list has it. */
export interface ObjectEntry {
  readonly name: string;
  readonly bytes: number;
}

export interface PutOptions {
  /** Only when there is no object of the name: of several who write at once one gets through. */
  readonly ifAbsent?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** Names are of letters, digits and any of `- _ . /`, at most 512; parts between slashes are not empty and no dots alone. */
export interface ObjectStore {
  /** For people: `s3://bucket/prefix`. */
  readonly place: string;
  /**
   * Writes an object that fits into memory, in place of one that may be there.
   * @returns false, with `ifAbsent`, when there is one: nothing was changed. A repetition after a lost answer may find its own.
   */
  put(name: string, content: Buffer, options?: PutOptions): Promise<boolean>;
  /**
   * Writes a large object from pieces of any length, holding no more than a few of them. Nothing shows before all are there, and of one
   * that breaks nothing is left that anybody sees.
   * @returns bytes written
   */
  putLarge(name: string, pieces: AsyncIterable<Buffer>, signal?: AbortSignal): Promise<number>;
  /** `length` bytes from `start`, fewer where the object ends, none behind its end. @throws ObjectMissingError */
  get(name: string, start: number, length: number, signal?: AbortSignal): Promise<Buffer>;
  /** Objects whose names begin so, in the order of their bytes. */
  list(prefix: string): AsyncIterable<ObjectEntry>;
  /** Removes an object; absent is fine. */
  remove(name: string): Promise<void>;
  /** Gives connections back. */
  close(): Promise<void>;
}

/** There is no object of the name. */
export class ObjectMissingError extends KvorumError {
  readonly code = 'OBJECT_MISSING';
  readonly disposition: ErrorDisposition = 'final';
}

/** The place for objects lets nobody in with these credentials, or there is no such place. */
export class ObjectStoreRefusedError extends KvorumError {
  readonly code = 'OBJECT_STORE_REFUSED';
  readonly disposition: ErrorDisposition = 'final';
}

/** The place for objects has no room. */
export class ObjectStoreFullError extends KvorumError {
  readonly code = 'OBJECT_STORE_FULL';
  readonly disposition: ErrorDisposition = 'wait';
}

/** The place for objects did not answer, or failed, again and again. */
export class ObjectStoreUnavailableError extends KvorumError {
  readonly code = 'OBJECT_STORE_UNAVAILABLE';
  readonly disposition: ErrorDisposition = 'wait';
}

const NAME = /^[A-Za-z0-9_-][A-Za-z0-9._-]*(?:\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$/;
const MAX_NAME = 512;

/** Whether something may be the name of an object. */
export const isObjectName = (name: string): boolean => name.length <= MAX_NAME && NAME.test(name);

/** Large enough that a request costs little beside it, small enough to be held several times over. */
const RANGE_BYTES = 4 << 20;

/** An object from its first byte to its last, in pieces. @throws ObjectMissingError */
export async function* readObject(
  store: ObjectStore,
  name: string,
  signal?: AbortSignal,
  pieceBytes: number = RANGE_BYTES,
): AsyncGenerator<Buffer> {
  for (let at = 0; ; ) {
    const piece = await store.get(name, at, pieceBytes, signal);
    if (piece.length > 0) yield piece;
    if (piece.length < pieceBytes) return;
    at += piece.length;
  }
}

/** An object that fits into memory. @throws ObjectMissingError */
export async function getObject(store: ObjectStore, name: string, signal?: AbortSignal): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of readObject(store, name, signal)) pieces.push(piece);
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
}
