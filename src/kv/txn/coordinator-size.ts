/** Refuses transactions that are larger than one may be, before anything is locked. */
import { TooLargeError } from '../../raftengine/index.ts';
import type { KeyIntent } from '../contract/index.ts';
import type { CoordinatorParts, TransactionLimits } from './coordinator-types.ts';

/** @throws TooLargeError when a transaction locks more keys than one may; nothing happened */
export function checkKeys(count: number, { maxKeys }: TransactionLimits): void {
  if (count <= maxKeys) return;
  throw new TooLargeError(
    `${count} keys of several groups are more than the ${maxKeys} that one transaction may have; divide it, or keep them in one group`,
  );
}

/**
 * A function over several groups is evaluated in one turn, again after each round of reading.
 * @param found keys that it has found by what it has read, beside those that it names
 * @throws TooLargeError when there are more than one may find; nothing happened
 */
export function checkFound(found: number, { maxFoundKeys }: TransactionLimits): void {
  if (found <= maxFoundKeys) return;
  throw new TooLargeError(
    `the command reads more than ${maxFoundKeys} rows of collections in several groups; keep them in one group`,
  );
}

/** @throws TooLargeError when a transaction is larger than it may be; nothing happened */
export function checkSize(
  intents: readonly KeyIntent[],
  limits: TransactionLimits,
  { kv }: Pick<CoordinatorParts, 'kv'>,
): void {
  checkKeys(intents.length, limits);
  let bytes = 0;
  const groups = new Set<number>();
  for (const { key, kind, value } of intents) {
    groups.add(kv.groupOf(key));
    if (kind !== 'read') bytes += key.length + value.length;
  }
  if (bytes > limits.maxBytes) {
    throw new TooLargeError(
      `${bytes} bytes in several groups are more than the ${limits.maxBytes} that one transaction may write`,
    );
  }
  if (groups.size > limits.maxParticipants) {
    throw new TooLargeError(`a transaction touches at most ${limits.maxParticipants} groups`);
  }
}
