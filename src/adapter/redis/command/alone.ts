/**
 * Commands that have to be evaluated where their client is: as a transaction of the node that it is connected to, by themselves. There everything can be
 * brought that no group has: keys of other groups, and answers of commands that look at the whole cluster.
 */
import { type ErrorDisposition, KvorumError } from '../../../platform/index.ts';
import type { Reply } from '../protocol/index.ts';

/** The command cannot be evaluated where its keys are led; nothing happened. */
export class RunAloneError extends KvorumError {
  readonly code = 'RUN_ALONE';
  readonly disposition: ErrorDisposition = 'restart';

  constructor() {
    super('the command has to be evaluated by the node that its client is connected to');
  }
}

/** True for the error, whichever node it comes from. */
export const isRunAlone = (error: unknown): boolean => error instanceof KvorumError && error.code === 'RUN_ALONE';

/** A key that the commands of a request have written, as they see it. */
export interface WrittenKey {
  readonly userKey: Buffer;
  /** It existed before the request. */
  readonly existed: boolean;
  /** It exists now. */
  readonly exists: boolean;
}

/** A command whose answer no evaluation can give: it looks at all keys, or at the node. */
export interface OutsideCall {
  readonly db: number;
  readonly args: readonly Buffer[];
}

/** What is known beside the keys while a request is evaluated alone. */
export interface OutsideAnswers {
  /**
   * The answer of a command, as of some moment before the evaluation. Repetitions of one call within an evaluation get answers of their own.
   * @throws RunAloneError when it is not known yet: the evaluation is begun again when it is. RedisError when that is the answer
   */
  answerTo(call: OutsideCall): Reply;
  /** Keys of a database that the request has written so far. */
  written(db: number): readonly WrittenKey[];
}
