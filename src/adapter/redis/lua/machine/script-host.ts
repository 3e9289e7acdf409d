/** What a running script reaches outside of Lua. */
import type { Reply } from '../../protocol/index.ts';

/** The levels of `redis.log`, by number. */
export const LOG_LEVELS = ['debug', 'verbose', 'notice', 'warning'] as const;
export type ScriptLogLevel = (typeof LOG_LEVELS)[number];

export interface ScriptHost {
  /**
   * Runs a command for the script.
   * @param resp the version that the script has asked for
   * @throws RedisError what the script gets as an error; anything else ends the script for good
   */
  call(args: readonly Buffer[], resp: 2 | 3): Reply;
  /** True when the client that called the script may run a command. @throws RedisError when there is no such command */
  mayCall(args: readonly Buffer[]): boolean;
  /** Notes a line for the log; written when the script's outcome is certain. */
  log(level: ScriptLogLevel, text: string): void;
}
