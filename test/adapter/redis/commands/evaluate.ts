/** Evaluates data commands one by one over keys in memory, at a time that tests set. */

import { type BodyLimits, DEFAULT_BODY_LIMITS } from '../../../../src/adapter/redis/bodies/index.ts';
import { Effects } from '../../../../src/adapter/redis/command/effects.ts';
import { EvaluationContext } from '../../../../src/adapter/redis/command/evaluation-context.ts';
import type { CommandSpec } from '../../../../src/adapter/redis/command/index.ts';
import { ALL_COMMANDS } from '../../../../src/adapter/redis/commands/index.ts';
import type { Reply } from '../../../../src/adapter/redis/protocol/reply.ts';
import { hlcTimestamp, SeededRandom } from '../../../../src/platform/index.ts';
import { FakeState, FakeView } from '../../../support/fake-kv.ts';

export const START_MS = 1_700_000_000_000;

function specOf(name: string, word = ''): CommandSpec | undefined {
  const spec = ALL_COMMANDS.find((command) => command.name === name.toLowerCase());
  return spec?.subcommands?.find((sub) => sub.name === word.toLowerCase()) ?? spec;
}

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
    const spec = specOf(name, args[0]);
    if (spec?.handler?.kind !== 'data') throw new Error(`${name} is no data command`);
    const ts = hlcTimestamp((BigInt(this.nowMs) << 16n) + ++this.turns);
    const view = new FakeView(this.state, ts);
    const settings = {
      random: new SeededRandom(Number(this.turns)),
      maxStringBytes: this.maxStringBytes,
      bodyLimits: this.bodyLimits,
    };
    const ctx = new EvaluationContext(view, 0, 2, settings, new Effects());
    const reply = spec.handler.run(
      ctx,
      [name, ...args].map((argument) => Buffer.from(argument, 'latin1')),
    );
    view.apply();
    return Buffer.isBuffer(reply) ? reply.toString('latin1') : reply;
  }
}
