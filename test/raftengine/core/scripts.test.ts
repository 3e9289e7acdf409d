/**
 * Scripts for the Raft core, one a file in `scripts/`: commands and what they print, see `script-commands.ts`. With
 * UPDATE_SCRIPTS=1 the files are rewritten with what is printed now; read the difference before you believe it.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { ScriptWorld } from './script-commands.ts';
import { formatScript, parseCommand, parseScript, type Script } from './script-file.ts';

const FOLDER = new URL('./scripts/', import.meta.url);
const isUpdate = process.env.UPDATE_SCRIPTS === '1';

/** @returns what each block of the script prints */
function play(script: Script, name: string): string[][] {
  const world = new ScriptWorld();
  return script.blocks.map(({ commands, line }) => {
    try {
      const printed = commands.flatMap((command) => world.run(parseCommand(command)));
      return printed.length === 0 ? ['ok'] : printed;
    } catch (error) {
      throw new Error(`${name}, block at line ${line}: ${(error as Error).message}`, { cause: error });
    }
  });
}

describe('the Raft core as scripts tell it', () => {
  const names = readdirSync(FOLDER).filter((name) => name.endsWith('.txt'));
  for (const name of names) {
    const file = new URL(name, FOLDER);
    const text = readFileSync(file, 'utf8');
    const script = parseScript(text);
    test(`${name}: ${script.title}`, () => {
      const outputs = play(script, name);
      if (isUpdate) writeFileSync(file, formatScript(script, outputs));
      else assert.equal(formatScript(script, outputs), text);
    });
  }

  test('a file that is no script is refused with its line', () => {
    assert.throws(() => parseScript('propose 1 x\n----\nok\n'), /begins with a comment/);
    assert.throws(() => parseScript('# title\n\npropose 1 x\n'), /line 3/);
    assert.throws(() => parseScript('# title\n\n----\nok\n'), /line 3/);
    assert.throws(() => play(parseScript('# title\n\nfly 1\n----\n'), 'x'), /line 3: there is no command fly/);
  });
});
