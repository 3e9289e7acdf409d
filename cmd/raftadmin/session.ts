/** What every command has: the cluster, the flags that all share, and how to say what came of it. */
import type { Command } from 'commander';
import type { CallerCertificates, Secret } from '../../src/security/index.ts';
import { CommandFailure } from '../cli/failure.ts';
import { Cluster } from './cluster.ts';
import { ExitCode } from './exit-code.ts';
import { type Column, type Format, renderJson, renderRows } from './output.ts';
import type { Terminal } from './terminal.ts';
import { parseEndpoints } from './values.ts';

/** Flags of the program itself. */
export interface SharedFlags {
  readonly endpoints?: string[];
  readonly writeOut: Format;
  readonly timeout: number;
  readonly yes?: boolean;
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tokenFile?: string;
}

/** What nodes are shown and checked by. */
export interface OwnProof {
  /** Undefined: plain text. */
  readonly certificates: CallerCertificates | undefined;
  /** Shown with every call; undefined: none. */
  readonly token: Secret | undefined;
}

export const DEFAULT_ENDPOINT = '127.0.0.1:50051';

/** One run of the program. */
export class Session {
  readonly terminal: Terminal;
  readonly cluster: Cluster;
  readonly format: Format;
  readonly proof: OwnProof;
  /** Longest time for one answer. */
  readonly timeoutMs: number;
  private readonly isConfirmed: boolean;
  /** What `progress` drew last. */
  private lastProgress = '';

  constructor(terminal: Terminal, flags: SharedFlags, proof: OwnProof) {
    this.terminal = terminal;
    this.format = flags.writeOut;
    this.proof = proof;
    this.timeoutMs = flags.timeout;
    this.isConfirmed = flags.yes === true;
    this.cluster = new Cluster({
      endpoints: flags.endpoints ?? endpointsOf(terminal),
      timeoutMs: flags.timeout,
      interrupted: terminal.interrupted,
      ...proof,
    });
  }

  /** Prints rows in the format that was asked for; `value` is what JSON shows. */
  rows<Row>(value: unknown, columns: readonly Column<Row>[], rows: readonly Row[]): void {
    this.line(this.format === 'json' ? renderJson(value) : renderRows(columns, rows, this.format));
  }

  /** Prints an outcome: a sentence, or the value as JSON. */
  outcome(value: unknown, sentence: string): void {
    this.line(this.format === 'json' ? renderJson(value) : sentence);
  }

  /** A line of output; nothing for an empty one. */
  line(text: string): void {
    if (text !== '') this.terminal.write(`${text}\n`);
  }

  /** A remark for the person, not for the pipe. */
  note(text: string): void {
    if (text === '') return;
    this.terminal.writeError(this.format === 'json' ? `${JSON.stringify({ note: text })}\n` : `${text}\n`);
  }

  /**
   * Says what is about to be done and lets the user stop it.
   * @throws CommandFailure when nobody agrees
   */
  async confirm(what: string): Promise<void> {
    if (this.isConfirmed) return;
    if (!this.terminal.isInteractive) {
      throw new CommandFailure(`${what} Say --yes to do it`, ExitCode.Usage);
    }
    const answer = await this.terminal.ask(`${what} Go on? [y/N] `);
    if (!/^y(es)?$/i.test(answer.trim())) throw new CommandFailure('nothing was done');
  }

  /** Waits between two looks; ends early when the user wants to stop. @throws CommandFailure then */
  async pause(delayMs: number): Promise<void> {
    const { interrupted } = this.terminal;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(finish, delayMs);
      function finish(): void {
        clearTimeout(timer);
        interrupted.removeEventListener('abort', finish);
        resolve();
      }
      interrupted.addEventListener('abort', finish);
      if (interrupted.aborted) finish();
    });
    if (interrupted.aborted) throw new CommandFailure('stopped waiting; what was begun goes on');
  }

  /** Draws over the last line on a screen; elsewhere says it once for each new text. */
  progress(text: string): void {
    if (this.terminal.isErrorScreen) this.terminal.writeError(`\r\x1b[K${text}`);
    else if (text !== this.lastProgress) this.note(text);
    this.lastProgress = text;
  }

  /** Ends what `progress` drew. */
  progressDone(): void {
    if (this.terminal.isErrorScreen && this.lastProgress !== '') this.terminal.writeError('\n');
    this.lastProgress = '';
  }
}

function endpointsOf(terminal: Terminal): string[] {
  const text = terminal.env.RAFTADMIN_ENDPOINTS;
  if (text === undefined || text.trim() === '') return [DEFAULT_ENDPOINT];
  try {
    return parseEndpoints(text);
  } catch (error) {
    throw new CommandFailure(`RAFTADMIN_ENDPOINTS: ${(error as Error).message}`, ExitCode.Usage);
  }
}

/** Runs a command's work with a session of its own. */
export type Work<Args extends readonly unknown[]> = (session: Session, ...args: Args) => Promise<void>;

/** How commands are declared: each gets its session, and the connections are closed after it. */
export type Declare = <Args extends readonly unknown[]>(command: Command, work: Work<Args>) => Command;

/** Examples below a command's help. */
export function examples(
  command: Command,
  ...lines: readonly (readonly [example: string, meaning: string])[]
): Command {
  const text = lines.map(([example, meaning]) => `  raftadmin ${example}\n      ${meaning}`).join('\n');
  return command.addHelpText('after', `\nExamples:\n${text}`);
}
