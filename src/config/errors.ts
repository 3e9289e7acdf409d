/** What can be wrong with a configuration, gathered so that one run shows every mistake. */
import { type ErrorDisposition, KvorumError } from '../platform/index.ts';

export interface ConfigProblem {
  /** Dotted key such as `redis.port`. */
  readonly key: string;
  /** Where the value came from: `--redis-port`, `KVORUM_REDIS_PORT` or the file's name. */
  readonly origin: string;
  readonly message: string;
}

/** One or more settings are unusable; nothing was started. The message has one line a problem. */
export class ConfigError extends KvorumError {
  readonly code = 'CONFIG_INVALID';
  readonly disposition: ErrorDisposition = 'final';
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[], options?: { cause?: unknown }) {
    const lines = problems.map((problem) => `  ${problem.key} (from ${problem.origin}): ${problem.message}`);
    super(`the configuration cannot be used:\n${lines.join('\n')}`, options);
    this.problems = problems;
  }
}
