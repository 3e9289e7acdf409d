/** Runs raftadmin once, with whatever terminal. */
import { CommanderError } from 'commander';
import { KvorumError } from '../../src/platform/index.ts';
import { CommandFailure } from '../cli/failure.ts';
import { ExitCode } from './exit-code.ts';
import { createProgram } from './program.ts';
import type { Terminal } from './terminal.ts';

export { processTerminal, type Terminal } from './terminal.ts';

/** Why the program ended without having done it. */
interface Failure {
  readonly exitCode: number;
  /** Of the cluster; undefined: the program's own. */
  readonly code: string | undefined;
  readonly message: string;
}

/** Codes of failures that are the program's own, by exit code. */
const OWN_CODES: ReadonlyMap<number, string> = new Map([
  [ExitCode.Failed, 'FAILED'],
  [ExitCode.Usage, 'USAGE'],
  [ExitCode.Unreachable, 'UNREACHABLE'],
]);

/**
 * Parses and runs one command line.
 * @param args without the program's own name
 * @returns the exit code; every failure was told on the terminal's error side, with `-w json` as JSON
 */
export async function runRaftadmin(args: readonly string[], terminal: Terminal): Promise<number> {
  const isJson = asksForJson(args);
  try {
    await createProgram(terminal, !isJson).parseAsync([...args], { from: 'user' });
    return ExitCode.Ok;
  } catch (error) {
    if (error instanceof CommanderError && isNoMistake(error)) return ExitCode.Ok;
    const failure = failureOf(error);
    const { exitCode, code, message } = failure;
    if (isJson) {
      const told = { code: code ?? OWN_CODES.get(exitCode) ?? 'FAILED', message, exitCode };
      terminal.writeError(`${JSON.stringify({ error: told })}\n`);
    } else if (!(error instanceof CommanderError)) {
      // Commander has written its own messages already.
      terminal.writeError(`raftadmin: ${message}${code === undefined ? '' : ` [${code}]`}\n`);
    }
    return exitCode;
  }
}

/** Help and version end the program too. */
const isNoMistake = ({ code }: CommanderError): boolean =>
  code === 'commander.helpDisplayed' || code === 'commander.version';

function failureOf(error: unknown): Failure {
  if (error instanceof CommanderError) {
    return { exitCode: ExitCode.Usage, code: undefined, message: error.message.replace(/^error: /, '') };
  }
  if (error instanceof CommandFailure) return error;
  if (error instanceof KvorumError) return { exitCode: ExitCode.Failed, code: error.code, message: error.message };
  const what = error instanceof Error ? error.stack : String(error);
  return { exitCode: ExitCode.Failed, code: undefined, message: `unexpected error: ${what}` };
}

/** Looked for by hand: a command line that cannot be parsed says it too. */
const asksForJson = (args: readonly string[]): boolean =>
  args.some(
    (arg, at) =>
      arg === '--write-out=json' || arg === '-wjson' || (/^(-w|--write-out)$/.test(arg) && args[at + 1] === 'json'),
  );
