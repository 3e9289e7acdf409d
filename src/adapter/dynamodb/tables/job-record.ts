/** What is left to do for a table after a change, as its row has it: JSON behind a format byte. A table has one row of tasks; they are done in order. */
import { CorruptRowError } from '../rows/index.ts';
import { isSameSegment, type SegmentName } from './descriptor.ts';

export type TableTask =
  /** Everything of the table goes, and then the table. */
  | { readonly kind: 'deleteTable' }
  /** Of a table that was deleted: what is left of its streams goes when nobody may read it any more. */
  | { readonly kind: 'forgetStreams' /** Unix milliseconds. */; readonly afterMs: number }
  /** Rows of items that were there before a global index. `cursor`: where to go on, hexadecimal. */
  | { readonly kind: 'fillIndex'; readonly index: number; readonly cursor?: string | undefined; readonly items: number }
  | { readonly kind: 'dropIndex'; readonly index: number }
  /** Expiry rows of items that were there before, or the removal of all. */
  | { readonly kind: 'fillExpiry'; readonly attribute: string; readonly cursor?: string | undefined }
  | { readonly kind: 'dropExpiry' }
  /** Of a segment that was cut: where its records end is to be settled. */
  | { readonly kind: 'endSegment'; readonly segment: SegmentName }
  /** Of a new segment: expiry rows of its items lie at the head of the one that it was cut from. */
  | { readonly kind: 'moveExpiry'; readonly segment: SegmentName }
  /** Of a segment that was joined with the one before: what its head at this token has is to go where it belongs. */
  | { readonly kind: 'clearHead'; readonly token: number };

const FORMAT = 1;

/** Encodes tasks. */
export const encodeTasks = (tasks: readonly TableTask[]): Buffer =>
  Buffer.concat([Buffer.of(FORMAT), Buffer.from(JSON.stringify(tasks), 'utf8')]);

/** @throws CorruptRowError */
export function decodeTasks(bytes: Buffer): readonly TableTask[] {
  if (bytes[0] !== FORMAT) throw new CorruptRowError(`a job has format ${bytes[0]}, and this program knows ${FORMAT}`);
  return JSON.parse(bytes.toString('utf8', 1)) as readonly TableTask[];
}

/** True for one task at two moments. */
export function isSameTask(one: TableTask, other: TableTask): boolean {
  if (one.kind !== other.kind) return false;
  if ('index' in one) return 'index' in other && one.index === other.index;
  if ('token' in one) return 'token' in other && one.token === other.token;
  return !('segment' in one) || ('segment' in other && isSameSegment(one.segment, other.segment));
}
