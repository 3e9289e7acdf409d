/** A step wherever its keys are: in one group a single command, over several a transaction. */

import type { HlcTimestamp, Millis } from '../../platform/index.ts';
import { isCrossGroup, type Transactions } from '../contract/index.ts';
import type { KvCluster } from './cluster.ts';
import { evaluateStep, type KvAnswer, type KvStep, keysOf } from './operations.ts';

/** What a step answers that may have been a transaction. */
export interface AnywhereAnswer extends Omit<KvAnswer, 'ts'> {
  /** When it was committed; undefined for a transaction that wrote nothing. */
  readonly ts: HlcTimestamp | undefined;
  /** Newest moment that it saw. */
  readonly seenTs: HlcTimestamp;
}

/**
 * Does a step, all of it or nothing.
 * @param transactions undefined on a node that has none over several groups
 * @param deadlineMs monotonic
 * @throws CrossGroupError when there are none and the keys are in several: nothing happened
 */
export async function stepAnywhere(
  cluster: KvCluster,
  transactions: Transactions | undefined,
  step: KvStep,
  deadlineMs: Millis,
): Promise<AnywhereAnswer> {
  try {
    const answer = await cluster.step(step, deadlineMs);
    return { ...answer, seenTs: answer.ts };
  } catch (error) {
    // Also when the keys were in one group a moment ago: nothing has happened.
    if (transactions === undefined || !isCrossGroup(error)) throw error;
  }
  const { reply, commitTs, seenTs } = await transactions.run({ keys: keysOf(step), deadlineMs }, (view) =>
    evaluateStep(view, step),
  );
  return { ...reply!, ts: commitTs, seenTs };
}
