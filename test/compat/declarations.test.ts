/** COMMAND INFO must tell clients the same about a command as Redis does: they route and retry by it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { dataCommands } from '../../src/adapter/redis/commands/index.ts';
import { skipWithout } from '../support/programs.ts';
import { redisCommands } from './redis-page.ts';
import { callAll, type RawReply } from './resp-connection.ts';
import { comparedTargets, type Target } from './targets.ts';

describe('declarations of the data commands', { skip: skipWithout('redis-server') }, () => {
  const targets = comparedTargets();

  test('have the arity, flags, key positions and ACL categories that Redis has', async () => {
    const known = new Set(redisCommands().map(({ name }) => name));
    const names = dataCommands
      .flatMap(({ name, subcommands = [] }) => [name, ...subcommands.map((sub) => `${name}|${sub.name}`)])
      .filter((name) => known.has(name));
    const [expected, actual] = await Promise.all([infos(targets.reference, names), infos(targets.tested, names)]);
    for (const [index, name] of names.entries()) {
      assert.deepEqual(described(actual[index]!, name), described(expected[index]!, name), name);
    }
  });
});

async function infos(target: Target, names: readonly string[]): Promise<readonly RawReply[]> {
  const [reply] = await callAll(target, [['COMMAND', 'INFO', ...names]]);
  return reply!.items!;
}

/** Commands that have options of a later Redis, and take more arguments therefore. */
const LATER_ARITY = new Set(['zrank', 'zrevrank']);
const ARITY_AT = 1;

/** Name, arity, flags, first key, last key, step, ACL categories; the lists in alphabetical order. */
const described = (info: RawReply, name: string): unknown =>
  info
    .items!.slice(0, 7)
    .map(({ text, items }, at) =>
      at === ARITY_AT && LATER_ARITY.has(name) ? 'later' : (text ?? items!.map((item) => item.text).sort()),
    );
