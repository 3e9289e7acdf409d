/** Names, arities and syntax are Redis'; what is said about them is written for kvorum, not taken over. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ALL_COMMANDS } from '../../src/adapter/redis/commands/index.ts';
import { skipWithout } from '../support/programs.ts';
import { callAll, type RawReply } from './resp-connection.ts';
import { comparedTargets } from './targets.ts';

describe('texts about commands', { skip: skipWithout('redis-server') }, () => {
  const targets = comparedTargets();

  test('of COMMAND DOCS are our own words', async () => {
    const call = ['COMMAND', 'DOCS', ...ALL_COMMANDS.map(({ name }) => name)];
    const [theirs, ours] = await Promise.all([targets.reference, targets.tested].map((one) => callAll(one, [call])));
    const known = new Set(theirs!.flatMap(sentences));
    assert.ok(known.size > 100, 'Redis says something');
    assert.deepEqual(
      ours!.flatMap(sentences).filter((text) => known.has(text)),
      [],
    );
  });

  test('of HELP are our own words below the same syntax', async () => {
    const containers = ALL_COMMANDS.filter(({ subcommands = [] }) => subcommands.some(({ name }) => name === 'help'));
    const calls = containers.map(({ name }) => [name, 'HELP']);
    const [theirs, ours] = await Promise.all([targets.reference, targets.tested].map((one) => callAll(one, calls)));
    assert.ok(calls.length > 8);
    for (const [index, [name]] of calls.entries()) {
      const known = new Set(linesOf(theirs![index]!));
      const taken = linesOf(ours![index]!).filter((line) => known.has(line) && !isSyntax(line));
      assert.deepEqual(taken, [], name);
    }
  });
});

/** All texts of several words inside a reply. */
const sentences = ({ text, items }: RawReply): string[] =>
  items?.flatMap(sentences) ?? (text !== undefined && text.split(' ').length > 2 ? [text] : []);

const linesOf = ({ items }: RawReply): string[] => (items ?? []).map(({ text }) => text!);

/** A subcommand or an option with its arguments, or a line with more of them: no word of a sentence. */
const isSyntax = (line: string): boolean => /^(( +\* )?(\(no subcommand\)|[A-Z-]+)( [[(<]|$)| +\[[A-Z])/.test(line);
