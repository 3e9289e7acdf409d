/** Who measures evaluations: it knows the time, and what is long. */
import type { Millis } from '../../../platform/index.ts';
import type { CommandSpec } from './command.ts';

export interface EvaluationMeter {
  /** Evaluations that take as long as this are told to the node whose client has called; Infinity: none is. */
  readonly leastMs: Millis;
  /** Monotonic. */
  nowMs(): Millis;
  /** A command was evaluated on this node, which could do nothing else meanwhile. */
  evaluated(spec: CommandSpec, tookMs: Millis): void;
  /** A command that only reads has looked for a key. */
  lookedUp(isThere: boolean): void;
}
