/** Evaluates data commands one by one over keys in memory, at a time that tests set. */

import { type BodyLimits, DEFAULT_BODY_LIMITS } from '../../../../src/adapter/redis/bodies/index.ts';
import { CommandTable } from '../../../../src/adapter/redis/command/command-table.ts';
import { Effects } from '../../../../src/adapter/redis/command/effects.ts';
import { EvaluationContext } from '../../../../src/adapter/redis/command/evaluation-context.ts';
import { ALL_COMMANDS } from '../../../../src/adapter/redis/commands/index.ts';
import type { Reply } from '../../../../src/adapter/redis/protocol/reply.ts';
import { hlcTimestamp, SeededRandom } from '../../../../src/platform/index.ts';
import { FakeState, FakeView } from '../../../support/fake-kv.ts';

export const START_MS = 1_700_000_000_000;

const table = new CommandTable(ALL_COMMANDS);

export class Evaluator {
  nowMs = START_MS;
  maxStringBytes = 512 * 1024 * 1024;
  /** How collections are laid out. */
  bodyLimits: BodyLimits = DEFAULT_BODY_LIMITS;
  private readonly state = new FakeState();
  private turns = 0n;

  /** Keys that are stored, expired ones among them. */
  get storedKeys(): number {
    return this.state.values.size;
  }

  /** Runs one command, arguments in latin1. @throws RedisError as the command does */
  run(name: string, ...args: string[]): Reply {
    const words = [name, ...args].map((word) => Buffer.from(word, 'latin1'));
    const handler = table.resolve(words)?.spec.handler;
    if (handler?.kind !== 'data') throw new Error(`${name} is no data command`);
    const ts = hlcTimestamp((BigInt(this.nowMs) << 16n) + ++this.turns);
    const view = new FakeView(this.state, ts);
    const settings = {
      random: new SeededRandom(Number(this.turns)),
      maxStringBytes: this.maxStringBytes,
      bodyLimits: this.bodyLimits,
    };
    const ctx = new EvaluationContext(view, 0, 2, settings, new Effects());
    const reply = handler.run(ctx, words);
    view.apply();
    return Buffer.isBuffer(reply) ? reply.toString('latin1') : reply;
  }
}
