/** Runs raftadmin once, with whatever terminal. */
import { CommanderError } from 'commander';
import { KvorumError } from '../../src/platform/index.ts';
import { CommandFailure } from '../cli/failure.ts';
import { ExitCode } from './exit-code.ts';
import { createProgram } from './program.ts';
import type { Terminal } from './terminal.ts';

export { processTerminal, type Terminal } from './terminal.ts';

/**
 * Parses and runs one command line.
 * @param args without the program's own name
 * @returns the exit code; every failure was told on the terminal's error side
 */
export async function runRaftadmin(args: readonly string[], terminal: Terminal): Promise<number> {
  try {
    await createProgram(terminal).parseAsync([...args], { from: 'user' });
    return ExitCode.Ok;
  } catch (error) {
    // Commander has written its message already; help and version are no mistakes.
    if (error instanceof CommanderError) {
      return error.code === 'commander.helpDisplayed' || error.code === 'commander.version'
        ? ExitCode.Ok
        : ExitCode.Usage;
    }
    if (error instanceof CommandFailure) {
      terminal.writeError(`raftadmin: ${error.message}\n`);
      return error.exitCode;
    }
    if (error instanceof KvorumError) {
      terminal.writeError(`raftadmin: ${error.message} [${error.code}]\n`);
      return ExitCode.Failed;
    }
    terminal.writeError(`raftadmin: unexpected error: ${error instanceof Error ? error.stack : String(error)}\n`);
    return ExitCode.Failed;
  }
}
