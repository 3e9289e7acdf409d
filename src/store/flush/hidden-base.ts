/** What is written of a version that a range delete hides, when the range delete itself is about to be forgotten. */
import { NEVER } from '../../platform/index.ts';
import { encodeVersion } from '../rows/index.ts';
import type { BaseVersion } from './apply-buffer.ts';

/** A tombstone in its place. */
export function hiddenBase({ commitTs }: BaseVersion): BaseVersion {
  const row = encodeVersion(commitTs, NEVER, true, Buffer.alloc(0));
  return { commitTs, isTombstone: true, expireTs: NEVER, row, isValueApart: false };
}
