/** docs/redis.md says what is so: it is made of the command table, and of the list that redis-server itself gives. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { skipWithout } from '../support/programs.ts';
import { ABSENCES } from './redis-absent.ts';
import { type ListedCommand, ourCommands, redisCommands, redisPage } from './redis-page.ts';
import { callAll, type RawReply } from './resp-connection.ts';
import { startReference } from './targets.ts';

describe('the page of Redis commands', () => {
  test('is what `npm run docs:redis` writes', () => {
    const page = readFileSync(new URL('../../docs/redis.md', import.meta.url), 'utf8');
    assert.equal(page, redisPage());
  });

  test('has a place for every group, and every command once', () => {
    const page = redisPage();
    for (const name of [...redisCommands().map((each) => each.name), ...ourCommands().keys()]) {
      const row = `\n| ${name.toUpperCase().replace('|', ' ')} | `;
      assert.equal(page.split(row).length, 2, name);
    }
  });

  test('gives reasons only for commands of Redis that are not there', () => {
    const known = new Set(redisCommands().map(({ name }) => name));
    const ours = ourCommands();
    const named = ABSENCES.flatMap(({ names }) => names);
    assert.deepEqual(
      named.filter((name) => !known.has(name) || ours.has(name)),
      [],
    );
    assert.equal(new Set(named).size, named.length);
  });

  test('says why for whatever is not as it should be', () => {
    const silent = [...ourCommands()].filter(
      ([, { standing, differences }]) => standing !== undefined && differences === undefined,
    );
    assert.deepEqual(
      silent.map(([name]) => name),
      [],
    );
  });
});

describe("the list of Redis' commands", { skip: skipWithout('redis-server') }, () => {
  test('is what redis-server gives', async () => {
    const server = await startReference();
    try {
      const [hello, reply] = await callAll(server, [
        ['HELLO', '3'],
        ['COMMAND', 'DOCS'],
      ]);
      assert.equal(hello!.kind, '%');
      assert.deepEqual(listed(reply!.items!), redisCommands());
    } finally {
      await server.stop();
    }
  });
});

/** Names alternate with documents. */
function listed(items: readonly RawReply[]): ListedCommand[] {
  const commands = pairs(items).flatMap(([name, document]) => {
    const fields = new Map(pairs(document.items!));
    const subcommands = fields.get('subcommands')?.items ?? [];
    const own = { name, since: fields.get('since')!.text!, group: fields.get('group')!.text! };
    return [own, ...listed(subcommands)];
  });
  return commands.sort((a, b) => (a.name < b.name ? -1 : 1));
}

const pairs = (items: readonly RawReply[]): [string, RawReply][] =>
  items.flatMap((item, index): [string, RawReply][] => (index % 2 === 0 ? [[item.text!, items[index + 1]!]] : []));
