/** Refuses transactions that are larger than one may be, before anything is locked. */
import { TooLargeError } from '../errors.ts';
import type { CoordinatorParts, TransactionLimits } from './coordinator-types.ts';
import type { KeyIntent } from './types.ts';

/** @throws TooLargeError when a transaction is larger than it may be; nothing happened */
export function checkSize(
  intents: readonly KeyIntent[],
  limits: TransactionLimits,
  { kv }: Pick<CoordinatorParts, 'kv'>,
): void {
  let bytes = 0;
  let writes = 0;
  const groups = new Set<number>();
  for (const { key, kind, value } of intents) {
    groups.add(kv.groupOf(key));
    if (kind === 'read') continue;
    writes++;
    bytes += key.length + value.length;
  }
  if (writes > limits.maxWrites) throw new TooLargeError(`a transaction writes at most ${limits.maxWrites} keys`);
  if (intents.length - writes > limits.maxReads) {
    throw new TooLargeError(`a transaction reads at most ${limits.maxReads} keys`);
  }
  if (bytes > limits.maxBytes) throw new TooLargeError(`a transaction writes at most ${limits.maxBytes} bytes`);
  if (groups.size > limits.maxParticipants) {
    throw new TooLargeError(`a transaction touches at most ${limits.maxParticipants} groups`);
  }
}
