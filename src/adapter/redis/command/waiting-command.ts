/** How commands that may wait for keys see that they do, and what they say about it in their declarations. */
import type { WaitingLine } from '../../../kv/index.ts';
import type { Millis } from '../../../platform/index.ts';
import type { Reply } from '../protocol/index.ts';

/** What a command's declaration says about waiting. Only a client's own command waits: in MULTI and in scripts it answers as if its time were over. */
export interface WaitingSpec {
  /**
   * How long a call may wait, milliseconds; Infinity: for ever. Undefined: it does not wait, or its arguments make no sense, which the handler then
   * finds.
   */
  patienceMs(args: readonly Buffer[]): Millis | undefined;
  /** The keys that it waits for, in the order in which it looks at them. */
  keys(args: readonly Buffer[]): readonly Buffer[];
  /** What it answers when its time is over. */
  readonly atTimeout: Reply;
}

/** An evaluation of a command that may wait. */
export interface WaitingCommand {
  /** It has waited before: keys of other types do not concern it. */
  readonly hasWaited: boolean;
  /** False for keys that are left out of this evaluation. */
  looksAt(storageKey: Buffer): boolean;
  /**
   * Nothing is there: the command is evaluated again when one of the keys has been written.
   * @param args what it goes on with, where that is not what it was called with
   */
  awaits(storageKeys: readonly Buffer[], line: WaitingLine, args: readonly Buffer[] | undefined): void;
}

/** What a handler needs of its context in order to wait. */
export interface MayWait {
  /** Undefined: the command does not wait. */
  readonly waiting: WaitingCommand | undefined;
  storageKey(userKey: Buffer): Buffer;
}

/** Those who wait for a value of one type. */
export const LINES = {
  list: { name: 'list', takesTurns: true },
  sortedSet: { name: 'zset', takesTurns: true },
  stream: { name: 'stream', takesTurns: false },
} as const satisfies Readonly<Record<string, WaitingLine>>;

/** Of the keys that a command may wait for, those that it looks at now. */
export function lookedAt(ctx: MayWait, keys: readonly Buffer[]): readonly Buffer[] {
  const { waiting } = ctx;
  return waiting === undefined ? keys : keys.filter((key) => waiting.looksAt(ctx.storageKey(key)));
}

/**
 * A command has found nothing: it waits, where it can.
 * @param atTimeout what it answers where it cannot
 * @param args what it goes on with, where that is not what it was called with
 */
export function nothingYet(
  ctx: MayWait,
  keys: readonly Buffer[],
  line: WaitingLine,
  atTimeout: Reply,
  args?: readonly Buffer[],
): Reply {
  ctx.waiting?.awaits(
    keys.map((key) => ctx.storageKey(key)),
    line,
    args,
  );
  return atTimeout;
}
