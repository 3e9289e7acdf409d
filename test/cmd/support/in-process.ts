/** A command of kvorum run in this process: for those that only write files and say what they did. */
import { mock } from 'node:test';
import { Command, CommanderError } from 'commander';
import { CommandFailure } from '../../../cmd/cli/failure.ts';

/** What a command said, and whether it worked. */
export interface Said {
  readonly works: boolean;
  readonly output: string;
}

/** @param add puts the command on the program, as `addCertsCommand` does */
export async function runCommand(add: (program: Command) => void, args: readonly string[]): Promise<Said> {
  let output = '';
  const write = (text: string): void => {
    output += text;
  };
  const program = new Command('kvorum').exitOverride().configureOutput({ writeOut: write, writeErr: write });
  add(program);
  const log = mock.method(console, 'log', (text: string) => write(`${text}\n`));
  try {
    await program.parseAsync(args, { from: 'user' });
    return { works: true, output };
  } catch (error) {
    if (error instanceof CommandFailure) return { works: false, output: output + error.message };
    if (error instanceof CommanderError) return { works: false, output };
    throw error;
  } finally {
    log.mock.restore();
  }
}
