/** What commands over several groups wait for, on whole nodes in virtual time. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { commandsAnEntry, GroupPaths, msetsOfMany, quantile, scriptsASecond, waitsOfPlain } from './group-paths.ts';

describe('over several groups', () => {
  const paths = new GroupPaths();
  before(() => paths.start());

  test('scripts of a queue share transactions, on one connection and on those of several nodes', async () => {
    const one = await scriptsASecond(paths, [1], 1, 15);
    const several = await scriptsASecond(paths, [1], 10, 60);
    const nodes = await scriptsASecond(paths, [2, 3], 10, 60);
    for (const { failures } of [one, several, nodes]) assert.deepEqual([...failures], []);
    assert.ok(several.rate > 2 * one.rate, `${several.rate} a second beside ${one.rate}`);
    assert.ok(nodes.rate > 2 * one.rate, `${nodes.rate} a second beside ${one.rate}`);
  });

  test('writes of many clients of one node leave together: a third of them share an entry', async () => {
    const [clients, groups] = [24, 3];
    const commands = await commandsAnEntry(paths, 1, clients);
    assert.ok(commands > (0.75 * clients) / groups, `${commands} commands an entry`);
  });

  test('MSETs of clients of all nodes share the four entries of one transaction', async () => {
    const clients = 12;
    const { entries } = await msetsOfMany(paths, [0, 1], { clients, countedMs: 100 });
    assert.ok(entries * clients < 6, `${entries * clients} entries for ${clients} commands`);
  });

  test('plain commands do not starve beside transactions that want their key', async () => {
    const { quiet, busy, failures } = await waitsOfPlain(paths, 12, 60);
    assert.deepEqual([...failures], []);
    const [calm, late] = [quantile(quiet, 0.99), quantile(busy, 0.99)];
    assert.ok(late <= 10 * calm, `${late} ms beside ${calm} ms`);
  });
});
